"""Jobs are sent as messages: how they are batched, and what happens to those that SQS refuses."""

import itertools
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ds.cloud.errors import CommandError
from ds.cloud.send import BATCH_BYTES, WAITS, batches, send
from ds.jobs.message import Job


def jobs(count: int, size: int = 10) -> Iterator[Job]:
    return (Job({}, {"n": n, "text": "x" * size}) for n in range(count))


class Queue:
    """SQS as far as `send` needs it; `refuse` decides which bodies fail in which request."""

    def __init__(
        self,
        refuse: Callable[[int, str], dict[str, Any] | None] = lambda request, body: None,
        seconds: float = 0,
    ) -> None:
        self.bodies: list[str] = []
        self.requests: list[list[str]] = []
        self.at_once = self.most_at_once = 0
        self._refuse = refuse
        self._seconds = seconds
        self._lock = threading.Lock()

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            number = len(self.requests)
            self.requests.append([entry["MessageBody"] for entry in Entries])
        time.sleep(self._seconds)
        assert QueueUrl == "queue"
        assert 1 <= len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        failed = []
        with self._lock:
            self.at_once -= 1
            for entry in Entries:
                failure = self._refuse(number, entry["MessageBody"])
                if failure:
                    failed.append({"Id": entry["Id"], **failure})
                else:
                    self.bodies.append(entry["MessageBody"])
        return {"Successful": [], "Failed": failed} if failed else {"Successful": []}


THROTTLED = {"SenderFault": False, "Code": "InternalError", "Message": "try again"}
INVALID = {"SenderFault": True, "Code": "InvalidMessageContents", "Message": "odd characters"}


def deliver(queue: Queue, message: Iterator[Job], **options: Any) -> int:
    return send(message, "queue", queue, **options)  # type: ignore[arg-type]


BATCHES = [
    (0, 10, []),
    (1, 10, [1]),
    (10, 10, [10]),
    (11, 10, [10, 1]),
    (25, 10, [10, 10, 5]),
    (3, BATCH_BYTES // 2, [1, 1, 1]),
    (5, BATCH_BYTES // 2 - 100, [2, 2, 1]),
    (2, BATCH_BYTES - 20_000, [1, 1]),
]


@pytest.mark.parametrize(("count", "size", "sizes"), BATCHES)
def test_batches_hold_ten_messages_and_one_mebibyte(
    count: int, size: int, sizes: list[int]
) -> None:
    found = list(batches(jobs(count, size)))
    assert [len(batch) for batch in found] == sizes
    assert all(sum(map(len, batch)) <= BATCH_BYTES for batch in found)
    assert list(itertools.chain(*found)) == [job.body() for job in jobs(count, size)]


@pytest.mark.parametrize("threads", [1, 4])
def test_every_job_is_sent_once_and_reported_in_the_order_of_the_file(threads: int) -> None:
    queue, told = Queue(), []
    assert deliver(queue, jobs(95), threads=threads, on_sent=told.append) == 95
    assert sorted(queue.bodies) == sorted(job.body() for job in jobs(95))
    assert told == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95]


def test_requests_are_sent_by_several_threads_and_no_more() -> None:
    queue = Queue(seconds=0.02)
    deliver(queue, jobs(300), threads=4)
    assert queue.most_at_once == 4


def test_only_refused_messages_are_sent_again_after_growing_waits() -> None:
    third = [job.body() for job in jobs(10)][2]
    waits: list[float] = []
    queue = Queue(lambda request, body: THROTTLED if body == third and request < 3 else None)
    assert deliver(queue, jobs(10), threads=1, sleep=waits.append) == 10
    assert [len(request) for request in queue.requests] == [10, 1, 1, 1]
    assert sorted(queue.bodies) == sorted(job.body() for job in jobs(10))
    assert waits == list(WAITS[:3]) == sorted(waits)


def test_a_message_that_is_always_refused_ends_the_submission_with_the_reason() -> None:
    waits: list[float] = []
    queue = Queue(lambda request, body: THROTTLED)
    with pytest.raises(
        CommandError, match="SQS refused 2 of 2 messages: InternalError: try again; fix that"
    ):
        deliver(queue, jobs(2), threads=1, sleep=waits.append)
    assert waits == list(WAITS)


def test_a_refusal_that_is_the_senders_fault_is_not_repeated() -> None:
    queue = Queue(lambda request, body: INVALID if '"n":1' in body else None)
    with pytest.raises(CommandError, match="SQS refused 1 of 2 messages: InvalidMessageContents"):
        deliver(queue, jobs(2), threads=1, sleep=lambda seconds: pytest.fail("waited"))
    assert len(queue.requests) == 1


def test_jobs_are_read_only_as_fast_as_they_are_sent() -> None:
    taken = 0

    def counted() -> Iterator[Job]:
        nonlocal taken
        for job in jobs(2000):
            taken += 1
            yield job

    most_ahead = 0

    def told(sent: int) -> None:
        nonlocal most_ahead
        most_ahead = max(most_ahead, taken - sent)

    deliver(Queue(), counted(), threads=2, on_sent=told)
    assert most_ahead <= 2 * 2 * 10 + 1


def test_more_jobs_need_no_more_memory() -> None:
    class Counting(Queue):
        def send_message_batch(self, **options: Any) -> dict[str, Any]:
            return {"Successful": []}

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            deliver(Counting(), jobs(count), threads=2)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    short, long = peak(1_000), peak(5_000)
    assert long < short * 1.5


def test_an_interruption_stops_after_the_batches_in_flight() -> None:
    queue = Queue(seconds=0.01)

    def interrupted() -> Iterator[Job]:
        yield from jobs(100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(queue, interrupted(), threads=2)
    assert len(queue.bodies) <= 100
