"""The result of a run: one for each job, a table of them, and suggested settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
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
WORKER_MB = 150
"""The worker's own memory."""


@dataclass(frozen=True)
class Result:
    """The result of one job.

    Attributes:
        group: its number in the job file; 1 is the first.
        attempts: how often work on it started.
        seconds: of the last attempt; None if it left no record.
        exit_code: of the last attempt's command; None if the command did not end by itself.
        peak_memory_mb: the largest of all attempts; None if they were too short to measure.
        reason: why the job is not done.
        outputs: its files, as paths below the output folder.
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
    """The result of a run.

    Attributes:
        results: one for each job.
        seconds: the run's duration.
        finished: whether the run ended by itself; otherwise a person interrupted it.
    """

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

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "jobs": len(self.results),
            "done": self.count("done"),
            "skipped": self.count("skipped"),
            "dead": self.count("dead"),
            "attempts": sum(result.attempts for result in self.results),
            "seconds": round(self.seconds, 3),
            "results": [dict(vars(result)) for result in self.results],
        }

    def json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.document(), indent=2)


def results(
    jobs: Iterable[tuple[int, str]],
    records: Iterable[Mapping[str, Any]],
    dead: Mapping[str, Mapping[str, str]],
    finished: bool,
) -> list[Result]:
    """Return a result for each job, without its outputs.

    Args:
        jobs: each job's group number and job_id.
        records: of attempts, in order of their start; a worker that was killed has left none.
        dead: the attributes of the dead-letter messages, by job_id.
        finished: whether the queue is empty. A job without record and dead letter is then done:
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
    outcomes = [record["outcome"] for record in records]
    state: State
    if "done" in outcomes:
        state = "done"
    elif dead is not None:
        state = "dead"
    elif "skipped" in outcomes:
        state = "skipped"
    else:
        state = "done" if finished else "unfinished"
    ends = [record for record in records if record["outcome"] == state]
    last = next(reversed(ends or records), None)
    reason = ""
    if state in ("dead", "unfinished"):
        reason = (dead or {}).get("reason", "") or (last["reason"] if last else "")
        if dead is not None and not reason:
            reason = "its worker died in every attempt"
    attempts = [int(record["attempt"]) for record in records]
    attempts.append(int((dead or {}).get("attempts") or 0))
    known = last is not None and last["outcome"] == state
    return Result(
        group=number,
        job_id=job_id,
        state=state,
        attempts=max(*attempts, len(records), 1 if state in ("done", "dead") else 0),
        seconds=last["seconds"] if last and (known or state == "unfinished") else None,
        exit_code=last["exit_code"] if last and (known or state == "unfinished") else None,
        peak_memory_mb=max((record["peak_memory_mb"] for record in records), default=0) or None,
        reason=reason,
        outputs=[],
    )


def suggestion(results: Iterable[Result], slots: int) -> str | None:
    """Suggest MEMORY and JOB_TIMEOUT_MINUTES in a line, from the jobs that are done.

    Args:
        results: of a run.
        slots: DOCKER_CORES, the jobs that share a container's memory.
    """
    done = [result for result in results if result.state == "done" and result.seconds is not None]
    if not done:
        return None
    peak = max(result.peak_memory_mb or 0 for result in done)
    longest = max(result.seconds or 0 for result in done)
    memory = _up(peak * slots * MEMORY_HEADROOM + WORKER_MB, 100)
    minutes = min(
        max(_up(longest / 60 * TIME_HEADROOM, 5 if longest > 300 else 1), 1), LONGEST_JOB_MINUTES
    )
    measured = f"{peak} MB" if peak else "too low to measure"
    times = f" ({slots} jobs at a time)" if slots > 1 else ""
    return (
        f"Longest job {_figure(longest)} s, peak memory {measured}{times}. Suggested: "
        f"MEMORY = {memory}, JOB_TIMEOUT_MINUTES = {minutes}"
    )


def print_table(console: Console, summary: Summary, jobs: Mapping[int, Job]) -> None:
    """Print a row for each job.

    Args:
        console: where to print.
        summary: the results.
        jobs: the jobs by their group number.
    """
    rows = [result for result in summary.results if result.state not in ("done", "skipped")]
    if len(summary.results) <= MOST_ROWS:
        rows = list(summary.results)
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("group", justify="right", no_wrap=True)
    table.add_column("variables", overflow="fold", max_width=48)
    table.add_column("state", no_wrap=True)
    for title in ("attempts", "seconds", "peak MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for result in rows[:MOST_ROWS]:
        # Text and not markup: a value may hold brackets.
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
    # As they are written in the job file.
    texts = {
        k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in group.items()
    }
    text = ", ".join(f"{name}={value}" for name, value in texts.items())
    return text if len(text) <= 96 else f"{text[:93]}..."


def _figure(number: float | None) -> str:
    if number is None:
        return "?"
    return f"{number:.0f}" if number >= 100 or isinstance(number, int) else f"{number:.1f}"


def _up(number: float, step: int) -> int:
    """Round up to a multiple of `step`."""
    return math.ceil(number / step) * step
