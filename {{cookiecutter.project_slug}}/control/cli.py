"""`python run.py COMMAND`: the commands, their options, and how errors are told.

Exit codes: 0 all is well, 1 some jobs are dead, 2 bad input or nothing could be started,
130 interrupted.
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

from control import project as projects
from control import show as showing
from control.errors import Stopped
from control.project import Project
from worker.problems import BadInput

JOB_FILE = click.Path(path_type=Path)


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
@click.option("--only", type=int, multiple=True, help="Only this group; 1 is the first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_obj
def local(
    root: Path,
    jobfile: Path,
    data: Path,
    output: Path,
    workers: int,
    only: tuple[int, ...],
    as_json: bool,
) -> int:
    """Run the jobs of JOBFILE on this machine, without AWS."""
    # Here, because boto3 takes a second to load and the other commands do without.
    from control import local as running

    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    project = _project(root)
    options = running.Options(data, output, workers, only)
    summary = running.local(project, jobfile, options, console)
    if as_json:
        click.echo(summary.json())
    return summary.exit_code


@commands.command()
@click.argument("jobfile", type=JOB_FILE)
@click.argument("number", type=click.IntRange(1), required=False, metavar="[N]")
@click.option("--json", "as_json", is_flag=True, help="JSON; of all groups where none is named.")
@click.pass_obj
def show(root: Path, jobfile: Path, number: int | None, as_json: bool) -> int:
    """Show arguments, inputs and output prefix of group N (the first), without running it."""
    for text in showing.show(_project(root), jobfile, number, as_json):
        click.echo(text)
    return 0


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
    try:
        code: int = commands.main(
            args=None if words is None else list(words),
            prog_name="python run.py",
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
    except Stopped as error:
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
