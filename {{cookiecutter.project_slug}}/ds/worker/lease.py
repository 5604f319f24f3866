"""Leases on messages: renewed for all slots together, and the fence that a lost one is.

A received message is hidden from other workers for the visibility. A worker that renews it
holds it; one that could not (it was stopped, the network was away) must assume that another
worker has the job by now, and may neither upload nor delete.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ds.worker.sqs import GONE, JobQueue, Received

log = logging.getLogger("ds.worker")

RENEWALS = 3
"""Renewals in one visibility: every 20 s for 60 s."""

RETRIES = 4
"""Tries in the time of one renewal where SQS could not be asked: every 5 s for 60 s."""


def clock() -> float:
    """Seconds that go on while a process is stopped (SIGSTOP) and, where the system has such a
    clock, while the machine sleeps: a lease ends then, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """One message that this worker holds, as long as `held`."""

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
        """Whether no other worker can have received the message."""
        return not self._revoked and self._clock() - self._confirmed < self._seconds

    def confirm(self, since: float) -> None:
        """SQS hid the message again, at `since` or later.

        An answer that comes when the lease is over does not count: another worker may have
        received the message before SQS did what was asked, and SQS may take the old receipt.
        """
        if self.held:
            self._confirmed = since

    def revoke(self) -> None:
        """SQS says that the message is not ours."""
        self._revoked = True


class Leases:
    """All leases of a worker, renewed together.

    Args:
        queue: where the messages are.
        seconds: the visibility.
        clock: monotonic seconds. It goes on while the process is stopped (SIGSTOP), which is
            what makes the fence hold.
    """

    def __init__(self, queue: JobQueue, seconds: float, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._seconds = seconds
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def receive(self, limit: int, wait_seconds: int) -> list[Lease]:
        """Receive at most `limit` messages, each held from now on.

        Args:
            limit: 1 to 10.
            wait_seconds: of the long poll; well below the visibility, of which it is a part.
        """
        # The request's time, the earliest at which SQS can have hidden them: a worker stopped
        # between the answer and this line must not take them for fresh.
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
        """Renew every lease that is still held; one that is not stays lost.

        Returns:
            Seconds until the next call: fewer where SQS could not be asked.
        """
        pause = self._seconds / RENEWALS
        with self._lock:
            held = {receipt: lease for receipt, lease in self._leases.items() if lease.held}
        if not held:
            return pause
        since = self._clock()
        try:
            refused = self._queue.extend(list(held), self._seconds)
        except Exception as error:  # of any kind: all slots' jobs depend on this thread
            log.warning("could not renew %d messages: %s", len(held), error)
            return pause / RETRIES
        for receipt, lease in held.items():
            code = refused.get(receipt)
            if code is None:
                lease.confirm(since)
            elif code.rpartition(".")[2] in GONE:
                lease.revoke()
        return pause

    def keep_renewing(self) -> None:
        """Renew until `end` is called; run in a thread of its own."""
        pause = self._seconds / RENEWALS
        while not self._ended.wait(pause):
            pause = self.renew()

    def end(self) -> None:
        """Stop `keep_renewing`."""
        self._ended.set()
