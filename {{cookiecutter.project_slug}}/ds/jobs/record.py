"""The structured record of one attempt, the source of reports, statistics and suggestions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from ds.jobs.variables import Value

MAX_BYTES = 1024

MOST_REASON = 400
"""Characters."""

Outcome = Literal["done", "skipped", "failed", "dead", "lost", "interrupted", "invalid"]


@dataclass(frozen=True)
class Record:
    """One attempt.

    Attributes:
        job_id: "" for a message that is not a job.
        group: the job's own variables; shortened if the record would be too large.
        attempt: the receive count of the message.
        start: ISO 8601, UTC.
        seconds: from receiving the message to the end.
        phases: seconds of those of fetch, run, check and upload that began.
        exit_code: of the command; None if it did not exit by itself.
        peak_memory_mb: peak resident memory of the command and its children, MB (1e6 bytes).
        bytes_in: downloaded.
        bytes_out: of the outputs; 0 unless the job is done, because only then do they count.
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
        """Write the record as one line of JSON of at most MAX_BYTES bytes."""
        lines = (json.dumps(asdict(one), separators=(",", ":")) for one in _versions(self))
        return next(line for line in lines if len(line) <= MAX_BYTES)


def _versions(record: Record) -> list[Record]:
    """Return the record, then shorter ones: less reason, less of the group, no group."""
    reason = shorten(record.reason, 300)
    group = {name[:30]: str(value)[:30] for name, value in list(record.group.items())[:8]}
    return [
        record,
        replace(record, reason=reason),
        replace(record, reason=reason, group=group),
        replace(record, reason=shorten(record.reason, 40), group={}, worker=record.worker[:40]),
    ]


def shorten(text: str, most: int) -> str:
    """Return at most `most` characters of a text: without the middle of its long words, such as
    keys, and if that is not enough, without the words in its middle."""
    if len(text) <= most:
        return text
    size = min(_LONG_WORD, most)
    text = re.sub(rf"\S{{{size + 1},}}", lambda word: _ends(word[0], size), text)
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    head, tail = text[:half], text[-half:]
    return f"{head.rpartition(' ')[0] or head} ... {tail.partition(' ')[2] or tail}"


_LONG_WORD = 80


def _ends(text: str, most: int) -> str:
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
