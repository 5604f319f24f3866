"""What is read of a run: message counts, dead letters, records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ds.cloud.read import MessageCounts, dead_letters, message_counts, records
from ds.jobs.message import Job

JOBS = [Job({}, {"n": n}) for n in range(3)]


class Sqs:
    """A queue with messages that it returns in given batches."""

    def __init__(self, batches: Sequence[list[dict[str, Any]]] = ()) -> None:
        self._batches = list(batches)
        self.requests: list[dict[str, Any]] = []

    def receive_message(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"Messages": self._batches.pop(0)} if self._batches else {}

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        kinds = {"": "2", "Delayed": "30", "NotVisible": "400"}
        counts = {f"ApproximateNumberOfMessages{kind}": text for kind, text in kinds.items()}
        return {"Attributes": {**counts, "QueueArn": "arn"}}


def test_a_queues_messages_are_waiting_or_in_flight() -> None:
    sqs: Any = Sqs()
    counts = message_counts(sqs, "url")
    assert counts == MessageCounts(waiting=32, in_flight=400)
    assert counts.total == 432
    assert sqs.requests[0]["QueueUrl"] == "url"


def letter(job: Job, **attributes: str) -> dict[str, Any]:
    if not attributes:  # SQS itself moved it
        return {"Body": job.body()}
    typed = {name: {"StringValue": text} for name, text in attributes.items()}
    return {"Body": job.body(), "MessageAttributes": typed}


def test_dead_letters_are_read_to_the_last_and_kept() -> None:
    one, two, three = JOBS
    batches = [
        [letter(one, reason="exit code 3", attempts="3"), {"Body": "not a job"}],
        [letter(two), letter(three, reason="x"), letter(one, reason="again")],
    ]
    sqs: Any = Sqs(batches)
    assert dead_letters(sqs, "dead", hidden_seconds=77) == {
        one.job_id: {"reason": "again"},
        two.job_id: {},
        three.job_id: {"reason": "x"},
    }
    assert len(sqs.requests) == 3
    for request in sqs.requests:
        assert (request["QueueUrl"], request["VisibilityTimeout"]) == ("dead", 77)
        assert request["MessageAttributeNames"] == ["All"]


class Logs:
    """A log group whose events come in two pages."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def get_paginator(self, operation: str) -> Logs:
        assert operation == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str) -> list[dict[str, Any]]:
        assert logGroupName == "Test_records"
        events = [{"message": line} for line in self._lines]
        return [{"events": events[:1]}, {"events": events[1:]}]


def test_records_come_in_order_of_their_start() -> None:
    starts = ["2026-01-01T00:00:03", "2026-01-01T00:00:01", "2026-01-01T00:00:02"]
    logs: Any = Logs([json.dumps({"start": start}) for start in starts])
    assert [record["start"] for record in records(logs, "Test_records")] == sorted(starts)
