"""`python run.py check`: all that is wrong, at once, before anything is made or paid for."""

from __future__ import annotations

import functools
import json
import os
import random
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
)

from ds.cloud.client import Aws, explain
from ds.cloud.errors import CommandError
from ds.control.checks.ask import ask_aws, is_enabled
from ds.control.checks.rules import (
    BAD_INPUT,
    NOT_ASKED,
    AwsFacts,
    Finding,
    Given,
    Unknown,
    findings,
    of_problems,
)
from ds.control.commands import image
from ds.control.files.fleet_file import EXAMPLE, read_fleet_file
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project, read_project
from ds.jobs.problems import BadInput, Problem
from ds.jobs.resolve import Input
from ds.jobs.settings import Settings

PAGE = "docs/findings.md"

SAMPLE = 5
"""Groups besides the first and the last whose inputs are looked for."""


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        findings: what is wrong.
        warnings: what is probably not meant.
        unknown: what could not be looked at.
        page: where each finding's code has its section: a path of DS, or an address.
    """

    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    page: str = PAGE

    @property
    def exit_code(self) -> int:
        """0 nothing is wrong, 1 something is, 2 a file cannot be used, 3 AWS was not asked."""
        codes = {finding.code for finding in self.findings}
        return 2 if codes & BAD_INPUT else 3 if codes & NOT_ASKED else 1 if codes else 0

    def link(self, finding: Finding) -> str:
        """Where a finding is explained."""
        return f"{self.page}#{finding.code.lower()}"

    def json(self) -> str:
        """All of it as one JSON object."""
        document = {
            "exit_code": self.exit_code,
            "findings": [asdict(one) | {"link": self.link(one)} for one in self.findings],
            "warnings": self.warnings,
            "unknown": [asdict(one) for one in self.unknown],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def lines(self) -> list[str]:
        """All of it for a person."""
        lines = [f"warning: {warning}" for warning in self.warnings]
        lines += [f"unknown: {one.message}: {one.why}" for one in self.unknown]
        for one in self.findings:
            lines += [f"{one.code} {one.message}", f"  {one.hint} ({self.link(one)})"]
        count = len(self.findings)
        lines.append("Nothing is wrong." if not count else f"{count} finding{'s' * (count > 1)}.")
        return lines


def check(root: Path, jobs: Path | None, fleet: Path | None, offline: bool) -> Report:
    """Look at everything.

    Args:
        root: the implementation's folder.
        jobs: a job file, or None.
        fleet: a fleet file; None for files/exampleFleet.json, if there is one.
        offline: ask nothing of AWS.
    """
    settings, definition, problems = read_project(root)
    found = of_problems("DS-CONFIG", problems)
    default = root / EXAMPLE
    chosen = fleet or (default if default.exists() else None)
    fleet_file = None
    if chosen:
        try:
            fleet_file = read_fleet_file(chosen)
        except BadInput as error:
            found += of_problems("DS-FLEET", error.problems)
    groups = None
    warnings = [str(problem) for problem in problems if problem.warning]
    if settings and definition:
        project = Project(root, settings, definition)
        built = _of_the_image_here(project)
        found += of_problems("DS-BUILT", built)
        said = [*project.warnings, *(problem for problem in built if problem.warning)]
        warnings = [str(warning) for warning in said]
        if jobs:
            try:
                groups = read_job_file(jobs, definition, settings.program)
            except BadInput as error:
                found += of_problems("DS-JOBS", error.problems)
    unknown: list[Unknown] = []
    if not chosen:
        unknown.append(Unknown("where machines are to start", f"there is no {EXAMPLE}"))
    account = AwsFacts()
    state = cruft(root)
    if settings:
        given = Given(settings, fleet_file, answers(state), base(root), known_regions())
        if offline:
            unknown.append(Unknown("all that AWS would have to say", "--offline"))
        elif settings.AWS_REGION in given.regions:
            inputs = sample_inputs(project, groups) if groups else {}
            refused, account, more = _ask(settings, given, inputs)
            found += refused
            unknown += more
        found += findings(given, account)
    return Report(tuple(found), tuple(warnings), tuple(unknown), page(state))


def _ask(
    settings: Settings, given: Given, inputs: dict[int, list[Input]]
) -> tuple[list[Finding], AwsFacts, list[Unknown]]:
    """What AWS says; a finding instead where it does not know who asks."""
    try:
        aws = Aws(settings)
        try:
            _ = aws.caller
        except ClientError:
            # A region that is not enabled knows nobody, either.
            if not is_enabled(aws):
                return [], AwsFacts(enabled=False), []
            raise
        account, unknown = ask_aws(aws, given, inputs)
    except (ConnectionError, HTTPClientError) as error:
        return [_not_asked("DS-UNREACHABLE", error, settings)], AwsFacts(), []
    except (BotoCoreError, ClientError) as error:
        return [_not_asked("DS-CREDENTIALS", error, settings)], AwsFacts(), []
    return [], account, unknown


def _of_the_image_here(project: Project) -> list[Problem]:
    """What is said against the image that was built; nothing where it is not on this machine."""
    try:
        return image.inspect(project)
    except CommandError:
        return []


def _not_asked(code: str, error: BotoCoreError | ClientError, settings: Settings) -> Finding:
    message, _, hint = explain(error, settings.AWS_PROFILE).partition("; ")
    return Finding(code, message, hint or "log in, then run it again")


def sample_inputs(project: Project, groups: JobFile) -> dict[int, list[Input]]:
    """The inputs of the first, the last and some random groups, by number from 1."""
    numbers = sample(groups.count, random.Random())
    wanted = {}
    for number, job in enumerate(groups.jobs(), 1):
        if number in numbers:
            wanted[number] = project.resolve(job).inputs
    return wanted


def sample(count: int, chance: random.Random) -> set[int]:
    """Numbers of groups to look at: the first, the last, and some between."""
    between = range(2, count)
    return {1, count, *chance.sample(between, min(SAMPLE, len(between)))}


@functools.cache
def known_regions() -> frozenset[str]:
    """All regions that botocore knows, of every partition; ~/.aws is not looked at."""
    nowhere: Any = (None, [], os.devnull, None)
    files = {"config_file": nowhere, "credentials_file": nowhere}
    known = botocore.session.Session({"profile": (None, [], None, None), **files})
    return frozenset(
        region
        for partition in known.get_available_partitions()
        for region in known.get_available_regions("ec2", partition, allow_non_regional=False)
    )


def cruft(root: Path) -> dict[str, Any]:
    """What .cruft.json says of the template; empty without it."""
    try:
        state = json.loads((root / ".cruft.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def answers(state: dict[str, Any]) -> dict[str, str]:
    """The answers to the template's questions."""
    context = state.get("context", {})
    given = context.get("cookiecutter", {}) if isinstance(context, dict) else {}
    return {name: str(value) for name, value in given.items()} if isinstance(given, dict) else {}


def page(state: dict[str, Any]) -> str:
    """The page of the findings, as it was when this repository was made or last updated."""
    template, commit = str(state.get("template", "")), str(state.get("commit", ""))
    github = re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+?(\.git)?/?", template)
    if not github or not re.fullmatch(r"[0-9a-f]{40}", commit):
        return PAGE
    return f"{template.rstrip('/').removesuffix('.git')}/blob/{commit}/{PAGE}"


def base(root: Path) -> str:
    """What the Dockerfile's last stage stands on; "" without one."""
    try:
        return image.base_of((root / "Dockerfile").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
