"""The errors that end an attempt, its phases, and the rule for when it must stop."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Literal

Phase = Literal["fetch", "run", "check", "upload"]

INTERRUPTIBLE: tuple[Phase, ...] = ("fetch", "run")
"""Phases that SIGTERM interrupts. The others take seconds and save what may be hours of work."""

GRACE_SECONDS = 5.0
"""Time from SIGTERM to SIGKILL."""

LONGEST_SECONDS = (11 * 60 + 50) * 60
"""SQS hides a message for at most 12 h after it is received ("Amazon SQS visibility timeout")."""


class StopFlag:
    """A flag that is set when the worker must stop.

    A signal handler can set this flag, because the flag has no lock: a handler that sets a
    threading.Event can wait forever for the thread that it interrupts.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait at most `seconds` until the flag is set; return whether it is set."""
        end = time.monotonic() + seconds
        while not self._is_set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return self._is_set


class Failed(Exception):
    """The attempt failed; the text is the reason."""


class Stop(Failed):
    """The attempt must stop now; the command has `grace_seconds` from SIGTERM to SIGKILL."""

    def __init__(self, reason: str, grace_seconds: float = GRACE_SECONDS) -> None:
        super().__init__(reason)
        self.grace_seconds = grace_seconds


class Lost(Stop):
    """Another worker may have the message by now; this attempt must not change anything."""


class Interrupted(Stop):
    """The worker must stop."""


class Phases:
    """The current phase of an attempt, and the duration of each phase."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = self._current_began = clock()
        self.current: Phase = "fetch"
        self.seconds: dict[str, float] = {}

    @property
    def total_seconds(self) -> float:
        return self._clock() - self._began

    @property
    def current_seconds(self) -> float:
        return self._clock() - self._current_began

    @contextlib.contextmanager
    def enter(self, phase: Phase) -> Iterator[None]:
        self.current, self._current_began = phase, self._clock()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.current_seconds, 3)


def reason_to_stop(
    phases: Phases, *, held: bool, stopping: bool, timeout_minutes: float
) -> Stop | None:
    """Return why an attempt must stop now, or None if it may continue."""
    if not held:
        return Lost("the worker could not keep the message; another worker may have it", 0)
    if stopping and phases.current in INTERRUPTIBLE:
        return Interrupted("the worker received SIGTERM")
    if phases.current == "run" and phases.current_seconds > timeout_minutes * 60:
        return Stop(f"took longer than JOB_TIMEOUT_MINUTES = {timeout_minutes:g}")
    if phases.total_seconds > LONGEST_SECONDS:
        return Stop("took longer than 11 h 50 min, the maximum that SQS allows")
    return None
