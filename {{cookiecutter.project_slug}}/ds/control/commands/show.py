"""`show`: print what a job would do, without running it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from ds.control.commands.common import GROUP, job_file_argument, open_project
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project
from ds.jobs.message import Job
from ds.jobs.resolve import Input


@click.command()
@job_file_argument
@click.argument("number", type=GROUP, required=False, metavar="[N]")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON. If N is omitted, print all groups."
)
@click.pass_obj
def command(root: Path, jobfile: Path, number: int | None, as_json: bool) -> int:
    """Print what group N (default: 1) would do, without running it."""
    project = open_project(root)
    jobs = read_job_file(jobfile, project.definition, project.settings.program)
    if not as_json:
        click.echo(_text(project, jobs, number or 1))
    elif number:
        click.echo(json.dumps(_document(project, number, jobs.job(number)), indent=2))
    else:
        for at, job in enumerate(jobs.jobs(), 1):
            document = json.dumps(_document(project, at, job), indent=2)
            click.echo(("[" if at == 1 else ",") + document)
        click.echo("]")
    return 0


def _document(project: Project, number: int, job: Job) -> dict[str, Any]:
    resolved = project.resolve(job)
    return {
        "group": number,
        "job_id": resolved.job_id,
        "arguments": resolved.arguments,
        "inputs": [
            {"from": _source(item), "to": item.path, "shared": item.shared}
            for item in resolved.inputs
        ],
        "output_prefix": resolved.output_prefix,
    }


def _text(project: Project, jobs: JobFile, number: int) -> str:
    resolved = project.resolve(jobs.job(number))
    inputs = [f"  {_source(item)} -> {item.path}" for item in resolved.inputs]
    return "\n".join(
        [
            f"group {number} of {jobs.count}, job {resolved.job_id}",
            "command:",
            f"  {shlex.join(resolved.arguments)}",
            "inputs:" if inputs else "inputs: none",
            *inputs,
            "outputs:",
            f"  s3://{project.settings.AWS_BUCKET}/{resolved.output_prefix}/",
        ]
    )


def _source(item: Input) -> str:
    return f"s3://{item.bucket}/{item.key}{item.pattern}"
