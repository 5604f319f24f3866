"""A live progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    import rich.progress


class Progress:
    """A progress bar on a terminal; nothing on other outputs.

    Args:
        console: where to show it.
        jobs: the number of jobs.
        completed: jobs that were completed before.
    """

    def __init__(self, console: Console, jobs: int, completed: int = 0) -> None:
        self._bar: rich.progress.Progress | None = None
        if console.is_terminal:
            # Here, because it takes long to load and other outputs do not need it.
            from rich.progress import (
                BarColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                BarColumn(20),
                TextColumn("{task.completed:,} of {task.total:,} jobs{task.fields[note]},"),
                TimeElapsedColumn(),
                TextColumn("elapsed,"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("jobs", total=jobs, completed=completed, note="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, completed: int, note: str) -> None:
        """Show how many jobs are completed, followed by a note."""
        if self._bar:
            self._bar.update(self._task, completed=completed, note=f", {note}" if note else "")
