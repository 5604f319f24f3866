"""`submitJob`: send every group of a job file to the queue, once, even after an interruption."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path

import click
from rich.console import Console

from ds.cloud.client import Aws, reporting_errors
from ds.control.commands.common import job_file_argument, open_project
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project
from ds.control.submission.done_groups import DoneGroups
from ds.control.submission.submission import Submission, Unsent

SHOWN = 3
"""The number of messages that a dry run prints."""


@click.command()
@job_file_argument
@click.option("--dry-run", is_flag=True, help="Print the first messages and the count; send none.")
@click.option("--again", is_flag=True, help="Send all groups, including those already sent.")
@click.option("--skip-done", is_flag=True, help="Skip groups whose outputs are complete.")
@click.pass_obj
def command(root: Path, jobfile: Path, dry_run: bool, again: bool, skip_done: bool) -> int:
    """Send every group of JOBFILE to the queue as a message."""
    project = open_project(root)
    settings = project.settings
    jobs = read_job_file(jobfile, project.definition, settings.program)
    console = Console(highlight=False)
    with (
        reporting_errors(settings.AWS_PROFILE),
        contextlib.closing(DoneGroups(settings.output_rule)) as done_groups,
    ):
        aws = None if dry_run and not skip_done else Aws(settings)
        done: Container[int] = ()
        if skip_done and aws:
            prefixes = (project.resolve(job).output_prefix for job in jobs.jobs())
            done_groups.read(prefixes, jobs.count, aws.client("s3"), settings.AWS_BUCKET)
            done = done_groups
        if dry_run or aws is None:
            _show(project, jobs, done, console)
        else:
            Submission(project, jobs, done, aws, console).run(again)
    return 0


def _show(project: Project, jobs: JobFile, done: Container[int], console: Console) -> None:
    """Print the first messages and the number of messages."""
    left = Unsent(jobs.jobs(), [], done)
    count = 0
    for count, job in enumerate(left, 1):
        if count <= SHOWN:
            console.print(job.body(), markup=False, soft_wrap=True)
    if count > SHOWN:
        console.print(f"... and {count - SHOWN:,} more")
    left_out = f" ({left.left_out:,} are done and are skipped)" if left.left_out else ""
    console.print(
        f"{count:,} job{'s' * (count != 1)} would be sent to queue {project.settings.APP_NAME}"
        f"{left_out}; nothing was sent.",
        soft_wrap=True,
    )
