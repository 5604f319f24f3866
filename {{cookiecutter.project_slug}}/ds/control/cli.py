"""`python run.py COMMAND`: the commands, their options, and how errors are told.

Exit codes: 0 all is well, 1 some jobs are dead or check has findings, 2 bad input or nothing could
be started, 3 AWS refused or could not be asked, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from ds.cloud.errors import CommandError
from ds.control.commands import show as showing
from ds.control.files import project as projects
from ds.control.files.project import Project
from ds.jobs.problems import BadInput

JOB_FILE = click.Path(path_type=Path)
GROUP = click.IntRange(1)
GROUP.name = "group number"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Run this repository's command over many jobs."""


@commands.command()
@click.argument("jobfile", type=JOB_FILE)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder whose content plays the bucket's; s3://other/key is other/key in it.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("local-output"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes, each with DOCKER_CORES jobs at a time.",
)
@click.option("--only", type=GROUP, multiple=True, help="Only this group; 1 is the first.")
@click.option("--docker", is_flag=True, help="Run them in the image, as on AWS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_obj
def local(
    root: Path,
    jobfile: Path,
    data: Path,
    output: Path,
    workers: int,
    only: tuple[int, ...],
    docker: bool,
    as_json: bool,
) -> int:
    """Run the jobs of JOBFILE on this machine, without AWS."""
    # Here, because boto3 takes a second to load and the other commands do without.
    from ds.control.local import run as running

    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    project = _project(root)
    options = running.Options(data, output, workers, only, docker)
    summary = running.local(project, jobfile, options, console)
    if as_json:
        click.echo(summary.json())
    return summary.exit_code


@commands.command()
@click.argument("jobfile", type=JOB_FILE)
@click.argument("number", type=GROUP, required=False, metavar="[N]")
@click.option("--json", "as_json", is_flag=True, help="JSON; of all groups where none is named.")
@click.pass_obj
def show(root: Path, jobfile: Path, number: int | None, as_json: bool) -> int:
    """Show arguments, inputs and output prefix of group N (the first), without running it."""
    for text in showing.show(_project(root), jobfile, number, as_json):
        click.echo(text)
    return 0


@commands.command()
@click.argument("jobfile", type=JOB_FILE, required=False, metavar="[JOBFILE]")
@click.option(
    "--fleet", type=click.Path(path_type=Path), help="Fleet file; else files/exampleFleet.json."
)
@click.option("--offline", is_flag=True, help="Ask nothing of AWS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_obj
def check(
    root: Path, jobfile: Path | None, fleet: Path | None, offline: bool, as_json: bool
) -> int:
    """Say all that is wrong with settings, jobs, fleet and account, before anything is made."""
    from ds.control.commands import check as checking

    report = checking.check(root, jobfile, fleet, offline)
    click.echo(report.json() if as_json else "\n".join(report.lines()))
    return report.exit_code


@commands.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def setup(root: Path, dry_run: bool) -> int:
    """Make queues, log groups, cluster, task definition and service on AWS; nothing runs yet."""
    from ds.cloud.client import Aws, reporting_errors
    from ds.control.commands import setup as setting_up

    settings = _project(root).settings
    with reporting_errors(settings.AWS_PROFILE):
        actions = setting_up.setup(settings, Aws(settings), click.echo, dry_run)
    if dry_run:
        click.echo(f"{len(actions)} step{'s' * (len(actions) != 1)}; nothing was done.")
    else:
        click.echo(f"{settings.APP_NAME} is set up; next: python run.py submitJob FILE")
    return 0


@commands.command("submitJob")
@click.argument("jobfile", type=JOB_FILE)
@click.option("--dry-run", is_flag=True, help="Print the first messages and the count, send none.")
@click.option("--again", is_flag=True, help="Send all, also what was sent to this queue before.")
@click.option("--skip-done", is_flag=True, help="Leave out groups whose outputs are complete.")
@click.pass_obj
def submit_job(root: Path, jobfile: Path, dry_run: bool, again: bool, skip_done: bool) -> int:
    """Send every group of JOBFILE to the queue, where the workers find it."""
    from ds.cloud.client import reporting_errors
    from ds.control.commands import submit_job as submitting

    project = _project(root)
    options = submitting.Options(dry_run, again, skip_done)
    with reporting_errors(project.settings.AWS_PROFILE):
        submitting.submit_job(project, jobfile, options, Console(highlight=False))
    return 0


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def image(root: Path, options: tuple[str, ...]) -> int:
    """Build the image of program and worker; OPTIONS are those of `docker build`."""
    from ds.control.commands import image as images

    for problem in images.build(_project(root), options):
        _say(f"warning: {problem}")
    return 0


@commands.command()
@click.pass_obj
def push(root: Path) -> int:
    """Push the image to its registry."""
    from ds.control.commands import image as images

    images.push(_project(root))
    return 0


@commands.command()
@click.argument("jobfile", type=JOB_FILE)
@click.argument("number", type=GROUP, default=1, metavar="[N]")
@click.option("--data", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.pass_obj
def shell(root: Path, jobfile: Path, number: int, data: Path) -> int:
    """Open a shell in the image, in the folder of group N (the first), with its inputs."""
    from ds.control.commands import image as images
    from ds.control.local import run as running

    project = _project(root)
    resolved, inputs = running.prepared(project, jobfile, number, data)
    return images.shell(project, resolved, inputs)


def main(root: Path, words: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process.

    Args:
        root: the implementation's folder.
        words: the command line; the process's own by default.
    """
    for name in (signal.SIGTERM, signal.SIGHUP):
        # A closed terminal is an interruption like Ctrl-C: all is ended in order.
        signal.signal(name, signal.default_int_handler)
    sys.exit(run(root, words))


def run(root: Path, words: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors are told, never raised."""
    return _run(commands, root, words, "python run.py")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dry-run", is_flag=True, help="Only show the documents.")
@click.option("--remove", is_flag=True, help="Remove what this made, and nothing else.")
@click.option("--bucket", help="Another bucket than AWS_BUCKET of config.py.")
@click.pass_obj
def setup_aws(root: Path, dry_run: bool, remove: bool, bucket: str | None) -> int:
    """Make the roles that runs on AWS need, once in an account; docs/roles.md of DS lists them."""
    from ds.cloud.client import Aws, reporting_errors
    from ds.cloud.rights import CONTROL_ROLE, RoleTarget
    from ds.control.commands.setup_aws import setup_aws

    settings = _project(root).settings
    with reporting_errors(settings.AWS_PROFILE):
        aws = Aws(settings)
        target = RoleTarget(
            aws.partition,
            aws.account,
            bucket or settings.AWS_BUCKET,
            settings.APP_NAME,
            tuple(settings.SECRETS.values()),
        )
        setup_aws(aws, target, click.echo, dry_run=dry_run, remove=remove)
    if not remove and not dry_run:
        click.echo(
            "The roles exist. To work with the first one, create a profile in ~/.aws/config with "
            f"role_arn = arn:{aws.partition}:iam::{aws.account}:role/{CONTROL_ROLE}"
        )
    return 0


def main_setup_aws(root: Path) -> NoReturn:
    """`python setup_AWS.py`: like `main`."""
    sys.exit(run_setup_aws(root))


def run_setup_aws(root: Path, words: Sequence[str] | None = None) -> int:
    """`python setup_AWS.py`: like `run`."""
    return _run(setup_aws, root, words, "python setup_AWS.py")


def _run(command: click.Command, root: Path, words: Sequence[str] | None, name: str) -> int:
    try:
        code: int = command.main(
            args=None if words is None else list(words),
            prog_name=name,
            obj=root,
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BadInput as error:
        for problem in error.problems:
            _say(str(problem))
        return error.exit_code
    except CommandError as error:
        _say(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("Interrupted; nothing is left running.")
        return 130
    return code


def _project(root: Path) -> Project:
    """The implementation; its warnings are told."""
    project = projects.load(root)
    for warning in project.warnings:
        _say(f"warning: {warning}")
    return project


def _say(text: str) -> None:
    click.echo(text, err=True)
