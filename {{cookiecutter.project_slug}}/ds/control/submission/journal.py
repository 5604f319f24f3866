"""The journal: which groups of a job file SQS has already accepted.

With it, an interrupted submission continues where it stopped, and a finished one is not repeated
by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ds.cloud.errors import CommandError

FOLDER = ".submissions"
"""The journals' folder in the implementation."""


@dataclass(frozen=True)
class QueueIdentity:
    """A queue, distinguishable from a later queue of the same name."""

    url: str
    created: str


class Journal:
    """The groups of one job file that are in one queue.

    A file of JSON lines: first the job file and the queue; then the first and last group of each
    batch that SQS accepted, in the order of its answers; at the end, the time of completion. The
    unfinished line of a killed process is not valid JSON, and is ignored.

    Args:
        path: the file.
        digest: names the job file by its messages.
        count: groups in the job file.
        queue: where they are sent.

    Attributes:
        accepted: groups that an earlier process sent, as ranges that do not overlap.
        finished: when all groups were sent; "" if they were not.
        resumed: whether an earlier process had begun.
    """

    def __init__(self, path: Path, digest: str, count: int, queue: QueueIdentity) -> None:
        self._path = path
        self._head = {
            "jobs": digest,
            "count": count,
            "queue": queue.url,
            "created": queue.created,
        }
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self.accepted: list[tuple[int, int]] = []
        self.finished = ""
        self.resumed = False

    @property
    def accepted_count(self) -> int:
        """The number of groups in `accepted`."""
        return sum(last - first + 1 for first, last in self.accepted)

    def open(self, again: bool) -> None:
        """Read the file, and prepare to write to it.

        Args:
            again: discard what the file holds.

        Raises:
            CommandError: another process is sending this job file.
        """
        self._path.parent.mkdir(exist_ok=True)
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise CommandError(
                "Another process is sending this job file; wait until it ends"
            ) from None
        self._file = file
        file.seek(0)
        lines = list(_json_lines(file))
        if again or not lines or lines[0] != self._head:
            file.truncate(0)
            self._write(self._head)
            return
        self.resumed = True
        self.accepted = merged((line[0], line[1]) for line in lines[1:] if isinstance(line, list))
        last = lines[-1]
        self.finished = last["finished"] if isinstance(last, dict) and "finished" in last else ""
        file.seek(0, os.SEEK_END)
        # The last line may be unfinished.
        file.write("\n")

    def add(self, first: int, last: int) -> None:
        """Record that SQS accepted these groups, and all unsent ones between them."""
        with self._lock:
            self._write([first, last])

    def finish(self, when: str) -> None:
        """Record that all groups are sent."""
        self._write({"finished": when})

    def close(self) -> None:
        """Close the file; no calls after this."""
        if self._file:
            self._file.close()

    def _write(self, line: object) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        # Enough if the process is killed; if the machine loses power, more may be sent twice.
        self._file.flush()


def _json_lines(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same numbers as few sorted ranges; both ends of a range are included."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
