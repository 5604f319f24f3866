"""The sender of a local run's jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from ds.cloud.read import message_counts
from ds.cloud.send import send
from ds.control.local.aws import LocalAws
from ds.jobs.message import Job

WINDOW = 300
"""The maximum number of messages in the queue: moto counts the whole queue at each send."""

THREADS = 2
"""The number of sending threads: few, because the emulator is one process."""

_POLL_SECONDS = 0.3


class Feeder:
    """A thread that sends the jobs about as fast as the workers receive them."""

    def __init__(self, aws: LocalAws, jobs: Iterable[Job]) -> None:
        self._aws = aws
        self._jobs = jobs
        self._stop = threading.Event()
        self._sent = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether sending has ended."""
        return not self._thread.is_alive()

    def sent(self) -> int:
        """Return the number of jobs sent so far; if sending failed, raise its error."""
        if self._error:
            raise self._error
        return self._sent

    def _run(self) -> None:
        def length() -> int:
            return message_counts(self._aws.sqs, self._aws.settings.queue_url).total

        def on_sent(count: int) -> None:
            self._sent = count

        try:
            jobs = windowed(self._jobs, length, self._stop)
            send(jobs, self._aws.settings.queue_url, self._aws.sqs, THREADS, on_sent)
        except BaseException as error:
            self._error = error


def windowed(
    jobs: Iterable[Job], length: Callable[[], int], stop: threading.Event, size: int = WINDOW
) -> Iterator[Job]:
    """Yield the jobs, but wait while the queue contains more than `size` messages."""
    for number, job in enumerate(jobs):
        if number and number % (size // 6) == 0:
            while length() > size and not stop.is_set():
                stop.wait(_POLL_SECONDS)
        if stop.is_set():
            return
        yield job
