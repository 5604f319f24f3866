"""The slots of a worker, on fakes: what they receive, do and give back."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from ds.worker.lease import Lease
from ds.worker.service import CannotWork, Slots
from ds.worker.sqs import Received
from ds.worker.stop import StopFlag
from tests.unit.attempt_bench import JOB, VISIBILITY, Bench


class Leases:
    """Answers to receiving, one after the other."""

    def __init__(self, *answers: Callable[[], list[Lease]]) -> None:
        self._answers = list(answers)
        self.limits: list[int] = []
        self.dropped: list[str] = []

    def receive(self, limit: int, wait_seconds: int) -> list[Lease]:
        self.limits.append(limit)
        return self._answers.pop(0)()

    def drop(self, lease: Lease) -> None:
        self.dropped.append(lease.message.receipt)

    def keep_renewing(self) -> None:
        """Renew nothing."""

    def end(self) -> None:
        """Nothing is to be ended."""


class Worker:
    """A worker with two slots."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder, DOCKER_CORES=2)

    def message(self, receipt: str) -> Lease:
        message = Received(receipt, JOB.body(), 1)
        return Lease(message, self.bench.clock(), VISIBILITY, self.bench.clock)

    def then_sigterm(self, *leases: Lease) -> list[Lease]:
        self.bench.sigterm()
        return list(leases)

    def nothing_until_sigterm(self) -> list[Lease]:
        assert self.bench.stopping.wait(10)
        return []

    def serve(self, *answers: Callable[[], list[Lease]]) -> Leases:
        leases = Leases(*answers)
        Slots(self.bench.context(), leases).serve()  # type: ignore[arg-type]
        return leases


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_a_worker_receives_for_its_free_slots_until_sigterm(worker: Worker) -> None:
    leases = worker.serve(lambda: [], lambda: [], worker.then_sigterm)
    assert leases.limits == [2, 2, 2]
    assert worker.bench.events.noted == []


def test_a_message_that_comes_with_sigterm_is_given_back(worker: Worker) -> None:
    leases = worker.serve(lambda: worker.then_sigterm(worker.message("a"), worker.message("b")))
    assert leases.dropped == ["a", "b"]
    assert worker.bench.events.noted == ["message released for 0"] * 2


def test_a_running_attempt_is_waited_for_and_its_lease_dropped(worker: Worker) -> None:
    worker.bench.at["upload"] = worker.bench.sigterm
    leases = worker.serve(lambda: [worker.message("a")], worker.nothing_until_sigterm)
    assert leases.dropped == ["a"]
    assert worker.bench.events.of("message", "record") == ["message deleted", "record done"]


@pytest.mark.parametrize("line", range(1, 12))
def test_a_signal_at_any_line_of_the_wait_ends_it(line: int) -> None:
    """A handler runs between two lines of the thread that waits."""
    stopping = StopFlag()
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and next(lines) == line:
            stopping.set()
        return trace

    def wait() -> None:
        sys.settrace(trace)
        while not stopping.wait(0.01):
            continue

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(10)
    assert not waiting.is_alive()


def test_receiving_goes_on_while_sqs_does_not_answer(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network() -> list[Lease]:
        raise ConnectTimeoutError(endpoint_url="https://sqs")

    waits: list[float] = []
    monkeypatch.setattr(worker.bench.stopping, "wait", lambda pause=None: waits.append(pause))
    slots = Slots(
        worker.bench.context(),
        leases := Leases(*[no_network] * 7, lambda: [], no_network, worker.then_sigterm),  # type: ignore[arg-type]
    )
    slots._poll()
    assert waits == [1, 2, 4, 8, 16, 30, 30, 1]
    assert leases.limits == [2] * 10


def test_a_worker_without_its_queue_ends(worker: Worker) -> None:
    def no_queue() -> list[Lease]:
        error = {"Code": "QueueDoesNotExist", "Message": "The queue does not exist."}
        raise ClientError({"Error": error}, "ReceiveMessage")  # type: ignore[typeddict-item]

    with pytest.raises(CannotWork, match="the queue no longer exists"):
        worker.serve(no_queue)
