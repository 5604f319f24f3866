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


@click.command()
@job_file_argument
@click.argument("number", type=GROUP, default=1, metavar="[N]")
@data_option
@click.pass_obj
def command(root: Path, jobfile: Path, number: int, data: Path) -> int:
    """Open a shell in the image.

    It opens in the working folder of group N (default: 1), with the group's inputs.
    """
    project = open_project(root)
    resolved, inputs = prepared(project, jobfile, number, data)
    docker.inspect(project)
    folder = _job_folder(resolved, inputs)
    command_line = shlex.join(resolved.arguments)
    click.echo(f"The command of this job:\n  {command_line}\nIts folder: {folder}", err=True)
    machine, cores, tty = platform.machine(), os.cpu_count() or 1, sys.stdin.isatty()
    words = docker.shell_command(project.settings, resolved, folder, machine, cores, tty)
    return subprocess.run(words, check=False).returncode


def _job_folder(resolved: ResolvedJob, inputs: Mapping[str, Path]) -> Path:
    """Create JOB_FOLDER on this machine; `inputs` maps paths in the container to files."""
    folder = Path(tempfile.mkdtemp(prefix="ds-shell-"))

    def outside(path: str) -> Path:
        return folder / os.path.relpath(path, docker.JOB_FOLDER)

    for path in (SHOWN.inputs, SHOWN.shared, SHOWN.work, SHOWN.output):
        outside(path).mkdir()
    for path, file in inputs.items():
        outside(path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, outside(path))
    outside(SHOWN.job_json).write_text(json.dumps(resolved.document))
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o777)  # the container may run as another user
    return folder
