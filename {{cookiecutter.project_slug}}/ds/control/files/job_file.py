"""Job files: the variables that all jobs share, and the groups, one job each.

`groups` is a list of objects, `{"matrix": {"plate": ["P1", "P2"], "well": ["A01", "A02"]}}` (every
combination), or `{"csv": "jobs.csv"}` (a file beside the job file whose header names the
variables; it is streamed, so millions of rows are fine). Everything is checked before anything
is sent.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ds.jobs.definition import JobDefinition
from ds.jobs.message import MAX_BYTES, Job
from ds.jobs.problems import BadInput, Problem, at, closest
from ds.jobs.resolve import resolve
from ds.jobs.variables import Value, from_text

MOST_GROUPS = 10_000_000
"""More jobs are a mistake in a matrix: checking them would take hours."""

MOST_KEPT = 20
"""So many problems are kept and printed; the others are counted."""

csv.field_size_limit(MAX_BYTES)


class _Group(NamedTuple):
    """A group as it was read: its place in the file, its variables, and what is wrong with it."""

    where: str
    variables: dict[str, Value]
    problems: list[Problem]


class _Groups(NamedTuple):
    """What yields the groups, as often as asked, and what is wrong with their form."""

    read: Callable[[], Iterable[_Group]]
    problems: list[Problem]


@dataclass(frozen=True)
class JobFile:
    """A checked job file.

    Attributes:
        path: the file.
        shared: the variables beside `groups`.
        count: groups in it.
        digest: names the file by all its messages, in their order.
    """

    path: Path
    shared: Mapping[str, Value]
    count: int
    digest: str
    _groups: _Groups

    def jobs(self) -> Iterator[Job]:
        """The jobs, in the order of the file; group 1 comes first."""
        for group in self._groups.read():
            yield Job(self.shared, group.variables)

    def job(self, number: int) -> Job:
        """Return the job of a group, counted from 1.

        Raises:
            BadInput: the file has no such group.
        """
        if not 1 <= number <= self.count:
            hint = f"use a number from 1 to {self.count}"
            raise BadInput([Problem(self.path.name, f"has no group {number}", hint)])
        return next(itertools.islice(self.jobs(), number - 1, None))


class _Findings:
    """Problems as they are found: the first of a kind is kept, all are counted.

    What groups have in common is one kind, told at the first of them, so that a mistake in every
    group hides no other one. However many there are, MOST_KEPT kinds are kept.
    """

    def __init__(self, name: str) -> None:
        """Begin with none; `name` is the file that they are in."""
        self._name = name
        self._kept: dict[tuple[Problem, bool], tuple[str, int]] = {}
        self.count = 0

    def add(self, problems: Iterable[Problem], group: str = "") -> None:
        """Add problems; those of a group say only where in it they are."""
        for problem in problems:
            self.count += 1
            kind = problem, bool(group)
            first, seen = self._kept.get(kind, (group, 0))
            if seen or len(self._kept) < MOST_KEPT:
                self._kept[kind] = first, seen + 1

    def refuse(self) -> None:
        """Raise BadInput with what was found, if anything was."""
        if not self.count:
            return
        told = []
        more = self.count
        for (problem, _), (group, seen) in self._kept.items():
            more -= seen
            if group and seen > 1:
                others = f"{seen - 1:,} more group{'s' if seen > 2 else ''}"
                problem = replace(problem, hint=f"{problem.hint} (and in {others})")
            told += at([problem], f"{self._name}, {group}" if group else self._name)
        if more:
            hint = "correct the ones above first"
            told.append(Problem(self._name, f"and {more:,} more", hint))
        raise BadInput(told)


class _Doubled(dict[str, Any]):
    """A JSON object in which names are written twice."""

    names: tuple[str, ...] = ()


def read(path: Path, definition: JobDefinition, config: Mapping[str, Value]) -> JobFile:
    """Read a job file and check all of it.

    Args:
        path: the job file.
        definition: what job.py says of a job.
        config: the program's own settings.

    Raises:
        BadInput: with the first problems and the number of all.
    """
    name = path.name
    shared = _document(path)
    findings = _Findings(name)
    findings.add(_doubled(shared))
    if "groups" not in shared:
        slip = closest("groups", shared)
        hint = f"did you mean groups where you wrote {slip}?" if slip else "add groups: one a job"
        raise BadInput([Problem(name, "has no groups", hint)])
    groups = _groups(shared.pop("groups"), path, definition.types)
    findings.add(groups.problems)
    findings.refuse()
    count, digest = _check(groups, shared, definition, config, findings)
    findings.refuse()
    return JobFile(path, shared, count, digest, groups)


def _check(
    groups: _Groups,
    shared: Mapping[str, Value],
    definition: JobDefinition,
    config: Mapping[str, Value],
    findings: _Findings,
) -> tuple[int, str]:
    """Check every group, and that no two have one output prefix; how many there are, and digest."""
    number = 0
    digest = hashlib.sha256()
    told = set()
    with _Prefixes() as prefixes:
        try:
            for number, group in enumerate(groups.read(), 1):
                job = Job(shared, group.variables)
                try:
                    body = _checked_body(group, job)
                    prefix = resolve(definition, config, job, "bucket").output_prefix
                except BadInput as error:
                    for problem in _causes(error.problems):
                        if problem.where in shared and problem.where not in group.variables:
                            # A mistake of the shared variables is one, not one of every group.
                            if problem not in told:
                                told.add(problem)
                                findings.add([problem])
                        else:
                            findings.add([problem], group.where)
                    continue
                digest.update(f"{body}\n".encode())
                if not findings.count:
                    prefixes.add(number, prefix)
        except BadInput as unreadable:
            findings.add(unreadable.problems)
        if not number and not findings.count:
            findings.add([Problem("", "has no groups", "write at least one")])
        if not findings.count:
            findings.add(prefixes.problems())
    return number, digest.hexdigest()


def _causes(problems: Sequence[Problem]) -> list[Problem]:
    """The problems of a group, without a value that is only missing because its name has a slip."""
    told = {problem.hint for problem in problems}
    return [
        problem
        for problem in problems
        if problem.message != "has no value" or f"did you mean {problem.where}?" not in told
    ]


def _checked_body(group: _Group, job: Job) -> str:
    """A group's message; refused where its form is wrong, or it is too large."""
    if group.problems:
        raise BadInput(group.problems)
    if not group.variables:
        raise BadInput([Problem("", "is empty", "give it variables, or remove it")])
    body = job.body()
    if len(body) > MAX_BYTES:
        message = f"makes a message of {len(body):,} bytes"
        hint = f"at most {MAX_BYTES:,} fit: keep long lists in a file"
        raise BadInput([Problem("", message, hint)])
    return body


def _document(path: Path) -> dict[str, Any]:
    """The file's JSON object, comments left out."""

    def refuse(message: str, hint: str) -> BadInput:
        return BadInput([Problem(str(path), message, hint)])

    if path.suffix.lower() == ".csv" and path.is_file():
        form = json.dumps({"groups": {"csv": path.name}}, ensure_ascii=False)
        raise refuse("is a CSV file", f"write {form} into a .json file beside it, and name that")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise refuse("is not there", "name a job file, such as files/exampleJob.json") from None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}", "name a job file") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("is UTF-16", "save it as UTF-8")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 (byte {error.start})", "save it as UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"{path} line {error.lineno}, column {error.colno}"
        message = f"is not JSON: {error.msg}"
        raise BadInput([Problem(where, message, "correct it there or just before")]) from None
    except (ValueError, RecursionError) as error:
        message = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise refuse(f"cannot be read: {message}", "correct it") from None
    if not isinstance(document, dict):
        raise refuse("is no JSON object", 'write {"groups": [...]}')
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without comments that remembers names written twice."""
    pairs = [(key, value) for key, value in pairs if "_comment" not in key]
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    doubled = _Doubled(values)
    doubled.names = tuple({key for key in values if sum(key == k for k, _ in pairs) > 1})
    return doubled


def _twice(name: str) -> Problem:
    return Problem(name, "is written twice", "keep one of them")


def _doubled(values: object) -> list[Problem]:
    """The names that an object of the file has twice."""
    return [_twice(name) for name in values.names] if isinstance(values, _Doubled) else []


def _groups(value: object, path: Path, types: Mapping[str, str]) -> _Groups:
    """The groups, in whatever form they are written."""
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, dict) and not _doubled(value):
        if set(value) == {"matrix"}:
            return _matrix(value["matrix"])
        if set(value) == {"csv"}:
            return _csv(value["csv"], path, types)
    hint = 'write a list, {"matrix": {...}} or {"csv": "file"}'
    return _wrong("groups", "is none of the three forms", hint)


def _wrong(where: str, message: str, hint: str) -> _Groups:
    return _Groups(list, [Problem(where, message, hint)])


def _list(groups: list[Any]) -> _Groups:
    if not groups:
        return _wrong("groups", "is empty", "write at least one group")

    def read() -> Iterator[_Group]:
        for number, group in enumerate(groups, 1):
            where = f"group {number}"
            if isinstance(group, dict):
                yield _Group(where, group, _doubled(group))
            else:
                hint = 'write {"variable": value, ...}'
                yield _Group(where, {}, [Problem("", "is no JSON object", hint)])

    return _Groups(read, [])


def _matrix(values: Any) -> _Groups:
    where = "groups, matrix"
    if not isinstance(values, dict) or not values:
        hint = 'write {"variable": [values], ...}'
        return _wrong(where, "is no JSON object with variables", hint)
    found = _doubled(values) + [
        Problem(name, "is no list with values", "write [value, ...]")
        for name, column in values.items()
        if not isinstance(column, list) or not column
    ]
    if found:
        return _Groups(list, at(found, where))
    count = math.prod(map(len, values.values()))
    if count > MOST_GROUPS:
        hint = f"at most {MOST_GROUPS:,} are possible: split it into several files"
        return _wrong(where, f"makes {count:,} jobs", hint)

    def read() -> Iterator[_Group]:
        for number, row in enumerate(itertools.product(*values.values()), 1):
            yield _Group(f"group {number}", dict(zip(values, row, strict=True)), [])

    return _Groups(read, [])


def _csv(name: Any, path: Path, types: Mapping[str, str]) -> _Groups:
    if not isinstance(name, str) or not name:
        return _wrong("groups, csv", "is no name of a file", 'write {"csv": "jobs.csv"}')
    file = path.parent / name
    if not file.is_file():
        hint = f"put it there, or give its path as seen from {path.name}"
        return _wrong(f"groups, csv, {file}", "is not there", hint)
    try:
        header = next(_rows(file, name), (0, []))[1]
    except BadInput as error:
        return _Groups(list, list(error.problems))
    found = _header_problems(header, types)
    if found:
        return _Groups(list, at(found, f"{name}, header"))

    def read() -> Iterator[_Group]:
        rows = itertools.islice(_rows(file, name), 1, None)
        for number, (line, row) in enumerate(rows, 1):
            yield _group_of_row(f"group {number}, {name} line {line}", header, row, types)

    return _Groups(read, [])


def _header_problems(header: list[str], types: Mapping[str, str]) -> list[Problem]:
    if not header:
        return [Problem("", "is empty", "write the variables' names, then a row for each job")]
    if len(header) == 1 and any(sign in header[0] for sign in ";\t"):
        return [Problem("", "has no comma", "save the file with commas between its columns")]
    found = []
    for column, name in enumerate(header, 1):
        if not name:
            hint = "name its variable, or delete the column"
            found.append(Problem(f"column {column}", "has no name", hint))
        elif "_comment" not in name and name not in types:
            slip = closest(name, types)
            hint = f"did you mean {slip}?" if slip else "remove the column, or add it to job.py"
            found.append(Problem(name, "is no variable of job.py", hint))
        elif "_comment" not in name and name in header[: column - 1]:
            found.append(_twice(name))
    return found


def _rows(file: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    """A CSV file's rows that are not blank, each with its line; no cell has blanks at its ends."""
    reader = None
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            # skipinitialspace, since only so may a quote follow a blank.
            reader = csv.reader(text, strict=True, skipinitialspace=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        if isinstance(error, UnicodeDecodeError):
            where, message = f"{name} line {_undecodable_line(file)}", "is not UTF-8"
        else:
            where = f"{name} after line {reader.line_num if reader else 0}"
            message = f"is not CSV: {error}"
        hint = "save it as CSV in UTF-8 with commas"
        raise BadInput([Problem(where, message, hint)]) from None


def _undecodable_line(file: Path) -> int:
    """The first line that is not UTF-8. A decoder reads ahead of the lines, so it cannot tell."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        return next(n for n, line in enumerate(text, 1) if re.search("[\udc80-\udcff]", line))


def _group_of_row(
    where: str, header: list[str], row: list[str], types: Mapping[str, str]
) -> _Group:
    if len(row) != len(header):
        message = f"has {len(row)} cells, the header {len(header)}"
        hint = "write one cell for each, those with a comma in double quotes"
        return _Group(where, {}, [Problem("", message, hint)])
    variables: dict[str, Value] = {}
    found = []
    for name, cell in zip(header, row, strict=True):
        if "_comment" in name:
            continue
        try:
            variables[name] = from_text(cell, types[name])
        except ValueError as error:
            found.append(Problem(name, str(error), f"its type in job.py is {types[name]}"))
    return _Group(where, variables, found)


class _Prefixes:
    """Finds output prefixes that two jobs share, or of which one lies inside another.

    They are kept in a temporary database on disk, so that millions of them need little memory.
    """

    def __enter__(self) -> _Prefixes:
        self._database = sqlite3.connect("")
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
            "CREATE TABLE prefix (text TEXT, number INTEGER);"
            "CREATE TABLE folder (text TEXT PRIMARY KEY) WITHOUT ROWID;"
        )
        self._rows: list[tuple[str, int]] = []
        self._folders: set[str] = set()
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, number: int, prefix: str) -> None:
        """Add the prefix of a group."""
        self._rows.append((prefix, number))
        folder = prefix.rpartition("/")[0]
        while folder and folder not in self._folders:
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]
        if len(self._rows) >= 1_000:
            self._write()

    def problems(self) -> Iterator[Problem]:
        """The collisions, each told at the later group."""
        self._write()
        self._database.execute("CREATE INDEX by_text ON prefix (text, number)")
        same = self._database.execute(
            "SELECT max(number), min(number), text FROM prefix"
            " GROUP BY text HAVING count(*) > 1 ORDER BY min(number)"
        )
        inside = self._database.execute(
            "SELECT prefix.number, prefix.text FROM prefix JOIN folder USING (text)"
            " ORDER BY prefix.number"
        )
        hint = "use a variable in OUTPUT_PREFIX of job.py that tells them apart, or {job_id}"
        for one, other, text in same:
            yield Problem(f"group {one}", f"has the output prefix {text!r} of group {other}", hint)
        for one, text in inside:
            yield Problem(f"group {one}", f"has a prefix, {text!r}, in which others lie", hint)

    def _write(self) -> None:
        self._database.executemany("INSERT INTO prefix VALUES (?, ?)", self._rows)
        folders = ((folder,) for folder in self._folders)
        self._database.executemany("INSERT OR IGNORE INTO folder VALUES (?)", folders)
        self._rows.clear()
        self._folders.clear()
