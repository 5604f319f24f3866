"""The structured record of one attempt, the source of reports, statistics and suggestions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from ds.jobs.variables import Value

MAX_BYTES = 1024

Outcome = Literal["done", "skipped", "failed", "dead", "lost", "interrupted", "invalid"]


@dataclass(frozen=True)
class Record:
    """One attempt.

    Attributes:
        job_id: "" for a message that is not a job.
        group: the variables of the job's group; shortened if the record would be too large.
        attempt: the receive count of the message.
        start: the start time in UTC (ISO 8601).
        seconds: the time from receiving the message to the end of the attempt.
        phases: the seconds of fetch, run, check and upload.
        exit_code: the command's exit code; None if the command did not exit by itself.
        peak_memory_mb: peak resident memory of the command and its children, MB (1e6 bytes).
        bytes_in, bytes_out: the bytes downloaded and uploaded.
        reason: why the job is not done.
    """

    job_id: str
    group: Mapping[str, Value]
    attempt: int
    start: str
    outcome: Outcome
    worker: str
    slot: int
    seconds: float = 0
    phases: Mapping[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    peak_memory_mb: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reason: str = ""

    def line(self) -> str:
        """Return the record as one line of JSON of at most MAX_BYTES bytes."""
        lines = (json.dumps(asdict(one), separators=(",", ":")) for one in _versions(self))
        return next(line for line in lines if len(line) <= MAX_BYTES)


def _versions(record: Record) -> list[Record]:
    """Return the record and ever shorter versions: shorter reason, shorter group, no group."""
    reason = record.reason[:300]
    group = {name[:30]: str(value)[:30] for name, value in list(record.group.items())[:8]}
    return [
        record,
        replace(record, reason=reason),
        replace(record, reason=reason, group=group),
        replace(record, reason=record.reason[:40], group={}, worker=record.worker[:40]),
    ]
