"""A live progress bar."""

from __future__ import annotations

from rich import progress
from rich.console import Console


class Progress:
    """A progress bar that appears only on a terminal."""

    def __init__(self, console: Console, jobs: int, completed: int = 0) -> None:
        self._bar = progress.Progress(
            progress.BarColumn(20),
            "{task.completed:,} of {task.total:,} jobs{task.fields[note]},",
            progress.TimeElapsedColumn(),
            "elapsed,",
            progress.TimeRemainingColumn(compact=True),
            "left",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("jobs", total=jobs, completed=completed, note="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, completed: int, note: str) -> None:
        """Show how many jobs are completed, followed by a note."""
        self._bar.update(self._task, completed=completed, note=f", {note}" if note else "")
