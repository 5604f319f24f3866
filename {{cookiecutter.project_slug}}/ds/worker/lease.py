"""Leases on messages, renewed for all slots together: the fence between workers.

SQS hides a received message from other workers for the visibility timeout. A worker holds a
message while it renews the timeout in time. A worker that could not renew it (the worker was
stopped, or the network was down) must assume that another worker now has the job, and must not
upload or delete anything.
"""

import logging
import threading
import time
from collections.abc import Callable

from ds.worker.sqs import GONE, JobQueue, Received

logger = logging.getLogger("ds.worker")

RENEWALS = 3
"""Renewals per visibility timeout: every 20 s for a timeout of 60 s."""

RETRIES = 4
"""Attempts per renewal while SQS does not answer: every 5 s for a timeout of 60 s."""

POLL_SHARE = 4
"""A long poll, which is part of the lease, takes at most 1/POLL_SHARE of the visibility timeout."""


def clock() -> float:
    """Return the time, in seconds, of a clock that keeps running while the process is stopped
    (SIGSTOP) and, on Linux, while the machine sleeps, because leases also expire then."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """A message that this worker has received."""

    def __init__(
        self, message: Received, since: float, seconds: float, clock: Callable[[], float]
    ) -> None:
        self.message = message
        self._confirmed = since
        self._seconds = seconds
        self._clock = clock
        self._revoked = False

    @property
    def held(self) -> bool:
        """Whether the message is certainly still hidden from other workers."""
        return not self._revoked and self._clock() - self._confirmed < self._seconds

    def confirm(self, since: float) -> None:
        """Record that SQS hid the message again, at `since` or later.

        A response that arrives after the lease has expired does not count: another worker may have
        received the message in between, and SQS accepts the old receipt anyway.
        """
        if self.held:
            self._confirmed = since

    def revoke(self) -> None:
        """Record that, according to SQS, this worker no longer holds the message."""
        self._revoked = True


class Leases:
    """All leases of a worker, renewed together; `seconds` is the visibility timeout."""

    def __init__(self, queue: JobQueue, seconds: float, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._seconds = seconds
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def receive(self, limit: int, wait_seconds: int) -> list[Lease]:
        """Receive at most `limit` (1 to 10) messages with a long poll of at most `wait_seconds`."""
        wait_seconds = max(1, min(wait_seconds, int(self._seconds / POLL_SHARE)))
        # The lease begins with the request, the earliest time at which SQS can hide a message,
        # because the worker may be stopped before it reads the response.
        since = self._clock()
        messages = self._queue.receive(limit, wait_seconds, self._seconds)
        leases = [Lease(message, since, self._seconds, self._clock) for message in messages]
        with self._lock:
            self._leases.update((lease.message.receipt, lease) for lease in leases)
        return leases

    def drop(self, lease: Lease) -> None:
        """Stop renewing a lease."""
        with self._lock:
            self._leases.pop(lease.message.receipt, None)

    def renew(self) -> float:
        """Renew every lease that is still held; the others remain lost. Return the number of
        seconds until the next call."""
        pause = self._seconds / RENEWALS
        with self._lock:
            held = {receipt: lease for receipt, lease in self._leases.items() if lease.held}
        if not held:
            return pause
        since = self._clock()
        try:
            refused = self._queue.extend(list(held), self._seconds)
        except Exception as error:  # any error: the jobs of all slots depend on this thread
            logger.warning("cannot renew %d messages: %s", len(held), error)
            return pause / RETRIES
        for receipt, lease in held.items():
            code = refused.get(receipt)
            if code is None:
                lease.confirm(since)
            elif code.rpartition(".")[2] in GONE:
                lease.revoke()
        return pause

    def keep_renewing(self) -> None:
        """Renew the leases until `end` is called; run this in a separate thread."""
        pause = self._seconds / RENEWALS
        while not self._ended.wait(pause):
            pause = self.renew()

    def end(self) -> None:
        """Stop `keep_renewing`."""
        self._ended.set()
