"""The format of every reported mistake: where it is, what is wrong, and what to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from operator import itemgetter


@dataclass(frozen=True)
class Problem:
    """One mistake, in the form that users read: "{where}: {message}; {hint}".

    Attributes:
        where: the place, such as "job.py, COMMAND, column 14"; "" if the caller adds it.
        message: what is wrong.
        hint: what to do.
        warning: whether it may be intended; a warning never causes a refusal.
        code: the kind of problem, if `check` reports it, such as "DS-MEMORY".
    """

    where: str
    message: str
    hint: str
    warning: bool = False
    code: str = ""

    @property
    def statement(self) -> str:
        """The place and the message, without the hint."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        return f"{self.statement}; {self.hint}"


Located = tuple[int, Problem]
"""An offset in a text, and a problem that has no place yet."""


class BadInput(Exception):
    """Input that cannot be used, with every problem and not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def at(problems: Iterable[Problem], where: str) -> list[Problem]:
    """Prefix the place of each problem: "column 3" becomes "job.py, COMMAND, column 3"."""
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
    """Find a known name to suggest for an unknown name. Case and "-" or "_" do not matter."""
    folded = {_folded(other): other for other in known}
    matches = get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str, written: Callable[[str], str] = str
) -> str:
    """Return the hint for an unknown name: the closest known name, or else `otherwise`."""
    suggestion = closest(name, known)
    return f"did you mean {written(suggestion)}?" if suggestion else otherwise


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def typo_of(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that differs from `name` in one or two letters; else return None.

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
