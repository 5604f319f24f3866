"""What is wrong, where, and what to do: the one form in which mistakes are told."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One mistake, as a person reads it: "{where}: {what}; {todo}".

    Args:
        where: the place, e.g. "job.py, COMMAND, column 14"; "" if the caller adds it by `at`.
        what: what is wrong, without a final period.
        todo: what to do about it, without a final period.
        warning: true if it may be meant so; nothing is refused for it.
        code: names the kind of a problem that `check` reports, such as "DS-MEMORY".
    """

    where: str
    message: str
    hint: str
    warning: bool = False
    code: str = ""

    @property
    def statement(self) -> str:
        """Where and what, without what to do."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        return f"{self.statement}; {self.hint}"


class BadInput(Exception):
    """What a person wrote cannot be used. Holds every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def at(problems: Iterable[Problem], where: str) -> list[Problem]:
    """The problems with their place inside `where`: "column 3" in "job.py, COMMAND, column 3"."""
    return [
        replace(problem, where=", ".join(place for place in (where, problem.where) if place))
        for problem in problems
    ]


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` may be a slip of, or None. Case, "-" and "_" do not count."""
    folded = {_folded(other): other for other in known}
    matches = get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")
