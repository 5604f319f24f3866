"""What the program of one job gets: fresh folders and an environment; and why it failed."""

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from ds.jobs.resolve import Folders


def create_folders(folder: Path, shared: Path) -> Folders:
    """Create the empty folders of an attempt in `folder`; remove what is in it."""
    remove_folder(folder)
    for name in ("inputs", "work", "output", "tmp"):
        (folder / name).mkdir(parents=True)
    return Folders(
        inputs=str(folder / "inputs"),
        shared=str(shared),
        work=str(folder / "work"),
        output=str(folder / "output"),
        job_json=str(folder / "job.json"),
    )


def remove_folder(folder: Path) -> None:
    """Remove a folder if it exists, even if its permissions do not allow that."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for parent, names, _ in os.walk(folder):
            for path in [Path(parent), *(Path(parent, name) for name in names)]:
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)  # before os.walk enters it
        shutil.rmtree(folder, ignore_errors=True)


def working_folder(setting: str, fresh: str) -> str:
    """Return the folder that WORKING_FOLDER selects: fresh, the image's, or a path."""
    return str(Path.cwd()) if setting == "image" else setting or fresh


def environment(image: Mapping[str, str], job: Mapping[str, str], temporary: str) -> dict[str, str]:
    """Return the image's environment without the worker's variables, with those of the job."""
    inherited = {name: text for name, text in image.items() if not name.startswith(("DS_", "SQS_"))}
    return {**inherited, **job, "TMPDIR": temporary}


def exit_reason(exit_code: int | None, last_lines: Sequence[str]) -> str:
    """Return why a command failed: its signal or exit code, and the line that shows the cause."""
    error = error_line(last_lines) or ""
    ended, shown = f"exit code {exit_code}", error or "".join(last_lines[-1:]).strip()
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            ended, shown = f"killed by {signal.Signals(-exit_code).name}", error
    return f"{ended}: {shown}" if shown else ended


def with_last_lines(reason: str, last_lines: Sequence[str]) -> str:
    """Return why a command that exited with 0 failed, and what it printed at its end."""
    lines = [error_line(last_lines), *last_lines[-3:]]
    printed = " | ".join(dict.fromkeys(line.strip() for line in lines if line))
    return f"{reason}; the program printed: {printed}" if printed else reason


def error_line(lines: Sequence[str]) -> str | None:
    """Return the last line that reports an error, with the next one if it ends with a colon.

    What follows an error may be a usage line, a warning, a stack trace or a progress bar.
    """
    for pattern in _ERRORS:
        for number, line in reversed([*enumerate(lines)]):
            if pattern.search(line) and not _NO_ERROR.search(line):
                more = lines[number + 1 : number + 2] if line.rstrip().endswith(":") else []
                return " ".join(text.strip() for text in (line, *more))
    return None


_ERRORS = (
    re.compile(
        # ValueError: x, java.io.IOException: x, Exception in thread "main" x, Caused by: x
        r"\w(Error|Exception|Interrupt)(:|$)|\bException\b|^\s*Caused by:"
        # ERROR x, [fatal] x, prog: error: x, Error in f(x) : y, thread 'main' panicked at x
        r"|\b(ERROR|FATAL|CRITICAL|SEVERE)\b|(?i:\b(error|fatal|critical)\b\s?[]:>)])"
        r"|^\s*(Error|error|panic|Fatal)\b|\bpanicked at\b|^\s*what\(\):"
    ),
    re.compile(
        r"(?i:command not found|no such file|not found|permission denied|no space left|killed"
        r"|out of memory|segmentation fault|core dumped|assert|abort|cannot|can't|could not"
        r"|unable to|failed|failure|invalid|unknown|unrecognized|missing|not recognized)"
    ),
)
"""What reports an error certainly, and what does so probably."""

_NO_ERROR = re.compile(r"^\s*at |(?i:\bwarn(ing)?\b|Warning:|^\s*usage\b|\b(0|no) errors?\b)")
