"""The results of a run so far: message counts, dead letters and records, read from AWS."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ds.jobs.message import InvalidMessage, decode

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True)
class MessageCounts:
    """The numbers of messages in a queue; SQS's counts are approximate.

    Attributes:
        waiting: visible or delayed messages.
        in_flight: messages received but not deleted: running, or waiting for the next attempt.
    """

    waiting: int
    in_flight: int

    @property
    def total(self) -> int:
        return self.waiting + self.in_flight

    @classmethod
    def of(cls, attributes: Mapping[Any, str]) -> MessageCounts:
        """Return the counts from a queue's attributes."""
        visible, delayed, hidden = (
            int(attributes[f"ApproximateNumberOfMessages{state}"])
            for state in ("", "Delayed", "NotVisible")
        )
        return cls(visible + delayed, hidden)


def message_counts(sqs: SQSClient, queue_url: str) -> MessageCounts:
    """Count the messages of a queue."""
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    return MessageCounts.of(answer["Attributes"])


def dead_letters(
    sqs: SQSClient, dead_letter_url: str, hidden_seconds: int
) -> dict[str, dict[str, str]]:
    """Read the attributes of all dead letters, keyed by job_id; the messages stay in the queue.

    Each message is hidden from other readers for `hidden_seconds`, which must exceed the
    time that it takes to read all of them.
    """
    found: dict[str, dict[str, str]] = {}
    while True:
        answer = sqs.receive_message(
            QueueUrl=dead_letter_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=hidden_seconds,
            MessageAttributeNames=["All"],
        )
        if not answer.get("Messages"):
            return found
        for message in answer["Messages"]:
            attributes = {
                name: value["StringValue"]
                # A message that SQS itself moved has no attributes.
                for name, value in message.get("MessageAttributes", {}).items()
            }
            with contextlib.suppress(InvalidMessage):
                found[decode(message["Body"]).job_id] = attributes


def records(logs: CloudWatchLogsClient, record_group: str) -> list[dict[str, Any]]:
    """Read the records of all attempts, sorted by start time."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=record_group)
    found = [json.loads(event["message"]) for page in pages for event in page["events"]]
    return sorted(found, key=lambda record: str(record["start"]))
