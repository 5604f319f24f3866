"""Job files: the variables that all jobs share, and the groups, one for each job.

`groups` is a list of objects, `{"matrix": {"plate": ["P1", "P2"], "well": ["A01", "A02"]}}` (every
combination), or `{"csv": "jobs.csv"}` (a file next to the job file whose header names the
variables; it is streamed, so it may have millions of rows). The whole file is checked before the
first message is sent.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ds.jobs.definition import JobDefinition
from ds.jobs.message import MAX_BYTES, Job
from ds.jobs.problems import BadInput, Problem, at, closest, did_you_mean
from ds.jobs.resolve import resolve_job
from ds.jobs.text_file import read_json
from ds.jobs.variables import Value, from_text

MOST_GROUPS = 10_000_000
"""More jobs are probably a mistake in a matrix, and checking them would take hours."""

MOST_KEPT = 20
"""The number of problems that are printed; the others are counted."""

csv.field_size_limit(MAX_BYTES)


class _Group(NamedTuple):
    """A group in the file: its place, its variables, and problems of its form."""

    where: str
    variables: dict[str, Value]
    problems: Sequence[Problem]


_Reader = Callable[[], Iterable[_Group]]
"""A function that reads the groups, or raises BadInput if a CSV file is not valid."""


@dataclass(frozen=True)
class JobFile:
    """A checked job file.

    Attributes:
        shared: the variables that all jobs share.
        count: the number of groups.
        digest: the SHA-256 hash of all messages in order.
    """

    path: Path
    shared: Mapping[str, Value]
    count: int
    digest: str
    _read: _Reader

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs, in the order of the file."""
        for group in self._read():
            yield Job(self.shared, group.variables)

    def job(self, number: int) -> Job:
        """Return the job of a group, counted from 1; raise BadInput if it does not exist."""
        if not 1 <= number <= self.count:
            hint = f"use a number from 1 to {self.count}"
            raise BadInput([Problem(self.path.name, f"has no group {number}", hint)])
        return next(itertools.islice(self.jobs(), number - 1, None))


class _ProblemTally:
    """Problems of a job file: the first of each kind is kept, and all are counted.

    Equal problems of several groups are one kind, so a mistake in every group does not hide other
    mistakes. At most MOST_KEPT kinds are kept.
    """

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name
        self._kept: dict[tuple[Problem, bool], tuple[str, int]] = {}
        self.count = 0

    def add(self, problems: Iterable[Problem], group: str = "") -> None:
        """Add problems; the places of a group's problems are relative to the group."""
        for problem in problems:
            self.count += 1
            kind = problem, bool(group)
            first, seen = self._kept.get(kind, (group, 0))
            if seen or len(self._kept) < MOST_KEPT:
                self._kept[kind] = first, seen + 1

    def raise_if_any(self) -> None:
        """Raise BadInput with the kept problems and the number of other problems."""
        if not self.count:
            return
        reported = []
        more = self.count
        for (problem, _), (group, seen) in self._kept.items():
            more -= seen
            if group and seen > 1:
                others = f"{seen - 1:,} more group{'s' if seen > 2 else ''}"
                problem = replace(problem, hint=f"{problem.hint} (and in {others})")
            reported += at([problem], f"{self._file_name}, {group}" if group else self._file_name)
        if more:
            hint = "correct the problems above first"
            reported.append(Problem(self._file_name, f"has {more:,} more problems", hint))
        raise BadInput(reported)


class _Object(dict[str, Any]):
    """A JSON object without comments, and its names that are defined twice."""

    duplicates: Sequence[Problem] = ()

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        pairs = [(name, value) for name, value in pairs if "_comment" not in name]
        super().__init__(pairs)
        if len(self) < len(pairs):
            times = Counter(name for name, _ in pairs)
            self.duplicates = [_defined_twice(name) for name in self if times[name] > 1]


def read_job_file(path: Path, definition: JobDefinition, config: Mapping[str, Value]) -> JobFile:
    """Read a job file and check all of it; raise BadInput with the first problems.

    `config` contains the settings of the program.
    """
    name = path.name
    if path.suffix.lower() == ".csv" and path.is_file():
        form = json.dumps({"groups": {"csv": name}}, ensure_ascii=False)
        hint = f"write {form} to a .json file in the same folder, and use that file"
        raise BadInput([Problem(str(path), "is a CSV file", hint)])
    missing = "use a job file such as files/exampleJob.json"
    shared = read_json(path, missing, 'write {"groups": [...]}', _Object)
    assert isinstance(shared, _Object)
    if "groups" not in shared:
        typo = closest("groups", shared)
        hint = f"did you mean groups instead of {typo}?" if typo else "add groups, one for each job"
        raise BadInput([Problem(name, "has no groups", hint)])
    tally = _ProblemTally(name)
    tally.add(shared.duplicates)
    try:
        read = _reader(shared.pop("groups"), path, definition.types)
        count, digest = _check(read, shared, definition, config, tally)
    except BadInput as error:
        tally.add(error.problems)
    tally.raise_if_any()
    return JobFile(path, shared, count, digest, read)


def _check(
    read: _Reader,
    shared: Mapping[str, Value],
    definition: JobDefinition,
    config: Mapping[str, Value],
    tally: _ProblemTally,
) -> tuple[int, str]:
    """Check every group, and that output prefixes differ; return the group count and digest."""
    number = 0
    digest = hashlib.sha256()
    reported = set()
    with _Prefixes() as prefixes:
        for number, group in enumerate(read(), 1):
            job = Job(shared, group.variables)
            try:
                body = _checked_body(group, job)
                prefix = resolve_job(definition, config, job, "bucket").output_prefix
            except BadInput as error:
                for problem in _causes(error.problems):
                    if problem.where not in shared or problem.where in group.variables:
                        tally.add([problem], group.where)
                    elif problem not in reported:
                        # A mistake in the shared variables is reported once, not per group.
                        reported.add(problem)
                        tally.add([problem])
                continue
            digest.update(f"{body}\n".encode())
            if not tally.count:
                prefixes.add(number, prefix)
        if not number:
            tally.add([Problem("", "has no groups", "write at least one")])
        if not tally.count:
            tally.add(prefixes.problems())
    return number, digest.hexdigest()


def _causes(problems: Sequence[Problem]) -> list[Problem]:
    """Omit missing values whose name is only misspelled."""
    hints = {problem.hint for problem in problems}
    return [
        problem
        for problem in problems
        if problem.message != "has no value" or f"did you mean {problem.where}?" not in hints
    ]


def _checked_body(group: _Group, job: Job) -> str:
    """Build the message body of a group if its form is valid; refuse a body that is too large."""
    if group.problems:
        raise BadInput(group.problems)
    if not group.variables:
        raise BadInput([Problem("", "is empty", "add variables, or remove it")])
    body = job.body()
    if len(body) > MAX_BYTES:
        message = f"is a message of {len(body):,} bytes"
        hint = f"the maximum is {MAX_BYTES:,}: move long lists into a file"
        raise BadInput([Problem("", message, hint)])
    return body


def _defined_twice(name: str) -> Problem:
    return Problem(name, "is defined twice", "keep one of them")


# --- The three forms of groups --------------------------------------------------------------------


def _reader(groups: object, path: Path, types: Mapping[str, str]) -> _Reader:
    """Return the reader of the groups, or raise BadInput if their form is not valid."""
    if isinstance(groups, list):
        return partial(_listed, groups)
    if isinstance(groups, _Object) and not groups.duplicates:
        if set(groups) == {"matrix"}:
            _check_matrix(groups["matrix"])
            return partial(_combined, groups["matrix"])
        if set(groups) == {"csv"}:
            return _csv(groups["csv"], path, types)
    hint = 'write a list, {"matrix": {...}} or {"csv": "file"}'
    raise _wrong("groups", "is not one of the three forms", hint)


def _wrong(where: str, message: str, hint: str) -> BadInput:
    return BadInput([Problem(where, message, hint)])


def _listed(groups: list[Any]) -> Iterator[_Group]:
    for number, group in enumerate(groups, 1):
        where = f"group {number}"
        if isinstance(group, _Object):
            yield _Group(where, group, group.duplicates)
        else:
            hint = 'write {"variable": value, ...}'
            yield _Group(where, {}, [Problem("", "is not a JSON object", hint)])


def _combined(matrix: Mapping[str, list[Value]]) -> Iterator[_Group]:
    for number, row in enumerate(itertools.product(*matrix.values()), 1):
        yield _Group(f"group {number}", dict(zip(matrix, row, strict=True)), [])


def _check_matrix(matrix: object) -> None:
    where = "groups, matrix"
    if not isinstance(matrix, _Object) or not matrix:
        hint = 'write {"variable": [values], ...}'
        raise _wrong(where, "is not a JSON object with variables", hint)
    found = list(matrix.duplicates)
    for name, column in matrix.items():
        if not isinstance(column, list) or not column:
            found.append(Problem(name, "is not a list with values", "write [value, ...]"))
    if found:
        raise BadInput(at(found, where))
    count = math.prod(map(len, matrix.values()))
    if count > MOST_GROUPS:
        hint = f"the maximum is {MOST_GROUPS:,}: split it into several files"
        raise _wrong(where, f"has {count:,} jobs", hint)


def _csv(name: Any, path: Path, types: Mapping[str, str]) -> _Reader:
    if not isinstance(name, str) or not name:
        raise _wrong("groups, csv", "is not the name of a file", 'write {"csv": "jobs.csv"}')
    file = path.parent / name
    if not file.is_file():
        hint = f"create it, or write its path relative to {path.name}"
        raise _wrong(f"groups, csv, {file}", "does not exist", hint)
    header = next(_rows(file, name), (0, []))[1]
    if found := _header_problems(header, types):
        raise BadInput(at(found, f"{name}, header"))
    return partial(_from_rows, file, name, header, types)


def _from_rows(
    file: Path, name: str, header: list[str], types: Mapping[str, str]
) -> Iterator[_Group]:
    rows = itertools.islice(_rows(file, name), 1, None)
    for number, (line, row) in enumerate(rows, 1):
        yield _group_of_row(f"group {number}, {name} line {line}", header, row, types)


def _header_problems(header: list[str], types: Mapping[str, str]) -> list[Problem]:
    if not header:
        hint = "write the names of the variables, then a row for each job"
        return [Problem("", "is empty", hint)]
    if len(header) == 1 and any(sign in header[0] for sign in ";\t"):
        return [Problem("", "has no comma", "save the file with commas between the columns")]
    found = []
    for column, name in enumerate(header, 1):
        if not name:
            hint = "write the name of its variable, or delete the column"
            found.append(Problem(f"column {column}", "has no name", hint))
        elif "_comment" not in name and name not in types:
            hint = did_you_mean(name, types, "delete the column, or add it to VARIABLES in job.py")
            found.append(Problem(name, "unknown variable", hint))
        elif "_comment" not in name and name in header[: column - 1]:
            found.append(_defined_twice(name))
    return found


def _rows(file: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the non-empty rows of a CSV file, each with its line number; trim the cells."""
    reader = None
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            # With skipinitialspace, a quote can follow a space.
            reader = csv.reader(text, strict=True, skipinitialspace=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        if isinstance(error, UnicodeDecodeError):
            where, message = f"{name} line {_undecodable_line(file)}", "is not UTF-8"
        else:
            where = f"{name} after line {reader.line_num if reader else 0}"
            message = f"is not valid CSV: {error}"
        hint = "save it as CSV in UTF-8 with commas"
        raise BadInput([Problem(where, message, hint)]) from None


def _undecodable_line(file: Path) -> int:
    """Find the first line that is not UTF-8. The decoder reads ahead, so it cannot report it."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        return next(n for n, line in enumerate(text, 1) if re.search("[\udc80-\udcff]", line))


def _group_of_row(
    where: str, header: list[str], row: list[str], types: Mapping[str, str]
) -> _Group:
    if len(row) != len(header):
        message = f"has {len(row)} cells, but the header has {len(header)}"
        hint = "write one cell for each column, with double quotes around commas"
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
    """A search for output prefixes that are equal or inside one another.

    A temporary database on disk stores them, so millions of prefixes need little memory.
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
        """Report each collision at the later group."""
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
        hint = "in job.py, add a variable that differs, or {job_id}, to OUTPUT_PREFIX"
        for one, other, text in same:
            yield Problem(f"group {one}", f"has the output prefix {text!r} of group {other}", hint)
        for one, text in inside:
            message = f"has the output prefix {text!r}, which contains those of other groups"
            yield Problem(f"group {one}", message, hint)

    def _write(self) -> None:
        self._database.executemany("INSERT INTO prefix VALUES (?, ?)", self._rows)
        folders = ((folder,) for folder in self._folders)
        self._database.executemany("INSERT OR IGNORE INTO folder VALUES (?)", folders)
        self._rows.clear()
        self._folders.clear()
