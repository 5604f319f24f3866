"""The journal of the groups in a job file that SQS has already accepted.

With the journal, an interrupted submission continues where it stopped, and a finished submission
is not repeated by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ds.cloud.errors import CommandError

FOLDER = ".submissions"
"""The folder of the journals in the implementation."""


class Journal:
    """The groups of one job file that are in one queue.

    The file contains JSON lines: first the job file and the queue; then the first and last group of
    each batch that SQS accepted, in the order of its answers; finally the time of completion. If a
    process is killed, its incomplete last line is not valid JSON and is ignored.

    Args:
        path: the path of the file.
        digest: identifies the job file by its messages.
        count: the number of groups in the job file.
        queue, created: the URL and creation time, because a later queue can have the same URL.
        again: whether to discard the content of the file.

    Attributes:
        accepted: the groups that earlier processes sent, as ranges that do not overlap.
        finished: the time when all groups were sent; "" if some were not.
        resumed: whether an earlier process began to send.

    Raises:
        CommandError: another process is sending this job file.
    """

    def __init__(
        self, path: Path, digest: str, count: int, queue: str, created: str, again: bool
    ) -> None:
        self.accepted: list[tuple[int, int]] = []
        self.finished = ""
        self._lock = threading.Lock()
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            message = "Another process is sending this job file; wait until it ends"
            raise CommandError(message) from None
        self._file.seek(0)
        head = {"jobs": digest, "count": count, "queue": queue, "created": created}
        lines = list(_json_lines(self._file))
        self.resumed = lines[:1] == [head] and not again
        if not self.resumed:
            self._file.truncate(0)
            self._write(head)
            return
        self.accepted = merged((line[0], line[1]) for line in lines[1:] if isinstance(line, list))
        if isinstance(lines[-1], dict):
            self.finished = lines[-1].get("finished", "")
        # The last line may be incomplete.
        self._file.write("\n")

    @property
    def accepted_count(self) -> int:
        """The number of groups in `accepted`."""
        return sum(last - first + 1 for first, last in self.accepted)

    def add(self, first: int, last: int) -> None:
        """Record that SQS accepted these groups, and all unsent ones between them."""
        with self._lock:
            self._write([first, last])

    def finish(self, when: str) -> None:
        """Record that all groups are sent."""
        self._write({"finished": when})

    def close(self) -> None:
        """Close the file; no other method can be called afterward."""
        self._file.close()

    def _write(self, line: object) -> None:
        self._file.write(json.dumps(line) + "\n")
        # This is enough if the process is killed; a power failure may cause more duplicates.
        self._file.flush()


def _json_lines(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge ranges that overlap or touch; a range includes both ends."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
