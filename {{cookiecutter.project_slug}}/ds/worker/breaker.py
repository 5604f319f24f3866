"""The circuit breaker of a worker, for all its slots together."""


class Breaker:
    """Counts the attempts in a row that the worker could not start, for a reason of its own.

    After a few of them the worker ends, because it delays jobs that other workers could do.
    """

    def __init__(self, slots: int, pause_seconds: float) -> None:
        self._limit = slots + 4  # the first volley, then one attempt after each pause
        self._first_pause = self._pause = pause_seconds
        self.in_a_row = 0
        self._works = False
        self.reason = ""

    @property
    def tripped(self) -> bool:
        return self.in_a_row >= self._limit

    @property
    def doubtful(self) -> bool:
        """Whether the last attempt did not start."""
        return self.in_a_row > 0

    def next_pause(self) -> float:
        """Return the seconds until the worker tries one more attempt: twice as many each time."""
        pause, self._pause = self._pause, min(2 * self._pause, 30)
        return pause

    def started(self) -> None:
        """Note that a command began."""
        self.in_a_row, self._works, self._pause = 0, True, self._first_pause

    def not_started(self, reason: str) -> None:
        """Note that the worker could not start an attempt."""
        self.in_a_row += 1
        self.reason = reason

    def blames_job(self) -> bool:
        """Return whether an error that job or worker can cause is the job's: a command began since
        the last such error."""
        works, self._works = self._works, False
        return works
