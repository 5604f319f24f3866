"""The queues of the strict emulator: what they refuse, their behavior over time, their speed."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.aws.client import Control
from tests.emulator.aws.queue import DELAY, FLIGHT, LINE, MessageLine, Redrive
from tests.emulator.aws.refusals import MESSAGES


@pytest.fixture
def sqs(aws: Control) -> Any:
    return aws.client("sqs")


def make(sqs: Any, name: str = "q", **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


def send(**given: Any) -> Callable[[Any, str], Any]:
    return lambda sqs, url: sqs.send_message(**{"QueueUrl": url, "MessageBody": "b", **given})


def batch(*entries: dict[str, Any]) -> Callable[[Any, str], Any]:
    return lambda sqs, url: sqs.send_message_batch(QueueUrl=url, Entries=list(entries))


def entries(*identities: str, body: str = "b") -> list[dict[str, Any]]:
    return [{"Id": identity, "MessageBody": body} for identity in identities]


def received(sqs: Any, url: str, **given: Any) -> str:
    given = {"VisibilityTimeout": 1, **given}
    (message,) = sqs.receive_message(QueueUrl=url, **given)["Messages"]
    return str(message["ReceiptHandle"])


def hide(receipt: str, seconds: int) -> Callable[[Any, str], Any]:
    return lambda sqs, url: sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=seconds
    )


def in_flight(sqs: Any, url: str) -> Any:
    sqs.send_message(QueueUrl=url, MessageBody="b")
    return hide(received(sqs, url, VisibilityTimeout=30), 5)(sqs, url)


def deleted(sqs: Any, url: str) -> Any:
    sqs.send_message(QueueUrl=url, MessageBody="b")
    receipt = received(sqs, url, VisibilityTimeout=30)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
    return hide(receipt, 5)(sqs, url)


def purge(times: int) -> Callable[[Any, str], Any]:
    return lambda sqs, url: [sqs.purge_queue(QueueUrl=url) for _ in range(times)]


MIB = 1024 * 1024
TEN = {f"a{i}": text("v") for i in range(10)}

# The row of refusals.MESSAGES; the refused step; a legal neighbour.
CASES = (
    (0, send(MessageBody="a\x07"), send(MessageBody="a\t\n\r\u00e9\U0001f52c")),
    (0, send(MessageBody="a\uffff"), send(MessageBody="a\ufffd")),
    (1, send(MessageBody="x" * 1025), send(MessageBody="x" * 1024)),
    (2, send(MessageBody=""), send(MessageBody=" ")),
    (3, send(MessageAttributes={**TEN, "b": text("v")}), send(MessageAttributes=TEN)),
    (4, send(MessageAttributes={"a": text("")}), send(MessageAttributes={"a": text(" ")})),
    (
        5,
        send(MessageAttributes={"a": text("\x1b[31m")}),
        send(MessageAttributes={"a": text("[31m\n")}),
    ),
    (6, send(MessageAttributes={"AWS.a": text("v")}), send(MessageAttributes={"aws": text("v")})),
    (
        6,
        send(MessageAttributes={"a": text("v", "Text")}),
        send(MessageAttributes={"a": text("v", "String.Text")}),
    ),
    (7, send(DelaySeconds=901), send(DelaySeconds=900)),
    (8, batch(*entries(*"abcdefghijk")), batch(*entries(*"abcdefghij"))),
    (9, batch(), batch(*entries("a"))),
    (
        10,
        batch(*entries("a", "b", body="x" * (MIB // 2 + 1))),
        batch(*entries("a", "b", body="x" * (MIB // 2))),
    ),
    (11, batch(*entries("a", "a")), batch(*entries("a", "A"))),
    (12, batch(*entries("a.b")), batch(*entries("a-b"))),
    (13, deleted, in_flight),
    (14, hide("nonsense", 5), in_flight),
    (15, purge(2), purge(1)),
)


@pytest.mark.parametrize(("row", "step", "neighbour"), CASES)
def test_the_step_is_refused_and_its_neighbour_is_not(
    sqs: Any, row: int, step: Callable[[Any, str], Any], neighbour: Callable[[Any, str], Any]
) -> None:
    size = {"MaximumMessageSize": "1024"} if row == 1 else {}
    what, code, _ = MESSAGES[row]
    with pytest.raises(ClientError) as refused:
        step(sqs, make(sqs, "refused", **size))
    assert refused.value.response["Error"]["Code"] == code, what
    answer = neighbour(sqs, make(sqs, "accepted", **size))
    assert "Failed" not in (answer or {}) or answer["Failed"] == []


def test_every_row_has_a_case() -> None:
    assert {row for row, *_ in CASES} == set(range(len(MESSAGES)))


def test_one_entry_of_a_batch_can_fail(sqs: Any) -> None:
    url = make(sqs)
    answer = sqs.send_message_batch(
        QueueUrl=url, Entries=[*entries("a"), *entries("b", body="\x00"), *entries("c")]
    )
    assert [e["Id"] for e in answer["Successful"]] == ["a", "c"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == (
        "b",
        "InvalidMessageContents",
        True,
    )


def test_a_message_to_a_queue_that_does_not_exist_is_refused(sqs: Any) -> None:
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=make(sqs)[:-1] + "nowhere", MessageBody="b")


def test_a_long_poll_fails_when_the_queue_is_deleted(sqs: Any) -> None:
    url = make(sqs)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        time.sleep(0.5)
        sqs.delete_queue(QueueUrl=url)
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            waiting.result(10)


def test_a_long_poll_receives_a_message_sent_meanwhile(sqs: Any) -> None:
    url = make(sqs)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        time.sleep(0.3)
        sqs.send_message(QueueUrl=url, MessageBody="b", MessageAttributes={"a": text("v")})
        (message,) = waiting.result(10)["Messages"]
    assert message["Body"] == "b"
    assert "MessageAttributes" not in message  # not requested


def test_dead_jobs_can_be_redriven(sqs: Any) -> None:
    dead = make(sqs, "dead")
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    arn = arn["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = make(sqs, "live", RedrivePolicy=policy, VisibilityTimeout="0")
    sqs.send_message(QueueUrl=url, MessageBody="b")
    assert received(sqs, url, VisibilityTimeout=0)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.start_message_move_task(SourceArn=arn)
    (task,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    assert received(sqs, url)
    with pytest.raises(ClientError, match="Dead Letter Queue"):
        sqs.start_message_move_task(SourceArn=arn.replace(":dead", ":live"))


def test_another_client_sees_attributes_tags_and_redrive(sqs: Any, aws: Control) -> None:
    url = sqs.create_queue(
        QueueName="q", Attributes={"MessageRetentionPeriod": "1209600"}, tags={"ds:app": "X"}
    )["QueueUrl"]
    other = aws.client("sqs")
    shown = other.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert shown["MessageRetentionPeriod"] == "1209600"
    assert other.list_queue_tags(QueueUrl=url)["Tags"] == {"ds:app": "X"}
    tagging = aws.client("resourcegroupstaggingapi")
    found = tagging.get_resources(TagFilters=[{"Key": "ds:app"}])["ResourceTagMappingList"]
    assert [resource["ResourceARN"] for resource in found] == [shown["QueueArn"]]


def test_ten_thousand_messages_are_sent_in_seconds(sqs: Any) -> None:
    """The limit is generous, because benchmarks measure speed. moto alone needs hours."""
    url = make(sqs)
    numbers = [str(i) for i in range(10_000)]

    def send_ten(start: int) -> None:
        some = numbers[start : start + 10]
        answer = sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": n, "MessageBody": n} for n in some]
        )
        assert len(answer["Successful"]) == 10

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_ten, range(0, len(numbers), 10)))
    assert time.monotonic() - began < 30
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert shown["Attributes"]["ApproximateNumberOfMessages"] == "10000"


# MessageLine alone, with a clock that the tests set.


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(line: MessageLine, limit: int = 10, redrive: Redrive | None = None) -> list[str]:
    return [m.body for m in line.take(limit, 0, 30, redrive, 1_209_600)]


def test_hidden_and_delayed_messages_become_visible_on_time(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    line.send("a", {})
    line.send("b", {}, delay=10)
    assert take(line) == ["a"]
    assert line.tally() == {LINE: 0, FLIGHT: 1, DELAY: 1}
    clock.now += 10
    assert take(line) == ["b"]
    clock.now += 20
    assert line.tally() == {LINE: 1, FLIGHT: 1, DELAY: 0}
    assert take(line) == ["a"]


def test_an_extended_message_stays_hidden_after_its_first_timeout(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    message = line.send("a", {})
    take(line)
    clock.now += 20
    line.change_visibility(message.receipt, 30)
    clock.now += 20
    assert take(line) == []
    clock.now += 10
    assert take(line) == ["a"]


def test_a_change_that_comes_too_late_is_accepted_and_ignored(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    message = line.send("a", {})
    take(line)
    clock.now += 30
    line.change_visibility(message.receipt, 30)
    assert line.tally() == {LINE: 1, FLIGHT: 0, DELAY: 0}


def test_an_old_receipt_changes_the_visibility_of_the_next_receive(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    message = line.send("a", {})
    take(line)
    old = message.receipt
    clock.now += 30
    take(line)
    line.change_visibility(old, 0)
    assert line.tally()[FLIGHT] == 0


def test_an_old_receipt_deletes_nothing(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    message = line.send("a", {})
    take(line)
    old = message.receipt
    clock.now += 30
    take(line)
    line.delete(old)
    assert line.tally()[FLIGHT] == 1
    line.delete(message.receipt)
    assert line.tally() == {LINE: 0, FLIGHT: 0, DELAY: 0}


def test_visibility_ends_twelve_hours_after_the_receipt(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    message = line.send("a", {})
    take(line)
    clock.now += 20
    line.change_visibility(message.receipt, 43_180)
    with pytest.raises(Exception, match="beyond the limit"):
        line.change_visibility(message.receipt, 43_181)


def test_messages_received_too_often_move_to_the_dead_letter_queue_and_keep_their_age(
    clock: Clock,
) -> None:
    line, dead = MessageLine("arn", clock), MessageLine("dead", clock)
    redrive = Redrive(2, dead)
    sent = line.send("a", {}).sent
    for _ in range(2):
        assert take(line, redrive=redrive) == ["a"]
        clock.now += 30
    assert take(line, redrive=redrive) == []
    (message,) = dead.messages.values()
    assert (message.body, message.sent, message.source) == ("a", sent, "arn")


def test_messages_older_than_the_retention_are_deleted(clock: Clock) -> None:
    line = MessageLine("arn", clock)
    line.send("a", {})
    clock.now += 1_209_601
    assert take(line) == []
    assert line.tally() == {LINE: 0, FLIGHT: 0, DELAY: 0}
