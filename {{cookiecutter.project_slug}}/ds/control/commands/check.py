"""`check`: report every problem before anything is created or paid for."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from ds.cloud.client import Aws, explain
from ds.cloud.errors import CommandError
from ds.control import docker
from ds.control.checks.ask import ask_aws, is_enabled
from ds.control.checks.rules import BAD_INPUT, NOT_ASKED, AwsFacts, Given, Unknown, find_problems
from ds.control.commands.common import PATH, json_option
from ds.control.files.fleet_file import EXAMPLE, read_fleet_file
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project, read_project
from ds.jobs.links import docs_url
from ds.jobs.problems import BadInput, Problem
from ds.jobs.resolve import Input

SAMPLE = 5
"""The number of groups, besides the first and the last, whose inputs are checked."""


@click.command()
@click.argument("jobfile", type=PATH, required=False, metavar="[JOBFILE]")
@click.option("--fleet", type=PATH, help=f"Fleet file to check, instead of {EXAMPLE}.")
@click.option("--offline", is_flag=True, help="Check the files only; do not ask AWS.")
@json_option
@click.pass_obj
def command(
    root: Path, jobfile: Path | None, fleet: Path | None, offline: bool, as_json: bool
) -> int:
    """Report every problem in settings, jobs, fleet and account.

    Nothing is created or changed.
    """
    report = check(root, jobfile, fleet, offline)
    click.echo(report.json() if as_json else "\n".join(report.lines()))
    return report.exit_code


@dataclass(frozen=True)
class Report:
    """The result of `check`: problems and warnings, each with its code, and unknown facts."""

    found: tuple[Problem, ...] = ()
    unknown: tuple[Unknown, ...] = ()

    @property
    def problems(self) -> list[Problem]:
        """The problems that must be corrected."""
        return [problem for problem in self.found if not problem.warning]

    @property
    def warnings(self) -> list[str]:
        """The texts of problems that may be intended."""
        return [str(problem) for problem in self.found if problem.warning]

    @property
    def exit_code(self) -> int:
        """0 no problems, 1 problems, 2 a file is not valid, 3 AWS could not be asked."""
        codes = {problem.code for problem in self.problems}
        if codes.intersection(BAD_INPUT):
            return 2
        return 3 if codes.intersection(NOT_ASKED) else int(bool(codes))

    def json(self) -> str:
        """Return the report as one JSON object."""
        findings = [
            {"code": one.code, "message": one.statement, "hint": one.hint, "link": _link(one)}
            for one in self.problems
        ]
        document = {
            "exit_code": self.exit_code,
            "findings": findings,
            "warnings": self.warnings,
            "unknown": [vars(one) for one in self.unknown],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def lines(self) -> list[str]:
        """Return the report for a person."""
        lines = [f"warning: {warning}" for warning in self.warnings]
        lines += [f"unknown: {one.message}: {one.why}" for one in self.unknown]
        for problem in self.problems:
            lines += [f"{problem.code} {problem.statement}", f"  {problem.hint} ({_link(problem)})"]
        count = len(self.problems)
        lines.append(f"{count or 'No'} problem{'s' * (count != 1)} found.")
        return lines


def _link(problem: Problem) -> str:
    return docs_url("findings", problem.code.lower())


def check(root: Path, jobs: Path | None, fleet: Path | None, offline: bool) -> Report:
    """Check the implementation in `root`, and the job file and fleet file if they are given.

    Without `fleet`, files/exampleFleet.json is checked if it exists.
    """
    settings, definition, problems = read_project(root)
    found = _coded("DS-CONFIG", problems)
    unknown: list[Unknown] = []
    fleet_file = None
    if fleet or (root / EXAMPLE).exists():
        try:
            fleet_file = read_fleet_file(fleet or root / EXAMPLE)
        except BadInput as error:
            found += _coded("DS-FLEET", error.problems)
    else:
        unknown.append(Unknown("where machines will start", f"{EXAMPLE} does not exist"))
    groups = project = None
    if settings and definition:
        project = Project(root, settings, definition)
        found += _coded("DS-CONFIG", project.warnings)
        with contextlib.suppress(BadInput, CommandError):  # no image on this machine
            found += _coded("DS-BUILT", docker.inspect(project))
        if jobs:
            try:
                groups = read_job_file(jobs, definition, settings.program)
            except BadInput as error:
                found += _coded("DS-JOBS", error.problems)
    if settings:
        given = Given(settings, fleet_file, answers(root), _base(root), known_regions())
        facts = AwsFacts()
        if offline:
            unknown.append(Unknown("everything that AWS must answer", "--offline"))
        elif settings.AWS_REGION in given.regions:
            inputs = sample_inputs(project, groups) if project and groups else {}
            refused, facts, unanswered = _ask(given, inputs)
            found += refused
            unknown += unanswered
        found += find_problems(given, facts)
    return Report(tuple(found), tuple(unknown))


def _coded(code: str, problems: Iterable[Problem]) -> list[Problem]:
    return [replace(problem, code=code) for problem in problems]


def _ask(
    given: Given, inputs: dict[int, list[Input]]
) -> tuple[list[Problem], AwsFacts, list[Unknown]]:
    """Ask AWS; if it cannot be asked, return the reason as a problem."""
    try:
        aws = Aws(given.settings)
        try:
            _ = aws.caller
        except ClientError:
            # A region that is not enabled does not accept credentials either.
            if not is_enabled(aws):
                return [], AwsFacts(enabled=False), []
            raise
        return [], *ask_aws(aws, given, inputs)
    except (BotoCoreError, ClientError) as error:
        unreachable = isinstance(error, (ConnectionError, HTTPClientError))
        code = "DS-UNREACHABLE" if unreachable else "DS-CREDENTIALS"
        problem = explain(error, given.settings.AWS_PROFILE)
        return _coded(code, [problem]), AwsFacts(), []


def sample_inputs(project: Project, groups: JobFile) -> dict[int, list[Input]]:
    """Return the inputs of the first, the last and some random groups, by group number."""
    numbers = sample(groups.count, random.Random())
    chosen = ((number, job) for number, job in enumerate(groups.jobs(), 1) if number in numbers)
    return {number: project.resolve(job).inputs for number, job in chosen}


def sample(count: int, chance: random.Random) -> set[int]:
    """Return the numbers of the groups to check: the first, the last and some random groups."""
    between = range(2, count)
    return {1, count, *chance.sample(between, min(SAMPLE, len(between)))}


@functools.cache
def known_regions() -> frozenset[str]:
    """Return all regions of every partition that botocore knows, regardless of ~/.aws."""
    no_file: Any = (None, [], os.devnull, None)
    variables = {"config_file": no_file, "credentials_file": no_file}
    session = botocore.session.Session({"profile": (None, [], None, None), **variables})
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition, allow_non_regional=False)
    )


def answers(root: Path) -> dict[str, str]:
    """Return the answers to the template's questions in .cruft.json, or an empty dictionary."""
    try:
        state = json.loads((root / ".cruft.json").read_text(encoding="utf-8"))
        return {name: str(value) for name, value in state["context"]["cookiecutter"].items()}
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}


def _base(root: Path) -> str:
    """Return the base image of the Dockerfile, or "" without a Dockerfile."""
    try:
        return docker.base_of((root / "Dockerfile").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
