"""`show`: what a job would do, without doing it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project
from ds.jobs.message import Job
from ds.jobs.resolve import Input


def show(project: Project, path: Path, number: int | None, as_json: bool) -> Iterator[str]:
    """The text to print, in pieces of a line or more.

    Args:
        project: the implementation.
        path: a job file.
        number: the group; None is the first one, or all of them as JSON.
        as_json: one JSON object, or a list of all where no group is named.

    Raises:
        BadInput: the job file is not valid, or does not have this group.
    """
    jobs = read_job_file(path, project.definition, project.settings.program)
    if not as_json:
        yield _human(project, jobs, number or 1)
    elif number:
        yield json.dumps(_document(project, number, jobs.job(number)), indent=2)
    else:
        for at, job in enumerate(jobs.jobs(), 1):
            yield ("[" if at == 1 else ",") + json.dumps(_document(project, at, job), indent=2)
        yield "]"


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


def _human(project: Project, jobs: JobFile, number: int) -> str:
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
