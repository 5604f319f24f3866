"""Leases on messages, renewed for all slots together: the fence between workers.

SQS hides a received message from other workers for the visibility timeout. A worker that renews it
in time holds it. A worker that could not (it was stopped, the network was down) must assume that
another worker has the job by now, and must neither upload nor delete.
"""

import logging
import threading
import time
from collections.abc import Callable

from ds.worker.sqs import GONE, JobQueue, Received

logger = logging.getLogger("ds.worker")

RENEWALS = 3
"""Renewals in one visibility timeout: every 20 s for 60 s."""

RETRIES = 4
"""Attempts at one renewal while SQS does not answer: every 5 s for 60 s."""

POLL_SHARE = 4
"""A long poll takes at most this part of the visibility timeout: it counts as part of the lease."""


def clock() -> float:
    """Return seconds that also pass while the process is stopped (SIGSTOP) and, on Linux, while the
    machine sleeps: leases end then, too."""
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
        """Note that SQS hid the message again, at `since` or later.

        A response that comes after the lease has ended does not count: another worker may have
        received the message first, and SQS accepts the old receipt anyway.
        """
        if self.held:
            self._confirmed = since

    def revoke(self) -> None:
        """Note that SQS reported that the message is not ours."""
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
        """Receive at most `limit` (1 to 10) messages by a long poll of at most `wait_seconds`."""
        wait_seconds = max(1, min(wait_seconds, int(self._seconds / POLL_SHARE)))
        # The lease begins with the request, the earliest time at which SQS can hide a message: the
        # worker may be stopped before it reads the response.
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
        """Renew every lease that is still held; the others stay lost. Return the seconds until the
        next call."""
        pause = self._seconds / RENEWALS
        with self._lock:
            held = {receipt: lease for receipt, lease in self._leases.items() if lease.held}
        if not held:
            return pause
        since = self._clock()
        try:
            refused = self._queue.extend(list(held), self._seconds)
        except Exception as error:  # any: the jobs of all slots depend on this thread
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
        """Renew until `end` is called; runs in its own thread."""
        pause = self._seconds / RENEWALS
        while not self._ended.wait(pause):
            pause = self.renew()

    def end(self) -> None:
        """Stop `keep_renewing`."""
        self._ended.set()
