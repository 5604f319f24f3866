"""The program of one job: where it runs, its environment, and what its exit code means."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path


def working_folder(setting: str, fresh: str) -> str:
    """Return the folder that WORKING_FOLDER means: a new one, the image's, or the one it names."""
    return str(Path.cwd()) if setting == "image" else setting or fresh


def program_environment(
    image: Mapping[str, str], job: Mapping[str, str], temporary: str
) -> dict[str, str]:
    """Return a command's environment: the image's without the worker's own, and the job's."""
    inherited = {name: text for name, text in image.items() if not name.startswith(("DS_", "SQS_"))}
    return {**inherited, **job, "TMPDIR": temporary}


def exit_reason(exit_code: int | None, last_line: str) -> str:
    """Return why a command failed: its signal, or its exit code and the last line it printed."""
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    printed = f": {last_line[:200]}" if last_line else ""
    return f"exit code {exit_code}{printed}"
