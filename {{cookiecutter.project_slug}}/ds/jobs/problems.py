"""The form in which every mistake is reported: where, what is wrong, what to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from operator import itemgetter


@dataclass(frozen=True)
class Problem:
    """One mistake, as a person reads it: "{where}: {message}; {hint}".

    Attributes:
        where: the place, such as "job.py, COMMAND, column 14"; "" if the caller adds it.
        message: what is wrong.
        hint: what to do.
        warning: true if it may be intended; nothing is refused because of it.
        code: the kind of a problem that `check` reports, such as "DS-MEMORY".
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


Located = tuple[int, Problem]
"""A problem without a place yet, and its offset in a text."""


class BadInput(Exception):
    """Something that a person wrote cannot be used. Holds every problem, not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def at(problems: Iterable[Problem], where: str) -> list[Problem]:
    """Put the problems inside a place: "column 3" becomes "job.py, COMMAND, column 3"."""
    return [
        replace(problem, where=", ".join(place for place in (where, problem.where) if place))
        for problem in problems
    ]


def at_offsets(text: str, found: Iterable[Located]) -> list[Problem]:
    """Sort problems by their offsets in a text; add "column 14", or "line 2, column 3"."""
    return [
        replace(problem, where=_line_and_column(text, offset))
        for offset, problem in sorted(found, key=itemgetter(0))
    ]


def _line_and_column(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return f"column {column}" if "\n" not in text.strip() else f"line {line}, column {column}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name to suggest for an unknown one. Case, "-" and "_" do not matter."""
    folded = {_folded(other): other for other in known}
    matches = get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str, written: Callable[[str], str] = str
) -> str:
    """Write the hint for an unknown name: the closest known name, or what to do otherwise."""
    suggestion = closest(name, known)
    return f"did you mean {written(suggestion)}?" if suggestion else otherwise


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def typo_of(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that differs from `name` in one or two letters; else None.

    This is stricter than `closest`, because the name is refused. The limit is lower for short
    names: GPU is a typo of GPUS, but PLUS may be a name that the owner chose.
    """
    distances = {other: _distance(name, other) for other in known}
    near = [other for other in distances if 0 < distances[other] <= min(2, len(other) // 3)]
    return min(near, key=lambda other: distances[other], default=None)


def _distance(one: str, other: str) -> int:
    """Count the letters to insert, remove or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[len(other)]
