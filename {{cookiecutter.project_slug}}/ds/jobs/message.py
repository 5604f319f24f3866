"""The SQS message of a job: a JSON object with the shared variables and the job's `group`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from ds.jobs.problems import Problem, did_you_mean
from ds.jobs.variables import Value, value_problem

MAX_BYTES = 1024 * 1024 - 16 * 1024
"""The largest body: SQS accepts 1 MiB including attributes, and dead letters have more attributes
("Amazon SQS message quotas")."""

_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class InvalidMessage(Exception):
    """A message that is not a job; the text is the reason."""


@dataclass(frozen=True)
class Job:
    """One job: the variables shared by all jobs, and those of its group."""

    shared: Mapping[str, Value]
    group: Mapping[str, Value]

    @property
    def variables(self) -> dict[str, Value]:
        """The shared variables and those of the group."""
        return {**self.shared, **self.group}

    @cached_property
    def job_id(self) -> str:
        """16 hex digits that depend only on the message, so equal jobs have the same ID."""
        canonical = _CANONICAL({**self.shared, "group": dict(self.group)})
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def body(self) -> str:
        """Return the message body in ASCII: SQS refuses some characters that JSON can escape."""
        return _COMPACT({**self.shared, "group": dict(self.group)})


def decode(body: str) -> Job:
    """Read the job in a message body, or raise InvalidMessage."""
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidMessage("not a JSON object")
    group = document.pop("group", None)
    if not isinstance(group, dict):
        raise InvalidMessage('it does not have a "group" object')
    return Job(shared=document, group=group)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def check_job(job: Job, types: Mapping[str, str], config: Mapping[str, Value]) -> Iterator[Problem]:
    """Report every problem of a job's variables; the place is the name of the variable.

    `types` contains the type of every variable, and `config` contains the program's settings.
    """
    own = job.variables
    given = {**config, **own}
    if len(given) < len(config) + len(job.shared) + len(job.group):
        yield from _defined_twice(job, config)
    for name in own:
        if name not in types:
            hint = did_you_mean(name, types, "remove it, or add it to VARIABLES in job.py")
            yield Problem(name, "unknown variable", hint)
    for name, type_ in types.items():
        if name not in given:
            hint = "set one in the group, above groups or in config.py (null for no value)"
            yield Problem(name, "has no value", hint)
        elif reason := value_problem(given[name], type_):
            yield Problem(name, reason, f"its type in job.py is {type_}")


def _defined_twice(job: Job, config: Mapping[str, Value]) -> Iterator[Problem]:
    levels = {"the shared variables": job.shared, "the group": job.group, "config.py": config}
    for name in job.variables:
        holders = [level for level, variables in levels.items() if name in variables]
        if len(holders) > 1:
            message = f"is defined twice, in {' and '.join(holders)}"
            yield Problem(name, message, "keep one of them")
