"""What a worker sends to CloudWatch arrives once and in order, or takes no memory and no time."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from ds.jobs.record import Record
from ds.worker import logs as module
from ds.worker.logs import Sender, WorkerLogs

PATIENCE = 30


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "PutLogEvents")


class Client:
    """CloudWatch Logs; `trouble` are errors of its next requests, and `away` one of all."""

    class exceptions:
        ResourceAlreadyExistsException = KeyError

    def __init__(self) -> None:
        self.trouble: list[Exception] = []
        self.away: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.streams: list[str] = []
        self.batches: list[tuple[str, list[dict[str, Any]]]] = []

    def create_log_stream(self, *, logGroupName: str, logStreamName: str) -> None:
        if self.away:
            raise self.away
        self.streams.append(logStreamName)
        if self.streams.count(logStreamName) > 1:
            raise KeyError(logStreamName)

    def put_log_events(
        self, *, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]
    ) -> None:
        assert self.open.wait(PATIENCE)
        if self.away:
            raise self.away
        if self.trouble:
            raise self.trouble.pop(0)
        self.batches.append((logStreamName, logEvents))

    def texts(self, stream: str) -> list[str]:
        batches = [events for name, events in self.batches if name == stream]
        return [event["message"] for events in batches for event in events]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01, 0.02))


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.open.set()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def close(sender: Sender) -> None:
    sender.close(time.monotonic() + PATIENCE)
    sender.join()


@pytest.mark.parametrize(
    "error",
    [
        refusal("InternalFailure"),
        refusal("ServiceUnavailableException"),
        refusal("ThrottlingException"),
        refusal("ExpiredTokenException"),
        refusal("ResourceNotFoundException"),
        EndpointConnectionError(endpoint_url="x"),
        ReadTimeoutError(endpoint_url="x"),
        ValueError("a response that is cut"),
    ],
    ids=repr,
)
def test_what_fails_is_repeated_until_it_arrives_once_and_in_order(
    client: Client, error: Exception
) -> None:
    client.trouble = [error] * 20
    sender = Sender(client, "g")  # type: ignore[arg-type]
    for number in range(300):
        sender.add(f"s{number % 3}", str(number))
    wait_until(lambda: not client.trouble)
    close(sender)
    for stream in range(3):
        assert client.texts(f"s{stream}") == [str(n) for n in range(300) if n % 3 == stream]


def test_a_stream_that_was_deleted_is_created_again(client: Client) -> None:
    client.trouble = [refusal("ResourceNotFoundException")]
    sender = Sender(client, "g")  # type: ignore[arg-type]
    sender.add("s", "a")
    close(sender)
    assert client.streams == ["s", "s"]
    assert client.texts("s") == ["a"]


def test_what_cloudwatch_refuses_does_not_hold_up_the_rest(client: Client) -> None:
    client.trouble = [refusal("InvalidParameterException")]
    sender = Sender(client, "g")  # type: ignore[arg-type]
    sender.add("s", "a")
    wait_until(lambda: not client.trouble)
    sender.add("s", "b")
    close(sender)
    assert client.texts("s") == ["b"]


def test_batches_are_what_cloudwatch_accepts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    client.open.clear()
    sender = Sender(client, "g")  # type: ignore[arg-type]
    texts = [*["x"] * 25_000, *["é" * 60_000] * 40, "\ud800"]
    for number, text in enumerate(texts):
        now[0] = 2000.0 if number % 2 else 1000.0  # a clock that is set back
        sender.add("s", text)
    client.open.set()
    close(sender)
    assert sorted(client.texts("s")) == sorted([*texts[:-1], "?"])
    for _, events in client.batches:
        assert len(events) <= 10_000
        assert sum(len(event["message"].encode()) + 26 for event in events) <= 1_048_576
        stamps = [event["timestamp"] for event in events]
        assert stamps == sorted(stamps)


def test_what_waits_is_limited_and_the_missing_lines_are_counted(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 100_000)
    client.open.clear()
    sender = Sender(client, "g")  # type: ignore[arg-type]
    for _ in range(1000):
        sender.add("s", "x" * 1000)
        assert sender.waiting_bytes < 102_000
    client.open.set()
    wait_until(lambda: sender.waiting_bytes == 0)
    sender.add("s", "after")
    close(sender)
    sent = client.texts("s")
    assert sent[-1] == "after"
    assert 80 <= len(sent) <= 90
    assert f"lacks {1001 - len(sent)} lines" in caplog.text


def test_records_outlive_a_log_service_that_is_away_while_lines_do_not_hold_them_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 500_000)
    client.away = EndpointConnectionError(endpoint_url="x")
    logs = WorkerLogs(client, "lines", "records", "w")  # type: ignore[arg-type]
    for number in range(300):
        logs.record(Record(str(number), {}, 1, "", "done", "w", 0))
        for _ in range(100):
            logs.line("id", "chatter")
    client.away = None
    logs.close()
    assert len(client.texts("w")) == 300
    thread = threading.current_thread().name
    assert client.texts(f"w/{thread}")[0] == "id chatter"


@pytest.mark.parametrize("trouble", ["hangs", "away"])
def test_a_worker_ends_while_the_log_service_does_not_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(module, "END_SECONDS", 0.2)
    if trouble == "hangs":
        client.open.clear()
    else:
        client.away = EndpointConnectionError(endpoint_url="x")
    logs = WorkerLogs(client, "lines", "records", "w")  # type: ignore[arg-type]
    for slot in range(8):
        threading.current_thread().name = f"slot-{slot}"
        logs.line("id", "text")
    logs.record(Record("1", {}, 1, "", "done", "w", 0))
    began = time.monotonic()
    logs.close()
    assert time.monotonic() - began < PATIENCE / 2


def test_the_longest_end_leaves_room_before_ecs_kills_the_worker() -> None:
    assert module.END_SECONDS <= 15
