"""`shell`: open a shell in the image, in the folder of one job."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from ds.control import docker
from ds.control.commands.common import GROUP, data_option, job_file_argument, open_project
from ds.control.local.run import prepared
from ds.jobs.resolve import SHOWN, ResolvedJob

TOP = SHOWN.work.rpartition("/")[0]


@click.command()
@job_file_argument
@click.argument("number", type=GROUP, default=1, metavar="[N]")
@data_option
@click.pass_obj
def command(root: Path, jobfile: Path, number: int, data: Path) -> int:
    """Open a shell in the image.

    It opens in the folder of group N (default: 1), with the group's inputs.
    """
    project = open_project(root)
    resolved, inputs = prepared(project, jobfile, number, data)
    docker.inspect(project)
    folder = _lay_out(resolved, inputs)
    click.echo(
        f"The command of this job:\n  {shlex.join(resolved.arguments)}\nIts folder: {folder}",
        err=True,
    )
    words = docker.shell_command(
        project.settings,
        resolved,
        folder,
        platform.machine(),
        os.cpu_count() or 1,
        sys.stdin.isatty(),
    )
    return subprocess.run(words, check=False).returncode


def _lay_out(resolved: ResolvedJob, inputs: Mapping[str, Path]) -> Path:
    """Create the job's folder.

    Args:
        resolved: the job, with the folders as SHOWN.
        inputs: the files to copy, by their paths in the container.
    """
    folder = Path(tempfile.mkdtemp(prefix="ds-shell-"))
    for place in (SHOWN.inputs, SHOWN.shared, SHOWN.work, SHOWN.output):
        (folder / place.removeprefix(f"{TOP}/")).mkdir()
    for name, path in inputs.items():
        target = folder / name.removeprefix(f"{TOP}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (folder / SHOWN.job_json.removeprefix(f"{TOP}/")).write_text(json.dumps(resolved.document))
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o777)  # the image's user is another one
    return folder
