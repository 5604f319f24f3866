"""What `submitJob` sends and leaves out, its journal, and its progress bar."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ds.cloud.errors import CommandError
from ds.control.progress import Progress
from ds.control.submission.done_groups import DoneGroups, prefixes_to_list
from ds.control.submission.journal import Journal, merged
from ds.control.submission.submission import Unsent
from ds.jobs.message import Job
from ds.jobs.outputs import OutputRule

QUEUE = "https://sqs/1/Test"


def jobs(count: int) -> list[Job]:
    return [Job({"a": 1}, {"n": number}) for number in range(1, count + 1)]


def opened(
    path: Path,
    *,
    again: bool = False,
    queue: str = QUEUE,
    created: str = "100",
    digest: str = "d",
) -> Journal:
    return Journal(path / "j.jsonl", digest, 100, queue, created, again)


def test_a_journal_remembers_what_sqs_accepted(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert (first.resumed, first.accepted, first.finished) == (False, [], "")
    first.add(11, 20)
    first.add(1, 10)
    first.add(41, 50)
    first.close()
    second = opened(tmp_path)
    assert (second.resumed, second.accepted, second.finished) == (True, [(1, 20), (41, 50)], "")
    second.finish("today")
    second.close()
    assert opened(tmp_path).finished == "today"


def test_the_unfinished_line_of_a_killed_process_is_ignored(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.add(1, 10)
    first.close()
    with (tmp_path / "j.jsonl").open("a") as file:
        file.write("[11, 2")
    second = opened(tmp_path)
    assert second.accepted == [(1, 10)]
    second.add(11, 20)
    second.close()
    assert opened(tmp_path).accepted == [(1, 20)]


OTHERS = [
    {"created": "200"},
    {"queue": "https://sqs/1/Other"},
    {"digest": "e"},
    {"again": True},
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_queue_or_job_file_or_again_starts_over(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    first = opened(tmp_path)
    first.add(1, 10)
    first.finish("today")
    first.close()
    second = opened(tmp_path, **other)
    assert (second.resumed, second.accepted, second.finished) == (False, [], "")
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 1


def test_two_processes_cannot_send_the_same_file_at_the_same_time(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(CommandError, match="Another process"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(3, 4), (1, 2)], [(1, 4)]),
        ([(1, 2), (4, 5)], [(1, 2), (4, 5)]),
        # A batch of a second process may include groups that the first had sent.
        ([(11, 20), (8, 27), (30, 30)], [(8, 27), (30, 30)]),
    ],
)
def test_ranges_are_merged(ranges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert merged(ranges) == expected


def test_groups_that_are_neither_accepted_nor_done_are_left() -> None:
    left = Unsent(jobs(20), [(1, 3), (8, 8), (15, 99)], {5, 9})
    assert [job.group["n"] for job in left] == [4, 6, 7, 10, 11, 12, 13, 14]
    assert left.left_out == 2
    assert left.groups(0, 3) == (4, 7)
    assert left.groups(3, 5) == (10, 14)


PLATES = [f"out/P{plate}/{well}" for plate in range(15) for well in range(100)]

ROOTS = [
    (["HelloWorld/a", "HelloWorld/b"], ["HelloWorld/a/", "HelloWorld/b/"]),
    ([f"out/{number}" for number in range(100)], ["out/"]),
    (PLATES, sorted(f"out/P{plate}/" for plate in range(15))),
    ([f"{number}" for number in range(100)], [""]),
    ([f"{number}/x" for number in range(100)], [""]),
    (["out", *(f"out2/{number}" for number in range(50))], ["out/", "out2/"]),
    (["a/b/c", "d"], ["a/b/c/", "d/"]),
    (["d", "a/b/c", "e"], ["a/b/c/", "d/", "e/"]),
]


@pytest.mark.parametrize(("prefixes", "expected"), ROOTS)
def test_few_requests_list_all_outputs(prefixes: list[str], expected: list[str]) -> None:
    found = prefixes_to_list(prefixes, len(prefixes))
    assert found == expected
    for prefix in prefixes:
        assert any(f"{prefix}/".startswith(root) for root in found), prefix


def test_finding_what_to_list_needs_little_memory() -> None:
    many = (f"{number % 3}/{number}/x" for number in range(50_000))
    tracemalloc.start()
    assert prefixes_to_list(many, 50_000) == ["0/", "1/", "2/"]
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


class Bucket:
    """A stand-in for botocore's paginator: lists keys as S3 does, and counts the requests."""

    def __init__(self, keys: dict[str, int]) -> None:
        self._keys = keys
        self.asked: list[str] = []

    def get_paginator(self, _: str) -> Bucket:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        assert Bucket == "b"
        self.asked.append(Prefix)
        yield {
            "Contents": [
                {"Key": key, "Size": size}
                for key, size in self._keys.items()
                if key.startswith(Prefix)
            ]
        }
        yield {}


KEYS = {
    "out/1/a.csv": 5,
    "out/1/deep/b.csv": 5,
    "out/2/a.csv": 5,
    "out/3/a.csv": 5,
    "out/3/b.csv": 0,
    "out/4/": 0,
    "out/4/folder/": 0,
    "out/5/a.txt": 9,
    "out/5/b.txt": 9,
    "out/6.csv": 9,
    "out/60/a.csv": 9,
    "out/60/b.csv": 9,
}


def test_outputs_are_complete_by_the_same_rule_as_in_the_worker() -> None:
    done = DoneGroups(OutputRule(2, 1, ".csv"))
    bucket = Bucket(KEYS)
    done.read([f"out/{number}" for number in range(1, 51)], 50, bucket, "b")
    assert bucket.asked == ["out/"]
    assert [number for number in range(1, 51) if number in done] == [1]
    done.close()


def test_a_job_without_expected_files_is_never_known_to_be_done() -> None:
    done = DoneGroups(OutputRule(0))
    done.read(["out/1"], 1, Bucket(KEYS), "b")
    assert 1 not in done


def test_a_journal_holds_numbers_only(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add(1, 10)
    journal.finish("2026-01-01T00:00:00Z")
    head, *lines = map(json.loads, (tmp_path / "j.jsonl").read_text().splitlines())
    assert head == {"jobs": "d", "count": 100, "queue": QUEUE, "created": "100"}
    assert lines == [[1, 10], {"finished": "2026-01-01T00:00:00Z"}]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100)
    with Progress(console, 2_000, completed=500) as progress:
        progress.show(1_500, "7 per second")
    assert ("1,500 of 2,000 jobs, 7 per second, " in output.getvalue()) is terminal
    assert terminal or not output.getvalue()
