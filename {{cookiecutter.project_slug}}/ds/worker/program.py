"""The program of one job: its working folder, its environment, and what its exit code means."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path


def working_folder(setting: str, fresh: str) -> str:
    """Return the folder that WORKING_FOLDER selects: fresh, the image's, or a path."""
    return str(Path.cwd()) if setting == "image" else setting or fresh


def program_environment(
    image: Mapping[str, str], job: Mapping[str, str], temporary: str
) -> dict[str, str]:
    """Return the image's environment without the worker's variables, with those of the job."""
    inherited = {name: text for name, text in image.items() if not name.startswith(("DS_", "SQS_"))}
    return {**inherited, **job, "TMPDIR": temporary}


def exit_reason(exit_code: int | None, last_line: str) -> str:
    """Return why a command failed: its signal, or its exit code and the last line it printed."""
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    printed = f": {last_line[:200]}" if last_line else ""
    return f"exit code {exit_code}{printed}"
