"""The results of a run: one result for each job, a table, and suggested settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ds.jobs.message import Job
from ds.jobs.settings import LONGEST_JOB_MINUTES

State = Literal["done", "skipped", "dead", "unfinished"]

MOST_ROWS = 50
"""With more jobs than this, the table lists only those that are not done."""

MEMORY_HEADROOM = 1.3
TIME_HEADROOM = 3
"""Factors between the largest measured value and the suggested setting."""

WORKER_MB = 150
"""The worker's own memory."""


@dataclass(frozen=True)
class Result:
    """The result of one job.

    Attributes:
        group: the group's number in the job file, counted from 1.
        attempts: the number of attempts that were started.
        seconds: the duration of the last attempt; None if it left no record.
        exit_code: the exit code in the last attempt; None if the command did not exit by itself.
        peak_memory_mb: the maximum of all attempts; None if they were too short to measure.
        reason: why the job is not done.
        outputs: the job's files, as paths in the output folder.
    """

    group: int
    job_id: str
    state: State
    attempts: int
    seconds: float | None
    exit_code: int | None
    peak_memory_mb: int | None
    reason: str
    outputs: list[str]


@dataclass(frozen=True)
class Summary:
    """The result of a run; `finished` is false if the user interrupted it."""

    results: Sequence[Result]
    seconds: float
    finished: bool = True

    def count(self, state: State) -> int:
        """Return how many jobs have this state."""
        return sum(result.state == state for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 all jobs are done, 1 some are dead, 130 interrupted."""
        if not self.finished:
            return 130
        return 1 if self.count("dead") else 0

    def json(self) -> str:
        """Return what `--json` prints."""
        document = {
            "jobs": len(self.results),
            "done": self.count("done"),
            "skipped": self.count("skipped"),
            "dead": self.count("dead"),
            "attempts": sum(result.attempts for result in self.results),
            "seconds": round(self.seconds, 3),
            "results": [vars(result) for result in self.results],
        }
        return json.dumps(document, indent=2)


def results(
    jobs: Iterable[tuple[int, str]],
    records: Iterable[Mapping[str, Any]],
    dead: Mapping[str, Mapping[str, str]],
    finished: bool,
) -> list[Result]:
    """Return a result for each job, without its outputs.

    Args:
        jobs: each job's group number and job_id.
        records: the records of attempts, by start time; a killed worker leaves no record.
        dead: the attributes of the dead-letter messages, by job_id.
        finished: whether the queue is empty. If so, a job without record and dead letter is done:
            its worker was killed after it deleted the message.
    """
    by_job: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_job.setdefault(record["job_id"], []).append(record)
    return [
        _result(number, job_id, by_job.get(job_id, []), dead.get(job_id), finished)
        for number, job_id in jobs
    ]


def _result(
    number: int,
    job_id: str,
    records: Sequence[Mapping[str, Any]],
    dead: Mapping[str, str] | None,
    finished: bool,
) -> Result:
    state = _state({record["outcome"] for record in records}, dead is not None, finished)
    ends = [record for record in records if record["outcome"] == state]
    last = (ends or records or [{}])[-1]
    measured = last if ends or state == "unfinished" else {}
    letter = dead or {}
    reason = ""
    if state in ("dead", "unfinished"):
        reason = letter.get("reason") or last.get("reason", "")
    if state == "dead" and not reason:
        reason = "its worker died in every attempt"
    attempts = [int(record["attempt"]) for record in records]
    attempts += [len(records), int(letter.get("attempts") or 0), state in ("done", "dead")]
    return Result(
        group=number,
        job_id=job_id,
        state=state,
        attempts=max(attempts),
        seconds=measured.get("seconds"),
        exit_code=measured.get("exit_code"),
        peak_memory_mb=max((record["peak_memory_mb"] for record in records), default=0) or None,
        reason=reason,
        outputs=[],
    )


def _state(outcomes: Set[str], dead: bool, finished: bool) -> State:
    if "done" in outcomes:
        return "done"
    if dead:
        return "dead"
    if "skipped" in outcomes:
        return "skipped"
    return "done" if finished else "unfinished"


def suggestion(results: Iterable[Result], slots: int) -> str | None:
    """Suggest MEMORY and JOB_TIMEOUT_MINUTES in one line, based on the jobs that are done.

    `slots` is DOCKER_CORES, the number of jobs that share a container's memory.
    """
    done = [result for result in results if result.state == "done" and result.seconds is not None]
    if not done:
        return None
    peak = max(result.peak_memory_mb or 0 for result in done)
    longest = max(result.seconds or 0 for result in done)
    memory = _round_up(peak * slots * MEMORY_HEADROOM + WORKER_MB, 100)
    minutes = _round_up(longest / 60 * TIME_HEADROOM, 5 if longest > 300 else 1)
    minutes = min(max(minutes, 1), LONGEST_JOB_MINUTES)
    measured = f"{peak} MB" if peak else "too low to measure"
    times = f" ({slots} jobs at a time)" if slots > 1 else ""
    return (
        f"Longest job {_figure(longest)} s, peak memory {measured}{times}. Suggested: "
        f"MEMORY = {memory}, JOB_TIMEOUT_MINUTES = {minutes}"
    )


def print_table(console: Console, summary: Summary, jobs: Mapping[int, Job]) -> None:
    """Print a row for each job; `jobs` are by group number."""
    rows = list(summary.results)
    if len(rows) > MOST_ROWS:
        rows = [result for result in rows if result.state not in ("done", "skipped")]
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("group", justify="right", no_wrap=True)
    table.add_column("variables", overflow="fold", max_width=48)
    table.add_column("state", no_wrap=True)
    for title in ("attempts", "seconds", "peak MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for result in rows[:MOST_ROWS]:
        # Text, because a value may contain brackets, which are markup in a string.
        table.add_row(
            str(result.group),
            Text(_variables(jobs[result.group].group)),
            Text(result.state, style=_STYLES[result.state]),
            str(result.attempts),
            _figure(result.seconds),
            _figure(result.peak_memory_mb),
            Text(result.reason),
        )
    if table.row_count:
        console.print(table)
    hidden = len(summary.results) - min(len(rows), MOST_ROWS)
    if hidden:
        text = f"and {hidden} more jobs" if table.row_count else f"{hidden} jobs, none of them dead"
        console.print(f"{text}; --json lists all", markup=False)


_STYLES = {"done": "green", "skipped": "cyan", "dead": "bold red", "unfinished": "yellow"}


def _variables(group: Mapping[str, object]) -> str:
    text = ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in group.items()
    )
    return text if len(text) <= 96 else f"{text[:93]}..."


def _figure(number: float | None) -> str:
    if number is None:
        return "?"
    return f"{number:.0f}" if number >= 100 or isinstance(number, int) else f"{number:.1f}"


def _round_up(number: float, step: int) -> int:
    return math.ceil(number / step) * step
