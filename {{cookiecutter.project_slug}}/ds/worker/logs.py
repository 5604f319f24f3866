"""Where a worker writes: lines and records to CloudWatch, and one file an attempt for S3."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError
from watchtower import CloudWatchLogHandler

from ds.jobs.record import Record

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

log = logging.getLogger("ds.worker")

SEND_SECONDS = 5

LONGEST_LINE = 16_384
"""Bytes; a longer line goes to CloudWatch in pieces. The attempt's own log has it whole."""

MOST_BYTES = 500_000_000
"""Of an attempt's own log: one that prints for ever may not fill the disk for all slots."""

MOST_LINES = 10_000
"""Of one attempt to CloudWatch: its queue is in memory and a line costs, so a program that prints
for ever must not fill them. The attempt's own log has all of them."""


class WorkerLogs:
    """The worker's two log groups. CloudWatch being away never stops a job.

    Args:
        client: CloudWatch Logs.
        log_group, record_group: their names; both exist already.
        worker: names this worker's streams: one a slot, one for the machine, one for records.
        slots: how many slots it has.
    """

    def __init__(
        self,
        client: CloudWatchLogsClient,
        log_group: str,
        record_group: str,
        worker: str,
        slots: int,
    ) -> None:
        threads = [*(f"slot-{slot}" for slot in range(slots)), "machine"]
        _make_streams(client, log_group, [f"{worker}/{thread}" for thread in threads])
        _make_streams(client, record_group, [worker])
        self._lines = _logger("ds.lines", client, log_group, f"{worker}/{{thread_name}}")
        self._records = _logger("ds.records", client, record_group, worker)

    def line(self, job_id: str, text: str) -> None:
        """One line of a job, to the stream of the slot whose thread this is."""
        self._lines.info("%s %s", job_id, text)

    def record(self, record: Record) -> None:
        """The record of an attempt that has ended."""
        self._records.info("%s", record.line())

    def close(self) -> None:
        """Send what is still here."""
        for logger in (self._lines, self._records):
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()


class AttemptLog:
    """The full log of one attempt: what the worker says of it and what the program prints.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, job_id: str, logs: WorkerLogs) -> None:
        self.path = path
        self._job_id = job_id
        self._logs = logs
        self._file: BinaryIO = path.open("wb")
        self._rest = b""
        self._last = b""
        self._lines_left = MOST_LINES
        self._bytes_left = MOST_BYTES

    @property
    def last_line(self) -> str:
        """What a terminal would show of the last line that the program printed, if not blank."""
        *_, shown = (
            "",
            *filter(str.strip, _ESCAPE.sub("", self._last.decode(errors="replace")).split("\r")),
        )
        return "".join(c if c.isprintable() else " " for c in shown).strip()

    def say(self, text: str) -> None:
        """A line of the worker's own."""
        self._end_line()
        self._file.write(f"[ds] {text}\n".encode(errors="replace"))
        self._logs.line(self._job_id, f"[ds] {text}")

    def program(self, data: bytes) -> None:
        """A piece of what the program printed, as it came."""
        if self._bytes_left > 0:
            self._file.write(data)
            self._bytes_left -= len(data)
            if self._bytes_left <= 0:
                self._file.write(f"\n[ds] more than {MOST_BYTES} bytes are not kept\n".encode())
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._send(line)
        while len(self._rest) > LONGEST_LINE:
            end = _end_of_piece(self._rest)
            self._send(self._rest[:end])
            self._rest = self._rest[end:]

    def flush(self) -> None:
        """Everything said and printed so far is in the file."""
        self._end_line()
        self._file.flush()

    def close(self) -> None:
        """The last call."""
        self.flush()
        self._file.close()

    def _end_line(self) -> None:
        if self._rest:
            self._file.write(b"\n")
            self._send(self._rest)
            self._rest = b""

    def _send(self, line: bytes) -> None:
        if line.strip():
            self._last = line
        if self._lines_left == 0:
            return
        self._lines_left -= 1
        text = line.decode(errors="replace").rstrip("\r")
        for start in range(0, max(len(text), 1), LONGEST_LINE):
            self._logs.line(self._job_id, text[start : start + LONGEST_LINE])
        if self._lines_left == 0:
            self._logs.line(
                self._job_id, f"[ds] printed {MOST_LINES} lines: the rest is in S3 only"
            )


_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and the like (ECMA-48)


def _end_of_piece(data: bytes) -> int:
    """Where to cut what is longer than LONGEST_LINE: not inside a character of UTF-8."""
    ends = range(LONGEST_LINE, LONGEST_LINE - 4, -1)
    return next((end for end in ends if data[end] & 0xC0 != 0x80), LONGEST_LINE)


def _make_streams(client: CloudWatchLogsClient, group: str, streams: Iterable[str]) -> None:
    """Make streams before anything is written: watchtower makes a missing one by itself, but
    drops what it is given meanwhile."""
    for stream in streams:
        try:
            client.create_log_stream(logGroupName=group, logStreamName=stream)
        except client.exceptions.ResourceAlreadyExistsException:
            pass
        except (BotoCoreError, ClientError) as error:
            log.warning("could not make the log stream %s: %s", stream, error)


def _logger(name: str, client: CloudWatchLogsClient, group: str, stream: str) -> logging.Logger:
    handler = CloudWatchLogHandler(
        log_group_name=group,
        log_stream_name=stream,
        send_interval=SEND_SECONDS,
        boto3_client=client,
        create_log_group=False,
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger
