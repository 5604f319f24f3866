"""`local`: run the jobs of a job file on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console

from ds.control.commands.common import (
    GROUP,
    PATH,
    data_option,
    job_file_argument,
    json_option,
    open_project,
)
from ds.control.local import run


@click.command()
@job_file_argument
@data_option
@click.option(
    "--output",
    type=PATH,
    default=Path("local-output"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of worker processes, each with DOCKER_CORES jobs at a time.",
)
@click.option("--only", type=GROUP, multiple=True, help="Run only this group; 1 is the first.")
@click.option("--docker", is_flag=True, help="Run the jobs in the image, as on AWS.")
@json_option
@click.pass_obj
def command(
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
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    options = run.Options(data, output, workers, only, docker)
    summary = run.local(open_project(root), jobfile, options, console)
    if as_json:
        click.echo(summary.json())
    return summary.exit_code
