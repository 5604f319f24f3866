"""Leases by the clock: a message is this worker's until it may be another's, never longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from ds.worker.lease import Leases
from ds.worker.sqs import Received

VISIBILITY = 60.0


class Clock:
    """Time that passes only by `sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Queue:
    """SQS with what leases need: visibility, and one receipt for each receive.

    `forgiving` takes receipts of messages that were visible in between, as moto does and AWS may:
    the fence must not need SQS to refuse them.
    """

    def __init__(self, clock: Clock, bodies: Sequence[str] = (), forgiving: bool = True) -> None:
        self._clock = clock
        self._forgiving = forgiving
        self._hidden_until = dict.fromkeys(bodies, 0.0)
        self._receipts: dict[str, str] = {}
        self._latest: dict[str, str] = {}
        self.requests = 0
        self.waited: list[int] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.codes: dict[str, str] = {}

    def receive(self, limit: int, wait_seconds: int, visibility_seconds: float) -> list[Received]:
        self.waited.append(wait_seconds)
        self.before()
        visible = [body for body, end in self._hidden_until.items() if end <= self._clock()]
        found = []
        for body in visible[:limit]:
            receipt = f"{body} received at {self._clock()}"
            self._receipts[receipt] = body
            self._latest[body] = receipt
            self._hidden_until[body] = self._clock() + visibility_seconds
            found.append(Received(receipt, body, 1))
        self.after()
        return found

    def extend(self, receipts: Sequence[str], seconds: float) -> dict[str, str]:
        self.requests += 1
        self.before()
        refused = {}
        for receipt in receipts:
            body = self._receipts[receipt]
            code = self.codes.get(body)
            if code is None and not self._forgiving and self._hidden_until[body] <= self._clock():
                code = "MessageNotInflight"
            if code is None:
                self._hidden_until[body] = self._clock() + seconds
            else:
                refused[receipt] = code
        self.after()
        return refused


class Bench:
    """A clock, a queue and two workers at it."""

    def __init__(self, *bodies: str, forgiving: bool = True) -> None:
        self.clock = Clock()
        self.queue = Queue(self.clock, bodies or ("job",), forgiving)
        self.leases = self.worker()

    def worker(self) -> Leases:
        return Leases(self.queue, VISIBILITY, self.clock)  # type: ignore[arg-type]


def refuse(code: str) -> Callable[[], None]:
    def fail() -> None:
        raise ClientError({"Error": {"Code": code, "Message": code}}, "ChangeMessageVisibility")

    return fail


def no_network() -> None:
    raise ConnectTimeoutError(endpoint_url="https://sqs")


@pytest.mark.parametrize("seconds", [1, 20, 60, 600, 11 * 3600])
def test_a_message_that_is_renewed_has_one_start(seconds: int) -> None:
    bench = Bench()
    other = bench.worker()
    (lease,) = bench.leases.receive(10, 5)
    for second in range(seconds):
        bench.clock.sleep(1)
        if second % 20 == 19:
            bench.leases.renew()
        assert lease.held
        assert other.receive(10, 5) == []


@pytest.mark.parametrize(
    ("at", "held"), [(0, True), (59.9, True), (60, False), (61, False), (10**6, False)]
)
def test_a_message_that_is_not_renewed_is_lost_when_it_is_visible(at: float, held: bool) -> None:
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    bench.clock.sleep(at)
    assert lease.held is held
    assert bool(bench.worker().receive(10, 5)) is not held


def test_a_worker_that_is_stopped_for_90_seconds_has_lost_its_message() -> None:
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    bench.clock.sleep(20)
    bench.leases.renew()
    bench.clock.sleep(90)
    assert not lease.held
    assert bench.worker().receive(10, 5)
    requests = bench.queue.requests
    for _ in range(5):
        bench.leases.renew()
        assert not lease.held
    assert bench.queue.requests == requests  # an expired lease is never renewed


@pytest.mark.parametrize("seconds", [61, 90, 10_000])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("at", [0, 20, 59])
def test_a_stop_inside_a_renewal_does_not_make_a_lost_message_held(
    at: float, place: str, seconds: float
) -> None:
    """Even where SQS takes the renewal, since another worker may have had it in between."""
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    bench.clock.sleep(at)
    stolen = []

    def stop() -> None:
        bench.clock.sleep(seconds)
        bench.queue.before = bench.queue.after = lambda: None
        stolen.extend(bench.worker().receive(10, 5))

    setattr(bench.queue, place, stop)
    bench.leases.renew()
    assert len(stolen) == 1
    assert stolen[0].held
    assert not lease.held


class StopsOnce(Clock):
    """Time that jumps at its n-th reading: a process stopped between any two lines."""

    def __init__(self, look: int, seconds: float) -> None:
        super().__init__()
        self._look = look
        self._seconds = seconds

    def __call__(self) -> float:
        seen = self.now
        self._look -= 1
        if self._look == 0:
            self.now += self._seconds
        return seen


@pytest.mark.parametrize("look", range(1, 15))
def test_two_workers_never_hold_one_message_wherever_one_is_stopped(look: int) -> None:
    clock = StopsOnce(look, 90)
    queue = Queue(clock, ["job"])
    stopped, other = (Leases(queue, VISIBILITY, clock) for _ in range(2))  # type: ignore[arg-type]
    taken = stopped.receive(10, 5)
    for _ in range(3):
        clock.sleep(20)
        stopped.renew()
        taken += other.receive(10, 5)
        assert sum(lease.held for lease in taken) <= 1


def test_an_answer_that_comes_after_the_end_does_not_count() -> None:
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    bench.clock.sleep(59)
    bench.queue.before = lambda: bench.clock.sleep(5)  # it arrives when others may receive
    bench.leases.renew()
    assert not lease.held


@pytest.mark.parametrize(
    ("visibility", "wanted", "waited"),
    [(60, 5, 5), (60, 20, 15), (60, 60, 15), (20, 20, 5), (6, 5, 1), (2, 5, 1)],
)
def test_a_long_poll_takes_at_most_a_quarter_of_the_visibility(
    visibility: float, wanted: int, waited: int
) -> None:
    clock = Clock()
    queue = Queue(clock)
    Leases(queue, visibility, clock).receive(10, wanted)  # type: ignore[arg-type]
    assert queue.waited == [waited]


def test_the_time_of_a_long_poll_is_a_part_of_the_lease() -> None:
    bench = Bench()
    bench.queue.after = lambda: bench.clock.sleep(61)  # stopped before it could look
    (lease,) = bench.leases.receive(10, 5)
    assert not lease.held


@pytest.mark.parametrize(
    ("code", "held"),
    [
        ("MessageNotInflight", False),
        ("AWS.SimpleQueueService.MessageNotInflight", False),
        ("ReceiptHandleIsInvalid", False),
        ("InvalidParameterValue", False),
        ("InternalError", True),
        ("RequestThrottled", True),
    ],
)
def test_a_refused_renewal_shows_whose_the_message_is(code: str, held: bool) -> None:
    bench = Bench("refused", "other")
    refused, other = bench.leases.receive(10, 5)
    bench.queue.codes = {"refused": code}
    bench.clock.sleep(20)
    bench.leases.renew()
    assert refused.held is held
    assert other.held
    bench.clock.sleep(41)
    assert not refused.held  # it was not renewed in any case
    assert other.held


def test_what_was_refused_once_stays_lost() -> None:
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    bench.queue.codes = {"job": "MessageNotInflight"}
    bench.leases.renew()
    bench.queue.codes = {}
    bench.leases.renew()
    assert not lease.held
    assert bench.queue.requests == 1


@pytest.mark.parametrize(
    "trouble", [no_network, refuse("InternalError"), refuse("RequestThrottled")]
)
@pytest.mark.parametrize(("away", "held"), [(0, True), (10, True), (35, True), (60, False)])
def test_a_network_that_is_away_for_half_a_minute_loses_nothing(
    trouble: Callable[[], None], away: float, held: bool
) -> None:
    bench = Bench()
    (lease,) = bench.leases.receive(10, 5)
    back = bench.clock() + 19 + away
    pause = 20.0
    while bench.clock() < back + 60:
        bench.clock.sleep(pause)
        bench.queue.before = trouble if bench.clock() < back else lambda: None
        pause = bench.leases.renew()
    assert lease.held is held
    assert bool(bench.worker().receive(10, 5)) is not held


def test_renewals_are_rare_while_sqs_answers() -> None:
    bench = Bench()
    bench.leases.receive(10, 5)
    assert [bench.leases.renew() for _ in range(3)] == [20, 20, 20]


def test_a_dropped_lease_is_not_renewed() -> None:
    bench = Bench("a", "b")
    first, second = bench.leases.receive(10, 5)
    bench.leases.drop(first)
    bench.leases.drop(first)
    bench.clock.sleep(50)
    bench.leases.renew()
    bench.clock.sleep(20)
    assert (first.held, second.held) == (False, True)


def test_without_leases_there_is_no_request() -> None:
    bench = Bench()
    bench.leases.renew()
    assert bench.queue.requests == 0


def test_renewing_goes_on_until_it_is_ended() -> None:
    """Nothing else may end it: the jobs of all slots depend on it."""
    clock = Clock()
    queue = Queue(clock, ["job"])
    leases = Leases(queue, 0.003, clock)  # type: ignore[arg-type]
    (lease,) = leases.receive(10, 0)

    def before() -> None:
        if queue.requests == 2:
            raise RuntimeError("of a kind that nobody foresaw")
        if queue.requests == 5:
            leases.end()

    queue.before = before
    leases.keep_renewing()
    assert queue.requests == 5
    assert lease.held
