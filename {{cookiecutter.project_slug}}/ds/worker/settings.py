"""What a worker is told by its environment, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ds.jobs.problems import BadInput, Problem
from ds.jobs.variables import Value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _object(text: str) -> Mapping[str, Value]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError
    return document


def _delays(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


@dataclass(frozen=True)
class WorkerSettings:
    """A worker's settings.

    Attributes:
        app_name: APP_NAME of config.py.
        run_id: names the run; part of the logs' keys.
        bucket: where inputs, outputs and logs lie.
        queue_url, dead_letter_url: the run's queues.
        log_group: lines go here, records to `record_group`.
        slots: jobs at a time.
        cpus_per_job: what `{cores}` is.
        job_retries: attempts in all before a failing job is dead.
        job_timeout_minutes: longest time of the command.
        check_if_done: skip a job whose outputs are there already.
        expected_number_files, min_file_size_bytes, necessary_string: when outputs are complete.
        working_folder: "" for a fresh one, "image" for the worker's own, or a path.
        config: the program's own settings.
        scratch: folder for inputs, work and outputs; "" for a temporary one.
        visibility_seconds: for how long a received message is hidden unless renewed.
        retry_delays: seconds before the second, third, ... attempt; the last one repeats.
        poll_seconds: longest wait for a message in one request.
    """

    app_name: str
    run_id: str
    bucket: str
    queue_url: str
    dead_letter_url: str
    log_group: str
    slots: int = 1
    cpus_per_job: int = 1
    job_retries: int = 3
    job_timeout_minutes: float = 60
    check_if_done: bool = False
    expected_number_files: int = 1
    min_file_size_bytes: int = 1
    necessary_string: str = ""
    working_folder: str = ""
    config: Mapping[str, Value] = field(default_factory=dict)
    scratch: str = ""
    visibility_seconds: float = 60
    retry_delays: tuple[float, ...] = (10, 60, 300)
    poll_seconds: int = 5

    @property
    def record_group(self) -> str:
        """The log group of the records, one line an attempt."""
        return f"{self.log_group}_records"

    @property
    def log_prefix(self) -> str:
        """Where in the bucket this run's logs lie."""
        return f"logs/{self.app_name}/{self.run_id}"

    def environment(self) -> dict[str, str]:
        """These settings as environment variables: what `read` reads."""
        return {name: write(getattr(self, key)) for name, key, _, write in _VARIABLES}

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> WorkerSettings:
        """The settings that an environment holds.

        Raises:
            BadInput: a variable is missing or cannot be read.
        """
        values: dict[str, Any] = {}
        problems = []
        for name, key, parse, _ in _VARIABLES:
            if name in environment:
                try:
                    values[key] = parse(environment[name])
                except (ValueError, KeyError):
                    message = f"{environment[name]!r} cannot be read"
                    problems.append(Problem(f"environment, {name}", message, "start it by run.py"))
            elif key in _REQUIRED:
                problems.append(Problem(f"environment, {name}", "is missing", "start it by run.py"))
        if problems:
            raise BadInput(problems)
        return cls(**values)


_REQUIRED = ("app_name", "run_id", "bucket", "queue_url", "dead_letter_url", "log_group")

_VARIABLES: tuple[tuple[str, str, Callable[[str], Any], Callable[[Any], str]], ...] = (
    ("APP_NAME", "app_name", str, str),
    ("DS_RUN", "run_id", str, str),
    ("AWS_BUCKET", "bucket", str, str),
    ("SQS_QUEUE_URL", "queue_url", str, str),
    ("SQS_DEAD_LETTER_URL", "dead_letter_url", str, str),
    ("LOG_GROUP_NAME", "log_group", str, str),
    ("DOCKER_CORES", "slots", _positive, str),
    ("CPUS_PER_JOB", "cpus_per_job", _positive, str),
    ("JOB_RETRIES", "job_retries", _positive, str),
    ("JOB_TIMEOUT_MINUTES", "job_timeout_minutes", float, str),
    ("CHECK_IF_DONE_BOOL", "check_if_done", _boolean, str),
    ("EXPECTED_NUMBER_FILES", "expected_number_files", int, str),
    ("MIN_FILE_SIZE_BYTES", "min_file_size_bytes", int, str),
    ("NECESSARY_STRING", "necessary_string", str, str),
    ("WORKING_FOLDER", "working_folder", str, str),
    ("DS_CONFIG_VARIABLES", "config", _object, json.dumps),
    ("DS_SCRATCH", "scratch", str, str),
    ("DS_VISIBILITY_SECONDS", "visibility_seconds", float, str),
    ("DS_RETRY_DELAYS", "retry_delays", _delays, lambda delays: ",".join(map(str, delays))),
    ("DS_POLL_SECONDS", "poll_seconds", int, str),
)
