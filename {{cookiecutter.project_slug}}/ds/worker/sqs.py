"""The worker's thin interface to SQS: the run's queue and its dead-letter queue."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageAttributeValueTypeDef

BATCH = 10
"""Maximum number of messages per request ("Amazon SQS batch actions")."""

GONE = frozenset({"MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"})
"""Error codes for a message that is no longer ours (API reference, ChangeMessageVisibility);
InvalidParameterValue means that the receipt handle has expired."""


@dataclass(frozen=True)
class Received:
    """A message that has been received `attempt` times."""

    receipt: str
    body: str
    attempt: int


class JobQueue:
    """The run's queue, and the dead-letter queue for its dead jobs."""

    def __init__(self, client: SQSClient, url: str, dead_letter_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letter_url = dead_letter_url

    def probe(self) -> None:
        """Raise ClientError if one of the queues cannot be used."""
        for url in (self._url, self._dead_letter_url):
            self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])

    def receive(self, limit: int, wait_seconds: int, visibility_seconds: float) -> list[Received]:
        """Receive at most `limit` (1 to 10) messages; hide them for `visibility_seconds`."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=round(visibility_seconds),
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Received(
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                attempt=int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in answer.get("Messages", [])
        ]

    def extend(self, receipts: Sequence[str], seconds: float) -> dict[str, str]:
        """Hide messages for `seconds` from now; return the error code of each refused receipt."""
        refused = {}
        for start in range(0, len(receipts), BATCH):
            batch = receipts[start : start + BATCH]
            answer = self._client.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": round(seconds)}
                    for i, receipt in enumerate(batch)
                ],
            )
            for entry in answer.get("Failed", []):
                refused[batch[int(entry["Id"])]] = entry["Code"]
        return refused

    def release(self, receipt: str, seconds: float) -> None:
        """Make a message visible again after `seconds`, if it is still ours."""
        try:
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=round(seconds)
            )
        except ClientError as error:
            if error.response["Error"]["Code"].rpartition(".")[2] not in GONE:
                raise

    def delete(self, receipt: str) -> None:
        """Delete a message."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)

    def dead_letter(self, message: Received, attributes: Mapping[str, str]) -> None:
        """Move a message to the dead-letter queue, with attributes that report the reason.

        The message is sent before it is deleted: if the worker dies in between, the dead letter is
        duplicated but never lost. Readers recognize a duplicate by its `job_id`.
        """
        self._client.send_message(
            QueueUrl=self._dead_letter_url,
            MessageBody=message.body,
            MessageAttributes=message_attributes(attributes),
        )
        self.delete(message.receipt)


def message_attributes(
    attributes: Mapping[str, str],
) -> dict[str, MessageAttributeValueTypeDef]:
    """Return texts that SQS accepts: not empty, no control characters, at most 1 KiB each."""
    return {
        name: {"DataType": "String", "StringValue": printable}
        for name, text in attributes.items()
        if (printable := _printable(text))
    }


def _printable(text: str) -> str:
    refused = ("Cc", "Cs", "Cn", "Co")
    shown = "".join(" " if unicodedata.category(c) in refused else c for c in text)
    return shown.encode()[:1024].decode(errors="ignore").strip()
