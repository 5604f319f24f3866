"""What ends a command early: one message for a person, and the exit code.

Exit codes: 0 all is well, 1 some jobs are dead or check has findings, 2 bad input or nothing could
be started, 3 AWS refused or could not be asked, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.problems import BadInput, Problem

MOST_KEPT = 20
"""So many problems are kept and printed; the others are counted."""


class Stopped(Exception):
    """A command cannot go on; its text says what is wrong and what to do.

    Attributes:
        exit_code: of the process.
    """

    exit_code = 2


class Refused(Stopped):
    """AWS refused, or could not be asked."""

    exit_code = 3


class Interrupted(Stopped):
    """Ctrl-C; its text says what exists and how to go on."""

    exit_code = 130


class Findings:
    """Problems as they are found: the first ones are kept, all are counted."""

    def __init__(self, where: str) -> None:
        """Begin with none; `where` is the file that they are in."""
        self._where = where
        self._kept: list[Problem] = []
        self.count = 0

    def add(self, problems: Iterable[Problem]) -> None:
        """Add problems that make the input unusable."""
        for problem in problems:
            self.count += 1
            if self.count <= MOST_KEPT:
                self._kept.append(problem)

    def refuse(self) -> None:
        """Raise BadInput with what was found, if anything was."""
        if not self.count:
            return
        more = self.count - len(self._kept)
        if more:
            todo = "correct the ones above first"
            self._kept.append(Problem(self._where, f"and {more} more", todo))
        raise BadInput(self._kept)
