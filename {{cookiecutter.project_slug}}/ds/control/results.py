"""What a run came to: a result for each job, a table, and what the figures suggest."""

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
"""Of more jobs than these, the table has only those that are not done."""

MEMORY_HEADROOM = 1.3
TIME_HEADROOM = 3
WORKER_MB = 150
"""The worker's own memory."""


@dataclass(frozen=True)
class Result:
    """What one job came to.

    Attributes:
        group: its number in the job file; 1 is the first.
        job_id: 16 hex digits.
        state: how it ended.
        attempts: how often work on it started.
        seconds: of the last attempt; None where no record is left of it.
        exit_code: of the last attempt's command; None if it did not end by itself.
        peak_memory_mb: the largest of all attempts; None where it was too short to be seen.
        reason: why it is not done.
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
    """What a run came to.

    Attributes:
        results: one for each job.
        seconds: the run's duration.
        finished: whether it came to its end; else a person interrupted it.
    """

    results: Sequence[Result]
    seconds: float
    finished: bool = True

    def count(self, state: State) -> int:
        """How many jobs ended so."""
        return sum(result.state == state for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 all jobs are done, 1 some are dead, 130 interrupted."""
        if not self.finished:
            return 130
        return 1 if self.count("dead") else 0

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
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
        """The document as one JSON object."""
        return json.dumps(self.document(), indent=2)


def results(
    jobs: Iterable[tuple[int, str]],
    records: Iterable[Mapping[str, Any]],
    dead: Mapping[str, Mapping[str, str]],
    finished: bool,
) -> list[Result]:
    """A result for each job, its outputs left empty.

    Args:
        jobs: each job's group number and job_id.
        records: one for each attempt that its worker lived to record.
        dead: the dead-letter messages' attributes by job_id.
        finished: the queue was seen empty: a job that left neither record nor dead letter is
            done, and its worker was killed before it could say so.
    """
    by_job: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_job.setdefault(record["job_id"], []).append(record)
    return [
        _result(
            number,
            job_id,
            sorted(by_job.get(job_id, []), key=lambda record: str(record["start"])),
            dead.get(job_id),
            finished,
        )
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
    told = [int(record["attempt"]) for record in records]
    told.append(int((dead or {}).get("attempts") or 0))
    known = last is not None and last["outcome"] == state
    return Result(
        group=number,
        job_id=job_id,
        state=state,
        attempts=max(*told, len(records), 1 if state in ("done", "dead") else 0),
        seconds=last["seconds"] if last and (known or state == "unfinished") else None,
        exit_code=last["exit_code"] if last and (known or state == "unfinished") else None,
        peak_memory_mb=max((record["peak_memory_mb"] for record in records), default=0) or None,
        reason=reason,
        outputs=[],
    )


def suggestion(results: Iterable[Result], slots: int) -> str | None:
    """A line that suggests MEMORY and JOB_TIMEOUT_MINUTES, from the jobs that are done.

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
    memory_seen = f"{peak} MB" if peak else "too little memory to be seen"
    seen = f"jobs took at most {_figure(longest)} s and {memory_seen}"
    times = f" ({slots} at a time)" if slots > 1 else ""
    return (
        f"{seen}{times}: MEMORY = {memory} and JOB_TIMEOUT_MINUTES = {minutes} in config.py "
        "would do for jobs like these"
    )


def print_table(console: Console, summary: Summary, jobs: Mapping[int, Job]) -> None:
    """A row for each job.

    Args:
        console: where to.
        summary: what to show.
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
        told = f"and {hidden} more jobs" if table.row_count else f"{hidden} jobs, none of them dead"
        console.print(f"{told}; --json has each", markup=False)


_STYLES = {"done": "green", "skipped": "cyan", "dead": "bold red", "unfinished": "yellow"}


def _variables(group: Mapping[str, object]) -> str:
    # As the job file has them.
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
    """The next multiple of `step`."""
    return math.ceil(number / step) * step
