"""The SQS operations that a run calls thousands of times, without moto's web layer.

moto still creates, deletes, tags and configures queues: `FastQueue` is one of its queues.
"""

import base64
import hashlib
import json
import re
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.sqs import models
from moto.sqs.models import sqs_backends

from tests.emulator.aws.access import denied
from tests.emulator.aws.call import Call, Refused
from tests.emulator.aws.queue import (
    DELAY,
    FLIGHT,
    LINE,
    MAX_VISIBILITY,
    Message,
    MessageLine,
    Redrive,
)

MAX_BYTES = 1_048_576
BATCH = 10
MAX_ATTRIBUTES = 10
ALLOWED = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
"""Characters that a body or attribute can have (API reference, SendMessage)."""


class FastQueue(models.Queue):
    """A queue of moto whose messages are in a `MessageLine`."""

    # moto sets these.
    delay_seconds: int
    maximum_message_size: int
    message_retention_period: int
    receive_message_wait_time_seconds: int
    visibility_timeout: int

    def __init__(self, name: str, region: str, account_id: str, **options: Any) -> None:
        super().__init__(name, region, account_id, **options)
        self.line = MessageLine(self.queue_arn)

    @property
    def approximate_number_of_messages(self) -> int:
        return self.line.tally()[LINE]

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        return self.line.tally()[FLIGHT]

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        return self.line.tally()[DELAY]

    def add_message(self, message: Any) -> None:
        """Send a message from moto's other services, such as EventBridge."""
        self.line.send(message.body, message.message_attributes)

    @property
    def redrive(self) -> Redrive | None:
        if not self.redrive_policy or not self.dead_letter_queue:
            return None
        other: Any = self.dead_letter_queue
        return Redrive(int(self.redrive_policy["maxReceiveCount"]), other.line)


def install() -> None:
    """Let moto create queues of this class."""
    module: Any = models
    module.Queue = FastQueue


def handles(call: Call) -> bool:
    return call.service == "sqs" and call.operation in OPERATIONS


def answer(call: Call) -> dict[str, Any]:
    """Do a call.

    Raises:
        Refused: AWS would refuse the call.
    """
    operation = OPERATIONS[call.operation]
    queue = None if call.operation in _WITHOUT_QUEUE else _queue(call)
    resource = queue.queue_arn if queue else "*"
    action = call.name.replace("Batch", "")  # batches have no separate rights
    if why := denied(action, resource, call.region, call.environ, call.body):
        raise Refused("AccessDenied", why, 403)
    found: dict[str, Any] = operation(queue, call)
    return found


def _queue(call: Call) -> FastQueue:
    url = call.parameters.get("QueueUrl", "")
    queues: Any = sqs_backends[call.account][call.region].queues
    queue: FastQueue | None = queues.get(url.rpartition("/")[2])
    if queue is None:
        raise Refused(
            "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."
        )
    return queue


def _send(queue: FastQueue, call: Call) -> dict[str, Any]:
    return _send_one(queue, call.parameters)


def _send_one(queue: FastQueue, given: Mapping[str, Any]) -> dict[str, Any]:
    if problem := message_problem(queue, given):
        raise problem
    delay = given.get("DelaySeconds", queue.delay_seconds)
    attributes = given.get("MessageAttributes") or {}
    message = queue.line.send(given["MessageBody"], attributes, delay)
    return {"MessageId": message.id, **_digests(message)}


def _send_batch(queue: FastQueue, call: Call) -> dict[str, Any]:
    entries = _entries(call)
    total = sum(message_size(entry) for entry in entries)
    if total > MAX_BYTES:
        raise Refused(
            "AWS.SimpleQueueService.BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {total} bytes.",
        )
    return _each(entries, lambda entry: _send_one(queue, entry))


def _receive(queue: FastQueue, call: Call) -> dict[str, Any]:
    given = call.parameters
    limit = _within("MaxNumberOfMessages", given.get("MaxNumberOfMessages", 1), 1, BATCH)
    wait = given.get("WaitTimeSeconds", queue.receive_message_wait_time_seconds)
    _within("WaitTimeSeconds", wait, 0, 20)
    visibility = given.get("VisibilityTimeout", queue.visibility_timeout)
    _within("VisibilityTimeout", visibility, 0, MAX_VISIBILITY)
    taken = queue.line.take(limit, wait, visibility, queue.redrive, queue.message_retention_period)
    system = {*given.get("AttributeNames", []), *given.get("MessageSystemAttributeNames", [])}
    wanted = given.get("MessageAttributeNames", [])
    return {"Messages": [_shown(m, system, wanted) for m in taken]} if taken else {}


def _delete(queue: FastQueue, call: Call) -> dict[str, Any]:
    queue.line.delete(call.parameters["ReceiptHandle"])
    return {}


def _delete_batch(queue: FastQueue, call: Call) -> dict[str, Any]:
    def one(entry: Mapping[str, Any]) -> dict[str, Any]:
        queue.line.delete(entry["ReceiptHandle"])
        return {}

    return _each(_entries(call), one)


def _change_visibility(queue: FastQueue, call: Call) -> dict[str, Any]:
    seconds = call.parameters["VisibilityTimeout"]
    _within("VisibilityTimeout", seconds, 0, MAX_VISIBILITY)
    queue.line.change_visibility(call.parameters["ReceiptHandle"], seconds)
    return {}


def _change_visibility_batch(queue: FastQueue, call: Call) -> dict[str, Any]:
    def one(entry: Mapping[str, Any]) -> dict[str, Any]:
        seconds = entry.get("VisibilityTimeout", 0)
        _within("VisibilityTimeout", seconds, 0, MAX_VISIBILITY)
        queue.line.change_visibility(entry["ReceiptHandle"], seconds)
        return {}

    return _each(_entries(call), one)


def _purge(queue: FastQueue, _: Call) -> dict[str, Any]:
    now = time.time()
    if queue.last_purged_at and now - queue.last_purged_at < 60:
        raise Refused(
            "AWS.SimpleQueueService.PurgeQueueInProgress",
            f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.",
            403,
        )
    queue.last_purged_at = now
    queue.line.purge()
    return {}


_moves: dict[str, list[dict[str, Any]]] = {}
_moves_lock = threading.Lock()


def _start_move(_: None, call: Call) -> dict[str, Any]:
    """Move all visible messages at once; AWS takes longer, and also moves new ones."""
    source = _by_arn(call, call.parameters["SourceArn"])
    to = call.parameters.get("DestinationArn")
    redrives_here = [q for q in _queues(call) if q.dead_letter_queue is source]
    if not redrives_here:
        raise Refused(
            "InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."
        )
    moved = source.line.move_all(
        _by_arn(call, to).line if to else None, lambda arn: _by_arn(call, arn).line
    )
    task = {
        "TaskHandle": base64.b64encode(str(uuid.uuid4()).encode()).decode(),
        "Status": "COMPLETED",
        "SourceArn": source.queue_arn,
        **({"DestinationArn": to} if to else {}),
        "ApproximateNumberOfMessagesMoved": moved,
        "ApproximateNumberOfMessagesToMove": moved,
        "StartedTimestamp": int(time.time() * 1000),
    }
    with _moves_lock:
        _moves.setdefault(source.queue_arn, []).insert(0, task)
    return {"TaskHandle": task["TaskHandle"]}


def _list_moves(_: None, call: Call) -> dict[str, Any]:
    source = _by_arn(call, call.parameters["SourceArn"])
    with _moves_lock:
        moves = _moves.get(source.queue_arn, [])[: call.parameters.get("MaxResults", 1)]
    # AWS returns the handle only while a task runs.
    return {"Results": [{k: v for k, v in move.items() if k != "TaskHandle"} for move in moves]}


OPERATIONS: Mapping[str, Callable[[Any, Call], dict[str, Any]]] = {
    "SendMessage": _send,
    "SendMessageBatch": _send_batch,
    "ReceiveMessage": _receive,
    "DeleteMessage": _delete,
    "DeleteMessageBatch": _delete_batch,
    "ChangeMessageVisibility": _change_visibility,
    "ChangeMessageVisibilityBatch": _change_visibility_batch,
    "PurgeQueue": _purge,
    "StartMessageMoveTask": _start_move,
    "ListMessageMoveTasks": _list_moves,
}
_WITHOUT_QUEUE = ("StartMessageMoveTask", "ListMessageMoveTasks")


def message_size(given: Mapping[str, Any]) -> int:
    """Return the size in bytes: the body, and name, type and value of every attribute."""
    size = len(given["MessageBody"].encode(errors="surrogatepass"))
    for name, value in (given.get("MessageAttributes") or {}).items():
        size += len(name.encode()) + len(value.get("DataType", ""))
        size += len(value.get("StringValue", "").encode(errors="surrogatepass"))
        size += len(base64.b64decode(value.get("BinaryValue", "")))
    return size


def message_problem(queue: FastQueue, given: Mapping[str, Any]) -> Refused | None:
    """Return the refusal of this message, or None."""
    body = given["MessageBody"]
    if not body:
        return Refused("MissingParameter", "The request must contain the parameter MessageBody.")
    if message_size(given) > queue.maximum_message_size:
        return Refused(
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than "
            f"{queue.maximum_message_size} bytes.",
        )
    if not ALLOWED.fullmatch(body):
        return Refused(
            "InvalidMessageContents",
            "Invalid binary character was found in the message body, the set of allowed characters "
            "is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    attributes = given.get("MessageAttributes") or {}
    if len(attributes) > MAX_ATTRIBUTES:
        return Refused(
            "InvalidParameterValue",
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{MAX_ATTRIBUTES}].",
        )
    if not 0 <= given.get("DelaySeconds", 0) <= 900:
        return Refused(
            "InvalidParameterValue",
            f"Value {given['DelaySeconds']} for parameter DelaySeconds is invalid. Reason: "
            "DelaySeconds must be >= 0 and <= 900.",
        )
    for name, value in attributes.items():
        if problem := attribute_problem(name, value):
            return Refused("InvalidParameterValue", problem)
    return None


def attribute_problem(name: str, value: Mapping[str, Any]) -> str | None:
    """Return why AWS refuses this message attribute, or None."""
    kind = value.get("DataType", "")
    if (
        not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name)
        or name.startswith(".")
        or name.endswith(".")
        or ".." in name
        or re.match(r"(?i)(aws|amazon)\.", name)
    ):
        return f"The message attribute name '{name}' is invalid."
    if kind.partition(".")[0] not in ("String", "Number", "Binary"):
        return (
            f"The type of message (user) attribute '{name}' is invalid. You must use only the "
            "following supported type prefixes: Binary, Number, String."
        )
    content = value.get("BinaryValue" if kind.startswith("Binary") else "StringValue")
    if not content:
        return f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
    if isinstance(content, str) and not ALLOWED.fullmatch(content):
        return (
            f"Invalid binary character was found in the message attribute '{name}', the set of "
            "allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | "
            "#x10000 to #x10FFFF"
        )
    return None


def _entries(call: Call) -> list[dict[str, Any]]:
    """Return the entries of a batch that is legal as a whole."""
    entries: list[dict[str, Any]] = call.parameters.get("Entries") or []
    ids = [entry["Id"] for entry in entries]
    prefix = "AWS.SimpleQueueService."
    if not entries:
        raise Refused(
            prefix + "EmptyBatchRequest",
            f"There should be at least one {call.operation}RequestEntry in the request.",
        )
    if len(entries) > BATCH:
        raise Refused(
            prefix + "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH}. You have sent {len(entries)}.",
        )
    if bad := next((i for i in ids if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", i)), None):
        raise Refused(
            prefix + "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            f"It can be at most 80 letters long. ({bad})",
        )
    if doubled := next((i for i in ids if ids.count(i) > 1), None):
        raise Refused(prefix + "BatchEntryIdsNotDistinct", f"Id {doubled} repeated.")
    return entries


def _each(
    entries: list[dict[str, Any]], do: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Do each entry, and collect successes and failures."""
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            done.append({"Id": entry["Id"], **do(entry)})
        except Refused as error:
            failed.append(
                {
                    "Id": entry["Id"],
                    "Code": error.code,
                    "Message": error.message,
                    "SenderFault": True,
                }
            )
    return {"Successful": done, "Failed": failed}


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise Refused(
            "InvalidParameterValue",
            f"Value {value} for parameter {name} is invalid. Reason: Must be >= {low} and "
            f"<= {high}, if provided.",
        )
    return value


def _queues(call: Call) -> list[FastQueue]:
    queues: Any = sqs_backends[call.account][call.region].queues
    return list(queues.values())


def _by_arn(call: Call, arn: str) -> FastQueue:
    for queue in _queues(call):
        if queue.queue_arn == arn:
            return queue
    raise Refused("ResourceNotFoundException", "The resource that you specified doesn't exist.")


def _shown(message: Message, system: set[str], wanted: list[str]) -> dict[str, Any]:
    about = {
        "SenderId": "AIDAEXAMPLE",
        "SentTimestamp": str(int(message.sent * 1000)),
        "ApproximateReceiveCount": str(message.receives),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_taken * 1000)),
        **({"DeadLetterQueueSourceArn": message.source} if message.source else {}),
    }
    attributes = {
        name: value
        for name, value in message.attributes.items()
        if any(w in ("All", ".*", name) or _prefix(w, name) for w in wanted)
    }
    shown = {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": hashlib.md5(message.body.encode()).hexdigest(),
        "Attributes": {k: v for k, v in about.items() if "All" in system or k in system},
    }
    if attributes:
        shown["MessageAttributes"] = attributes
        shown["MD5OfMessageAttributes"] = attributes_digest(attributes)
    return shown


def _prefix(wanted: str, name: str) -> bool:
    return wanted.endswith(".*") and name.startswith(wanted[:-2])


def _digests(message: Message) -> dict[str, str]:
    digests = {"MD5OfMessageBody": hashlib.md5(message.body.encode()).hexdigest()}
    if message.attributes:
        digests["MD5OfMessageAttributes"] = attributes_digest(message.attributes)
    return digests


def attributes_digest(attributes: Mapping[str, Any]) -> str:
    """See "Calculating the MD5 message digest for message attributes" in the developer guide."""
    digest = hashlib.md5()

    def add(part: bytes) -> None:
        digest.update(struct.pack("!I", len(part)) + part)

    for name, value in sorted(attributes.items()):
        add(name.encode())
        add(value["DataType"].encode())
        if "BinaryValue" in value:
            digest.update(b"\2")
            add(base64.b64decode(value["BinaryValue"]))
        else:
            digest.update(b"\1")
            add(value["StringValue"].encode())
    return digest.hexdigest()


def encode(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found).encode()
