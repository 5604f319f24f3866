"""A standard queue whose operations take the same time for any number of messages.

moto counts and copies the whole queue at each send (`approximate_number_of_messages` and `messages`
are list comprehensions over all messages) and searches it at each delete: 10,000 jobs take hours.
Here visible messages are in a line, hidden ones in a heap ordered by the time they become visible,
and a receipt handle contains the ID of its message.
"""

import heapq
import itertools
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.aws.call import Refused

MAX_VISIBILITY = 43_200
MAX_IN_FLIGHT = 120_000

LINE, FLIGHT, DELAY = "line", "flight", "delay"


@dataclass(eq=False, slots=True)
class Message:
    """A message; times in seconds of the queue's clock (Unix time)."""

    id: str
    body: str
    attributes: Mapping[str, Any]
    sent: float
    source: str = ""
    """In a dead-letter queue: ARN of the queue that it came from."""
    place: str = LINE
    until: float = 0.0
    taken: float = 0.0
    first_taken: float = 0.0
    receives: int = 0
    receipt: str = ""


@dataclass(frozen=True)
class Redrive:
    limit: int
    to: "MessageLine"


@dataclass(eq=False)
class MessageLine:
    """The messages of one queue; safe for several threads."""

    arn: str
    clock: Callable[[], float] = time.time
    messages: dict[str, Message] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {LINE: 0, FLIGHT: 0, DELAY: 0})
    gone: bool = False

    def __post_init__(self) -> None:
        self._line: deque[Message] = deque()
        self._hidden: list[tuple[float, int, Message]] = []
        self._number = itertools.count()
        self.changed = threading.Condition()

    def send(self, body: str, attributes: Mapping[str, Any], delay: float = 0) -> Message:
        now = self.clock()
        message = Message(str(uuid.uuid4()), body, attributes, now)
        with self.changed:
            self._put(message, now, delay)
        return message

    def take(
        self,
        limit: int,
        wait: float,
        visibility: float,
        redrive: Redrive | None,
        retention: float,
    ) -> list[Message]:
        """Hide and return at most `limit` messages; wait for the first."""
        end = time.monotonic() + wait
        with self.changed:
            while not self.gone:
                if taken := self._take(limit, visibility, redrive, retention, long=wait > 0):
                    return taken
                left = end - time.monotonic()
                if left <= 0:
                    return []
                soon = self._hidden[0][0] - self.clock() if self._hidden else left
                self.changed.wait(min(left, max(soon, 0.001), 1))
        raise Refused(
            "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."
        )

    def change_visibility(self, receipt: str, seconds: float) -> None:
        """Change the visibility of a message in flight, by any of its receipts.

        AWS accepts a change of a message that is visible again, and ignores it (localstack's
        recorded answers: `test_change_message_visibility_after_visibility_timeout_expiration`,
        `test_terminate_visibility_timeout_after_receive`).
        """
        message = self._of(receipt)
        with self.changed:
            self._tick()
            if message is None:
                raise _unavailable(receipt)
            if message.place != FLIGHT:
                return
            now = self.clock()
            if now + seconds - message.taken > MAX_VISIBILITY:
                raise Refused(
                    "InvalidParameterValue",
                    f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total "
                    "VisibilityTimeout for the message is beyond the limit "
                    f"[{MAX_VISIBILITY} seconds].",
                )
            self._leave(message)
            if seconds:
                self._hide(message, FLIGHT, now + seconds)
            else:
                self._stand(message)

    def delete(self, receipt: str) -> None:
        """Delete a message; an older receipt of it is not an error but deletes nothing."""
        message = self._of(receipt)
        with self.changed:
            self._tick()
            if message and message.receipt == receipt and message.id in self.messages:
                self._remove(message)

    def purge(self) -> None:
        with self.changed:
            for message in list(self.messages.values()):
                self._remove(message)

    def move_all(self, to: "MessageLine | None", find: Callable[[str], "MessageLine"]) -> int:
        """Move the visible messages to another queue, or to the queues they came from."""
        with self.changed:
            self._tick()
            moving = [m for m in self.messages.values() if m.place == LINE]
            for message in moving:
                self._remove(message)
        for message in moving:
            (to or find(message.source)).adopt(message, source="")
        return len(moving)

    def adopt(self, message: Message, source: str) -> None:
        """Accept a message of another queue with its ID and its age."""
        message.source = source
        message.receives = 0 if not source else message.receives
        message.receipt = ""
        with self.changed:
            self._put(message, self.clock(), 0)

    def tally(self) -> dict[str, int]:
        """Return the numbers of messages: visible, in flight, delayed."""
        with self.changed:
            self._tick()
            return dict(self.counts)

    def _take(
        self, limit: int, visibility: float, redrive: Redrive | None, retention: float, long: bool
    ) -> list[Message]:
        self._tick()
        taken: list[Message] = []
        now = self.clock()
        while self._line and len(taken) < limit:
            if self.counts[FLIGHT] >= MAX_IN_FLIGHT:
                if taken or long:
                    break
                raise Refused("OverLimit", f"More than {MAX_IN_FLIGHT} messages are in flight.")
            message = self._line.popleft()
            if self.messages.get(message.id) is not message or message.place != LINE:
                continue  # deleted in the meantime
            if now - message.sent > retention:
                self._remove(message)
                continue
            if redrive and message.receives >= redrive.limit:
                self._remove(message)
                redrive.to.adopt(message, source=self.arn)
                continue
            self._leave(message)
            message.receives += 1
            message.taken = now
            message.first_taken = message.first_taken or now
            message.receipt = f"{message.id}:{uuid.uuid4()}"
            taken.append(message)
            if visibility:
                self._hide(message, FLIGHT, now + visibility)
            else:
                self._stand(message)
        return taken

    def _put(self, message: Message, now: float, delay: float) -> None:
        self.messages[message.id] = message
        if delay:
            self._hide(message, DELAY, now + delay)
        else:
            self._stand(message)

    def _stand(self, message: Message) -> None:
        message.place = LINE
        self.counts[LINE] += 1
        self._line.append(message)
        self.changed.notify_all()

    def _hide(self, message: Message, place: str, until: float) -> None:
        message.place, message.until = place, until
        self.counts[place] += 1
        heapq.heappush(self._hidden, (until, next(self._number), message))

    def _leave(self, message: Message) -> None:
        self.counts[message.place] -= 1

    def _remove(self, message: Message) -> None:
        del self.messages[message.id]
        self._leave(message)

    def _tick(self) -> None:
        """Make messages visible whose time has come."""
        now = self.clock()
        while self._hidden and self._hidden[0][0] <= now:
            until, _, message = heapq.heappop(self._hidden)
            current = self.messages.get(message.id) is message and message.until == until
            if current and message.place != LINE:
                self._leave(message)
                self._stand(message)

    def _of(self, receipt: str) -> Message | None:
        identity, colon, _ = receipt.partition(":")
        if not colon:
            raise Refused("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        return self.messages.get(identity)


def _unavailable(receipt: str) -> Refused:
    return Refused(
        "InvalidParameterValue",
        f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: Message does not exist "
        "or is not available for visibility timeout change.",
    )
