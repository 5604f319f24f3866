"""The logs of a worker: lines and records for CloudWatch, and a log file per attempt for S3."""

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

logger = logging.getLogger("ds.worker")

SEND_SECONDS = 5

LONGEST_LINE = 16_384
"""In bytes. A longer line is sent to CloudWatch in pieces, but written to the log file whole."""

MOST_BYTES = 500_000_000
"""Limit of the log file: a program that prints forever must not fill the disk of all slots."""

MOST_LINES = 10_000
"""Limit of one attempt's lines in CloudWatch, because each line takes memory and costs money."""


class WorkerLogs:
    """The worker's logs in two existing log groups. Lines go to one stream per slot and one for the
    machine; records go to a single stream. Jobs continue if CloudWatch does not respond."""

    def __init__(
        self,
        client: CloudWatchLogsClient,
        log_group: str,
        record_group: str,
        worker: str,
        slots: int,
    ) -> None:
        threads = [*(f"slot-{slot}" for slot in range(slots)), "machine"]
        streams = [f"{worker}/{thread}" for thread in threads]
        self._lines = _channel(client, log_group, streams, f"{worker}/{{thread_name}}")
        self._records = _channel(client, record_group, [worker], worker)

    def line(self, job_id: str, text: str) -> None:
        """Send one line of a job to the stream of the current thread's slot."""
        self._lines.info("%s %s", job_id, text)

    def record(self, record: Record) -> None:
        """Send the record of an attempt that has ended."""
        self._records.info("%s", record.line())

    def close(self) -> None:
        """Send everything that has not been sent yet; call no method afterwards."""
        for channel in (self._lines, self._records):
            for handler in channel.handlers:
                handler.close()


class AttemptLog:
    """The log file of one attempt: what the worker reports and what the program prints."""

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
        """The program's last line that is not blank, as a terminal shows it."""
        text = _ESCAPE.sub("", self._last.decode(errors="replace"))
        shown = next(filter(str.strip, reversed(text.split("\r"))), "")
        return "".join(c if c.isprintable() else " " for c in shown).strip()

    def report(self, text: str) -> None:
        """Add a line from the worker."""
        self._end_line()
        self._file.write(f"[ds] {text}\n".encode(errors="replace"))
        self._logs.line(self._job_id, f"[ds] {text}")

    def program(self, data: bytes) -> None:
        """Add a piece of the program's output."""
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
        """End the current line and write all buffered text to the file."""
        self._end_line()
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file; call no method afterwards."""
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
            rest = f"[ds] printed {MOST_LINES} lines: the rest is in S3 only"
            self._logs.line(self._job_id, rest)


_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colors and other control sequences (ECMA-48)


def _end_of_piece(data: bytes) -> int:
    """Return where to split a line longer than LONGEST_LINE, never inside a UTF-8 character."""
    ends = range(LONGEST_LINE, LONGEST_LINE - 4, -1)
    return next((end for end in ends if data[end] & 0xC0 != 0x80), LONGEST_LINE)


def _channel(
    client: CloudWatchLogsClient, group: str, streams: Iterable[str], template: str
) -> logging.Logger:
    """Create the streams; return a logger that sends to the stream that `template` names."""
    for stream in streams:
        # watchtower creates a missing stream itself, but drops the lines that arrive meanwhile.
        try:
            client.create_log_stream(logGroupName=group, logStreamName=stream)
        except client.exceptions.ResourceAlreadyExistsException:
            pass
        except (BotoCoreError, ClientError) as error:
            logger.warning("cannot create log stream %s: %s", stream, error)
    handler = CloudWatchLogHandler(
        log_group_name=group,
        log_stream_name=template,
        send_interval=SEND_SECONDS,
        boto3_client=client,
        create_log_group=False,
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    channel = logging.Logger(group)  # not from getLogger, so it has no other handlers
    channel.addHandler(handler)
    return channel
