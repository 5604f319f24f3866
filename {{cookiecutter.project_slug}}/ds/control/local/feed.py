"""The jobs of a local run on their way to the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from ds.cloud.send import send
from ds.control.local.aws import LocalAws
from ds.jobs.message import Job

WINDOW = 300
"""Messages in the queue at a time: moto's send counts the whole queue, and so slows with it."""

THREADS = 2
"""That send; the emulator is one process."""

_LOOK_SECONDS = 0.3


class Feeder:
    """Sends the jobs in a thread of its own, never many more than the workers take."""

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
        """How many jobs have been sent; raises what went wrong."""
        if self._error:
            raise self._error
        return self._sent

    def _run(self) -> None:
        def length() -> int:
            return sum(self._aws.queue_counts())

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
    """The jobs, held back while more than `size` of them are in the queue."""
    for number, job in enumerate(jobs):
        if number and number % (size // 6) == 0:
            while length() > size and not stop.is_set():
                stop.wait(_LOOK_SECONDS)
        if stop.is_set():
            return
        yield job
