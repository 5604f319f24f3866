"""The logs of a worker: lines and records for CloudWatch, and a log file of each attempt for S3."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from botocore.config import Config
from botocore.exceptions import ClientError

from ds.jobs.record import Record

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import InputLogEventTypeDef

logger = logging.getLogger("ds.worker")

SEND_SECONDS = 5

RETRY_SECONDS = (1, 30)
"""The first and the longest pause while CloudWatch does not answer."""

END_SECONDS = 5
"""A worker that ends waits for CloudWatch no longer than this."""

ONE_TRY = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})
"""Of a client: a request that hangs ends soon, and `Sender` repeats it."""

BATCH_BYTES = 900_000
"""PutLogEvents accepts 1,048,576 bytes and 10,000 events."""

EVENT_BYTES = 200
"""Memory that an event takes besides its text. PutLogEvents counts only 26 bytes."""

WAITING_BYTES = 32_000_000
"""Of a log group, while CloudWatch does not answer."""

LONGEST_LINE = 16_384
"""Bytes; a longer line goes to CloudWatch in pieces, and to the log file as it is."""

MOST_BYTES = 500_000_000
"""In the log file: a program that prints forever must not fill the disk of all slots."""

MOST_LINES, MOST_SENT_BYTES = 10_000, 10_000_000
"""Of one attempt to CloudWatch, where a gigabyte costs half a dollar."""

LAST_LINES = 50
"""That an attempt keeps for the reason of its failure: a stack trace of Java is long."""

OVERWRITTEN_SECONDS = 1
"""From one line that ends with a carriage return, such as a progress bar, to the next one sent."""


class Sender:
    """Sends events to the streams of an existing log group, in the background and in order. What
    fails is repeated until CloudWatch answers or the worker ends."""

    def __init__(self, client: CloudWatchLogsClient, group: str) -> None:
        self._client = client
        self._group = group
        self._events: deque[tuple[str, InputLogEventTypeDef]] = deque()
        self._created: set[str] = set()
        self._adding = threading.Lock()
        self._added_bytes = self._sent_bytes = self._dropped = 0
        self._due, self._closing = threading.Event(), threading.Event()
        self._end = float("inf")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        return self._added_bytes - self._sent_bytes

    def add(self, stream: str, text: str) -> None:
        """Add an event, unless WAITING_BYTES wait already."""
        text = text.encode(errors="replace").decode()
        with self._adding:
            if self.waiting_bytes > WAITING_BYTES:
                self._dropped += 1
                return
            if self._dropped:
                logger.warning("log group %s lacks %d lines", self._group, self._dropped)
                self._dropped = 0
            now = round(time.time() * 1000)
            self._events.append((stream, {"timestamp": now, "message": text}))
            self._added_bytes += _size(text)
        if self.waiting_bytes > BATCH_BYTES:
            self._due.set()

    def close(self, end: float) -> None:
        """Send what waits, until the time `end`; no `add` after this."""
        self._end = end
        self._closing.set()
        self._due.set()

    def join(self) -> None:
        """Wait for what `close` began."""
        self._thread.join(max(0, self._end - time.monotonic()))
        if self.waiting_bytes:
            logger.error("log group %s lacks the last %d bytes", self._group, self.waiting_bytes)

    def _run(self) -> None:
        closing = False
        while not closing:
            self._due.wait(SEND_SECONDS)
            self._due.clear()
            closing = self._closing.is_set()
            while self._events and time.monotonic() < self._end:
                self._send()

    def _send(self) -> None:
        """Send what one request accepts, in one request for each of its streams."""
        size = 0
        batch: defaultdict[str, list[InputLogEventTypeDef]] = defaultdict(list)
        while self._events and size < BATCH_BYTES:
            stream, event = self._events.popleft()
            batch[stream].append(event)
            size += _size(event["message"])
        for stream, events in batch.items():
            events.sort(key=itemgetter("timestamp"))  # a clock may have been set back
            pause, longest = RETRY_SECONDS
            while not self._delivered(stream, events):
                if self._closing.wait(pause):
                    time.sleep(RETRY_SECONDS[0])
                if time.monotonic() >= self._end:
                    return
                pause = min(2 * pause, longest)
        self._sent_bytes += size

    def _delivered(self, stream: str, events: list[InputLogEventTypeDef]) -> bool:
        group = self._group
        try:
            if stream not in self._created:
                with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
                    self._client.create_log_stream(logGroupName=group, logStreamName=stream)
                self._created.add(stream)
            self._client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        except Exception as error:  # of AWS, of a connection, of a response that is cut
            logger.warning("cannot send to log group %s: %s", group, error)
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code == "ResourceNotFoundException":
                self._created.discard(stream)
            return code in ("InvalidParameterException", "SerializationException")  # for ever
        return True


def _size(text: str) -> int:
    return len(text.encode()) + EVENT_BYTES


class WorkerLogs:
    """The worker's streams in two existing log groups: lines in one stream for each slot and one
    for the machine, records in one stream. Jobs continue if CloudWatch does not answer."""

    def __init__(
        self, client: CloudWatchLogsClient, log_group: str, record_group: str, worker: str
    ) -> None:
        self._worker = worker
        self._records = Sender(client, record_group)
        self._lines = Sender(client, log_group)

    def line(self, job_id: str, text: str) -> None:
        """Send one line of a job to the stream of the slot whose thread this is."""
        self._lines.add(f"{self._worker}/{threading.current_thread().name}", f"{job_id} {text}")

    def record(self, record: Record) -> None:
        """Send the record of an attempt that has ended."""
        self._records.add(self._worker, record.line())

    def close(self) -> None:
        """Send what has not been sent yet, for at most END_SECONDS; no calls after this."""
        end = time.monotonic() + END_SECONDS
        self._records.close(end)
        self._lines.close(end)
        self._records.join()
        self._lines.join()


class AttemptLog:
    """The log file of one attempt: what the worker reports and what the program prints."""

    def __init__(
        self, path: Path, job_id: str, logs: WorkerLogs, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._job_id = job_id
        self._logs = logs
        self._clock = clock
        self._file: BinaryIO = path.open("wb")
        self._rest = b""
        self._last: deque[bytes] = deque(maxlen=LAST_LINES)
        self._overwrite = False
        self._next_overwritten = 0.0
        self._lines_left = MOST_LINES
        self._sent_bytes_left = MOST_SENT_BYTES
        self._bytes_left = MOST_BYTES

    @property
    def last_lines(self) -> list[str]:
        """The program's last lines that are not blank, as a terminal shows them."""
        texts = (_ESCAPE.sub("", line.decode(errors="replace")) for line in self._last)
        shown = ("".join(c if c.isprintable() else " " for c in text) for text in texts)
        return [text.rstrip() for text in shown if text.strip()]

    def report(self, text: str) -> None:
        """Add a line of the worker."""
        self._end_line()
        self._file.write(f"[ds] {text}\n".encode(errors="replace"))
        self._send_pieces(f"[ds] {text}")

    def program(self, data: bytes) -> None:
        """Add a piece of what the program printed."""
        if self._bytes_left > 0:
            self._file.write(data)
            self._bytes_left -= len(data)
            if self._bytes_left <= 0:
                self._file.write(f"\n[ds] more than {MOST_BYTES} bytes are not kept\n".encode())
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r"))
        # A \r at the end may be the first half of \r\n.
        self._rest = self._overwritten(rest[:-1]) + rest[-1:]
        while len(self._rest) > LONGEST_LINE:
            end = _end_of_piece(self._rest)
            self._line(self._rest[:end])
            self._rest = self._rest[end:]

    def flush(self) -> None:
        """Write everything so far to the file."""
        self._end_line()
        self._file.flush()

    def close(self) -> None:
        """Flush and close; no calls after this."""
        self.flush()
        self._file.close()

    def _end_line(self) -> None:
        if self._rest:
            self._file.write(b"\n")
            self._line(self._rest.removesuffix(b"\r"))
            self._rest = b""

    def _line(self, line: bytes) -> None:
        line = self._overwritten(line)
        self._keep(line)
        self._overwrite = False
        self._send(line)

    def _overwritten(self, line: bytes) -> bytes:
        """Return the part of a line that no \\r ends; of the others, send at most one a second."""
        *overwritten, rest = line.split(b"\r")
        shown = next(filter(bytes.strip, reversed(overwritten)), None)
        if shown is not None:
            self._keep(shown)
            self._overwrite = True
            if self._clock() >= self._next_overwritten:
                self._next_overwritten = self._clock() + OVERWRITTEN_SECONDS
                self._send(shown)
        return rest

    def _keep(self, line: bytes) -> None:
        if line.strip():
            if self._overwrite:
                self._last.pop()
            self._last.append(line[: _end_of_piece(line)])

    def _send(self, line: bytes) -> None:
        if self._lines_left <= 0 or self._sent_bytes_left <= 0:
            return
        self._lines_left -= 1
        self._sent_bytes_left -= len(line)
        self._send_pieces(line.decode(errors="replace"))
        if self._lines_left <= 0 or self._sent_bytes_left <= 0:
            limit = f"{MOST_LINES} lines or {MOST_SENT_BYTES} bytes"
            self._logs.line(self._job_id, f"[ds] printed {limit}: the rest is in S3 only")

    def _send_pieces(self, text: str) -> None:
        for start in range(0, max(len(text), 1), LONGEST_LINE):
            self._logs.line(self._job_id, text[start : start + LONGEST_LINE])


_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colors and other control sequences (ECMA-48)


def _end_of_piece(data: bytes) -> int:
    """Return where to cut a line longer than LONGEST_LINE: not inside a UTF-8 character."""
    if len(data) <= LONGEST_LINE:
        return len(data)
    ends = range(LONGEST_LINE, LONGEST_LINE - 4, -1)
    return next((end for end in ends if data[end] & 0xC0 != 0x80), LONGEST_LINE)
