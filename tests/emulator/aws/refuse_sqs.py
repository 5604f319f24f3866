"""What AWS refuses and moto accepts: queues."""

import json
import re
import time
from typing import Any

from moto.sqs.models import sqs_backends

from tests.emulator.aws.call import Call
from tests.emulator.aws.refusal import Refusal, tags_problem
from tests.emulator.aws.state import STATE

SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
SQS_GUIDE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"

QUEUE = ("sqs:CreateQueue", "sqs:SetQueueAttributes")


ATTRIBUTES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
OTHER_ATTRIBUTES = (
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "SqsManagedSseEnabled",
)


def _queue_deleted_recently(call: Call) -> str | None:
    key = (call.account, call.region, call.parameters["QueueName"])
    deleted = STATE.deleted_queues.get(key, 0.0)
    blocked = STATE.settings.queue_name_blocked
    if time.time() - deleted >= blocked:
        return None
    return f"You must wait {blocked:g} seconds after deleting a queue before you can create another with the same name."  # noqa: E501


def _other_attributes(call: Call) -> str | None:
    queue = sqs_backends[call.account][call.region].queues.get(call.parameters["QueueName"])
    if queue is None:
        return None
    has = queue.attributes
    for name, value in (call.parameters.get("Attributes") or {}).items():
        if _plain(value) != _plain(has.get(name, "")):
            return (
                "A queue already exists with the same name and a different value for attribute "
                f"{name}"
            )
    return None


def _plain(value: Any) -> Any:
    """Normalize an attribute's value: JSON by its content, numbers by their value."""
    text = str(value)
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        return {k: str(v) for k, v in found.items()}
    return str(found)


def _unknown_attribute(call: Call) -> str | None:
    for name in call.parameters.get("Attributes") or {}:
        if name not in ATTRIBUTES and name not in OTHER_ATTRIBUTES:
            return f"Unknown Attribute {name}."
    return None


def _attribute_value(call: Call) -> str | None:
    for name, value in (call.parameters.get("Attributes") or {}).items():
        if name not in ATTRIBUTES:
            continue
        low, high = ATTRIBUTES[name]
        if not re.fullmatch(r"\d+", str(value)) or not low <= int(value) <= high:
            return f"Invalid value for the parameter {name}."
    return None


def _redrive(call: Call) -> str | None:
    text = (call.parameters.get("Attributes") or {}).get("RedrivePolicy")
    if not text:
        return None
    try:
        policy = json.loads(text)
        count = int(policy["maxReceiveCount"])
        arn = policy["deadLetterTargetArn"]
    except (ValueError, KeyError, TypeError):
        return f"Value {text} for parameter RedrivePolicy is invalid. Reason: Invalid value."
    if not 1 <= count <= 1000:
        return (
            f"Value {text} for parameter RedrivePolicy is invalid. Reason: Invalid value for "
            f"maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive."
        )
    queues = sqs_backends[call.account][call.region].queues.values()
    if arn not in [queue.queue_arn for queue in queues]:
        return (
            f"Value {text} for parameter RedrivePolicy is invalid. Reason: Dead letter target "
            "does not exist."
        )
    return None


def _fifo(call: Call) -> str | None:
    fifo = "FifoQueue" in (call.parameters.get("Attributes") or {})
    return "This emulator has standard queues only." if fifo else None


def _queue_tags(call: Call) -> str | None:
    """Check each tag alone: more than 50 are only "not recommended"."""
    tags = call.parameters.get("Tags") or call.parameters.get("tags") or {}
    return next(filter(None, (tags_problem({key: tags[key]}) for key in tags)), None)


ROWS = (
    Refusal(
        ("sqs:CreateQueue",),
        "a queue with the name of a queue deleted less than 60 s ago",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        SQS + "CreateQueue.html",
        _queue_deleted_recently,
    ),
    Refusal(
        ("sqs:CreateQueue",),
        "a queue that exists with different attributes",
        "QueueAlreadyExists",
        SQS + "CreateQueue.html",
        _other_attributes,
    ),
    Refusal(
        QUEUE,
        "a FIFO queue (the emulator's own limit)",
        "AWS.SimpleQueueService.UnsupportedOperation",
        SQS_GUIDE + "FIFO-queues.html",
        _fifo,
    ),
    Refusal(
        QUEUE,
        "an unknown queue attribute",
        "InvalidAttributeName",
        SQS + "SetQueueAttributes.html",
        _unknown_attribute,
    ),
    Refusal(
        QUEUE,
        "a queue attribute out of range",
        "InvalidAttributeValue",
        SQS + "SetQueueAttributes.html",
        _attribute_value,
    ),
    Refusal(
        QUEUE,
        "a redrive policy whose target does not exist, or whose count is not 1 to 1,000",
        "InvalidParameterValue",
        SQS_GUIDE + "sqs-dead-letter-queues.html",
        _redrive,
    ),
    Refusal(
        ("sqs:CreateQueue", "sqs:TagQueue"),
        "queue tags that are too long, reserved, or contain invalid characters",
        "InvalidParameterValue",
        SQS_GUIDE + "quotas-queues.html",
        _queue_tags,
        assumed=True,
    ),
)

MESSAGES: tuple[tuple[str, str, str], ...] = (
    (
        "a message with characters that XML 1.0 does not allow",
        "InvalidMessageContents",
        "SendMessage.html",
    ),
    (
        "a message larger than the queue's MaximumMessageSize",
        "InvalidParameterValue",
        "SendMessage.html",
    ),
    ("an empty message", "MissingParameter", "SendMessage.html"),
    ("a message with more than 10 attributes", "InvalidParameterValue", "SendMessage.html"),
    ("an empty message attribute", "InvalidParameterValue", "MessageAttributeValue.html"),
    (
        "a message attribute with characters that XML 1.0 does not allow",
        "InvalidParameterValue",
        "MessageAttributeValue.html",
    ),
    (
        "a message attribute with an invalid name or type",
        "InvalidParameterValue",
        "SendMessage.html",
    ),
    ("a delay above 900 s", "InvalidParameterValue", "SendMessage.html"),
    (
        "a batch of more than 10 entries",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "SendMessageBatch.html",
    ),
    ("an empty batch", "AWS.SimpleQueueService.EmptyBatchRequest", "SendMessageBatch.html"),
    (
        "a batch larger than 1 MiB",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "SendMessageBatch.html",
    ),
    (
        "the same Id twice in a batch",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "SendMessageBatch.html",
    ),
    (
        "an invalid Id in a batch",
        "AWS.SimpleQueueService.InvalidBatchEntryId",
        "SendMessageBatch.html",
    ),
    (
        "changing the visibility of a deleted message, or beyond 12 h from its receipt",
        "InvalidParameterValue",
        "ChangeMessageVisibility.html",
    ),
    ("an invalid receipt handle", "ReceiptHandleIsInvalid", "ChangeMessageVisibility.html"),
    (
        "purging a queue twice within 60 s",
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        "PurgeQueue.html",
    ),
)
"""What is refused, code, page. `sqs.message_problem` and `queue` refuse these messages."""
