"""Calls are carried out in order: dry run, waiting, refusals, interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ds.cloud.call import Call, carry_out
from ds.cloud.errors import CommandError, Interrupted


class Service:
    """A service whose requests fail as `refuse` decides, by the number of earlier requests."""

    def __init__(self, refuse: Callable[[int], BaseException | None] = lambda count: None) -> None:
        self.requests: list[dict[str, Any]] = []
        self._refuse = refuse

    def create(self, **parameters: Any) -> None:
        count = len(self.requests)
        self.requests.append(parameters)
        if error := self._refuse(count):
            raise error


class Clock:
    """Time passes only in `sleep`."""

    now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Create")


def call(name: str = "a", **more: Any) -> Call:
    return Call(f"create {name}", "sqs", "create", {"Name": name}, **more)


def carry(service: Service, *calls: Call, **more: Any) -> list[str]:
    """Carry the calls out; the lines that are reported."""
    lines: list[str] = []
    clock = Clock()
    asked: list[str] = []

    def client(name: str) -> Service:
        asked.append(name)
        return service

    more = {"report": lines.append, "sleep": clock.sleep, "clock": lambda: clock.now, **more}
    carry_out(client, calls, **more)
    assert set(asked) <= {"sqs"}
    return lines


def test_each_call_is_reported_and_then_sent() -> None:
    service = Service()
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        assert len(service.requests) == len(lines) - 1

    carry(service, call("a"), call("b"), report=report)
    assert lines == ["create a", "create b"]
    assert service.requests == [{"Name": "a"}, {"Name": "b"}]


def test_a_dry_run_reports_calls_and_details_and_sends_nothing() -> None:
    service = Service()
    lines = carry(service, call("a", details="{}"), call("b"), dry_run=True)
    assert lines == ["would create a", "{}", "would create b"]
    assert service.requests == []


def test_details_are_for_a_dry_run_only() -> None:
    assert carry(Service(), call("a", details="{}")) == ["create a"]


@pytest.mark.parametrize("error", [refusal("ItExists"), refusal("Invalid", "It exists.")])
def test_a_refusal_that_means_done_already_is_success(error: ClientError) -> None:
    service = Service(lambda count: error if count == 0 else None)
    carry(service, call("a", done_already="Exists"), call("b"))
    assert len(service.requests) == 2


@pytest.mark.parametrize("code", ["Other", "Exist"])
def test_any_other_refusal_is_raised_and_the_rest_is_not_sent(code: str) -> None:
    service = Service(lambda count: refusal(code))
    with pytest.raises(ClientError, match=code):
        carry(service, call("a", done_already="Exists", wait_while={"Soon": "it is new"}), call())
    assert len(service.requests) == 1


@pytest.mark.parametrize("error", [refusal("SoonReady"), refusal("Invalid", "Not so SOON")])
def test_a_refusal_that_passes_is_waited_for_and_reported_now_and_then(error: ClientError) -> None:
    service = Service(lambda count: error if count < 13 else None)
    lines = carry(service, call("a", wait_while={"Soon": "it is new"}), call("b"))
    assert lines == [
        "create a",
        "  waiting, 0 s: it is new",
        "  waiting, 10 s: it is new",
        "  waiting, 20 s: it is new",
        "create b",
    ]
    assert len(service.requests) == 15


def test_patience_ends() -> None:
    service = Service(lambda count: refusal("Soon"))
    with pytest.raises(
        CommandError, match=r"^Waited 62 s: it is new; run the same command again later$"
    ):
        carry(service, call(wait_while={"Soon": "it is new"}, patience=60))
    assert len(service.requests) == 32


@pytest.mark.parametrize("completed", [0, 1, 2])
def test_an_interruption_reports_how_many_steps_were_completed(completed: int) -> None:
    service = Service(lambda count: KeyboardInterrupt() if count == completed else None)
    with pytest.raises(Interrupted) as interrupted:
        carry(service, call("a"), call("b"), call("c"), reassurance="Nothing costs money. ")
    assert str(interrupted.value) == (
        f"Interrupted after {completed} of 3 steps (the last one shown may have completed). "
        "Nothing costs money. Run the same command again to complete it."
    )
    assert interrupted.value.exit_code == 130
    assert len(service.requests) == completed + 1


def test_an_interruption_of_a_wait_does_not_count_its_step() -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    service = Service(lambda count: refusal("Soon"))
    with pytest.raises(Interrupted, match="after 0 of 1 steps"):
        carry(service, call(wait_while={"Soon": "it is new"}), sleep=interrupt)
