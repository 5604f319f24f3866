"""The environment variables that configure a worker: `setup` and `local` write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, get_origin, get_type_hints

from ds.jobs.problems import BadInput, Problem
from ds.jobs.settings import JobSettings
from ds.jobs.variables import as_text

LOCAL_ONLY = ("DS_SCRATCH", "DS_VISIBILITY_SECONDS", "DS_RETRY_DELAYS", "DS_POLL_SECONDS")
"""Variables that only `local` and tests set; on AWS the worker uses its defaults."""


def _from_variable(variable: str, **default: Any) -> Any:
    return field(metadata={"variable": variable}, **default)


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(JobSettings):
    """The settings of a worker: the settings of config.py that it needs, and those of the run.

    Attributes:
        run_id: the name of the run, which is part of the keys of its logs.
        queue_url, dead_letter_url: the queues of the run.
        scratch: the folder for inputs, work and outputs; "" for a temporary folder.
        visibility_seconds: the visibility timeout of a message, extended while its job runs.
        retry_delays: seconds before the second, third, ... attempt; the last value repeats.
        poll_seconds: the longest wait for a message in one request.
    """

    run_id: str = _from_variable("DS_RUN")
    queue_url: str = _from_variable("SQS_QUEUE_URL")
    dead_letter_url: str = _from_variable("SQS_DEAD_LETTER_URL")
    scratch: str = _from_variable("DS_SCRATCH", default="")
    visibility_seconds: float = _from_variable("DS_VISIBILITY_SECONDS", default=60)
    retry_delays: tuple[float, ...] = _from_variable("DS_RETRY_DELAYS", default=(10, 60, 300))
    poll_seconds: int = _from_variable("DS_POLL_SECONDS", default=5)

    @property
    def log_prefix(self) -> str:
        """The prefix of this run's logs in the bucket."""
        return f"logs/{self.APP_NAME}/{self.run_id}"

    @classmethod
    def of(
        cls, settings: JobSettings, run_id: str, queue_url: str, dead_letter_url: str
    ) -> WorkerSettings:
        """Create the settings of a run's workers."""
        shared = {item.name: getattr(settings, item.name) for item in fields(JobSettings)}
        return cls(**shared, run_id=run_id, queue_url=queue_url, dead_letter_url=dead_letter_url)

    def environment(self) -> dict[str, str]:
        """Return these settings as the environment variables that `read` reads."""
        return {_variable(item): as_text(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> WorkerSettings:
        """Read the settings from environment variables, or raise BadInput."""
        values: dict[str, Any] = {}
        problems = []
        types = get_type_hints(cls)
        for item in fields(cls):
            name = _variable(item)
            if name in environment:
                try:
                    values[item.name] = _parse(environment[name], item, types[item.name])
                except ValueError:
                    message = f"{environment[name]!r} cannot be read"
                    problems.append(Problem(f"environment, {name}", message, _HINT))
            elif name in _NEEDED or (item.default is item.default_factory is MISSING):
                problems.append(Problem(f"environment, {name}", "has no value", _HINT))
        if problems:
            raise BadInput(problems)
        return cls(**values)


_HINT = "start the worker with run.py"

_NEEDED = ("AWS_BUCKET", "LOG_GROUP_NAME")
"""Settings whose defaults in config.py a worker cannot use."""

_JSON_TYPES: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    tuple: (list,),
    Mapping: (dict,),
}


def _variable(item: Field[Any]) -> str:
    """Return the environment variable of a setting: its name, unless the field defines another."""
    return str(item.metadata.get("variable", item.name))


def _parse(text: str, item: Field[Any], type_: Any) -> Any:
    """Read a text that `as_text` wrote; raise ValueError if it is not of the given type."""
    if type_ is str:
        return text
    value = json.loads(text.lower() if type_ is bool else text)
    if type(value) not in _JSON_TYPES[get_origin(type_) or type_]:
        raise ValueError
    least = item.metadata.get("limits", {}).get("ge")
    if least is not None and value < least:
        raise ValueError
    return tuple(value) if isinstance(value, list) else value
