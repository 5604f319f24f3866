"""Sends the jobs of a local run to the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from ds.cloud.read import message_counts
from ds.cloud.send import send
from ds.control.local.aws import LocalAws
from ds.jobs.message import Job

WINDOW = 300
"""Messages in the queue at a time: moto counts the whole queue at each send."""

THREADS = 2
"""Few, because the emulator is one process."""

_POLL_SECONDS = 0.3


class Feeder:
    """Sends the jobs in a thread, never many more than the workers receive."""

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
        """Whether everything has been sent."""
        return not self._thread.is_alive()

    def sent(self) -> int:
        """Return the number of jobs sent so far; raise the error that ended the sending."""
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
