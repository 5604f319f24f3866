"""A job as it travels: the body of one SQS message.

A body is a JSON object: the variables that all jobs share, and under `group` those of this job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from ds.jobs.problems import Problem, closest
from ds.jobs.variables import Value, value_problem

MAX_BYTES = 1024 * 1024 - 16 * 1024
"""Largest body: SQS takes 1 MiB with attributes, and the dead-letter queue adds some
("Amazon SQS message quotas")."""

_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class InvalidMessage(Exception):
    """A message that is no job; its text is the reason."""


@dataclass(frozen=True)
class Job:
    """One job: the variables shared by all jobs, and those of its own group."""

    shared: Mapping[str, Value]
    group: Mapping[str, Value]

    @property
    def variables(self) -> dict[str, Value]:
        """Shared variables and group together."""
        return {**self.shared, **self.group}

    @cached_property
    def job_id(self) -> str:
        """16 hex digits, known from the message alone, equal for equal jobs."""
        canonical = _CANONICAL({**self.shared, "group": dict(self.group)})
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def body(self) -> str:
        """The message's body, in ASCII: SQS refuses some characters that JSON can escape."""
        return _COMPACT({**self.shared, "group": dict(self.group)})


def decode(body: str) -> Job:
    """The job that a message's body holds.

    Raises:
        InvalidMessage: it is not JSON, or not the shape of a job.
    """
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidMessage("not a JSON object")
    group = document.pop("group", None)
    if not isinstance(group, dict):
        raise InvalidMessage('it has no "group" object')
    return Job(shared=document, group=group)


def problems(job: Job, types: Mapping[str, str], config: Mapping[str, Value]) -> list[Problem]:
    """What is wrong with a job's variables, each problem's `where` being the variable.

    Args:
        job: the job, its values as JSON gave them.
        types: every known variable and its type.
        config: the program's own settings from config.py.
    """
    own = job.variables
    given = {**config, **own}
    return [
        *_doubled(job, config, len(given)),
        *(_unknown(name, types) for name in own if name not in types),
        *_missing(given, types),
        *_wrong_values(given, types),
    ]


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _doubled(job: Job, config: Mapping[str, Any], different: int) -> list[Problem]:
    """Names at two levels; none where there are as many different names as names."""
    if different == len(config) + len(job.shared) + len(job.group):
        return []
    levels = {"the shared variables": job.shared, "the group": job.group, "config.py": config}
    found = []
    for name in dict.fromkeys([*job.shared, *job.group]):
        holders = [level for level, variables in levels.items() if name in variables]
        if len(holders) > 1:
            message = f"is given at two levels, {' and '.join(holders)}"
            found.append(Problem(name, message, "keep one of them"))
    return found


def _unknown(name: str, types: Mapping[str, str]) -> Problem:
    suggestion = closest(name, types)
    if suggestion:
        return Problem(name, "is no variable of job.py", f"did you mean {suggestion}?")
    return Problem(name, "is no variable of job.py", "remove it, or add it to VARIABLES in job.py")


def _missing(given: Mapping[str, Value], types: Mapping[str, str]) -> list[Problem]:
    hint = "give it one in the group, beside groups or in config.py (null if none)"
    return [Problem(name, "has no value", hint) for name in types if name not in given]


def _wrong_values(given: Mapping[str, Value], types: Mapping[str, str]) -> list[Problem]:
    return [
        Problem(name, reason, f"its type in job.py is {types[name]}")
        for name, value in given.items()
        if name in types and (reason := value_problem(value, types[name]))
    ]
