"""The folders and the environment of one job's program, and the reason why it failed."""

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from ds.jobs.resolve import Folders


def create_folders(folder: Path, shared: Path) -> Folders:
    """Create the empty folders of an attempt in `folder`; first remove its contents."""
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
    """Remove a folder if it exists, even if its permissions do not allow it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for parent, names, _ in os.walk(folder):
            for path in [Path(parent), *(Path(parent, name) for name in names)]:
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)  # before os.walk enters it
        shutil.rmtree(folder, ignore_errors=True)


def working_folder(setting: str, fresh: str) -> str:
    """Return the folder that WORKING_FOLDER selects: `fresh`, the image's folder, or a path."""
    return str(Path.cwd()) if setting == "image" else setting or fresh


def environment(image: Mapping[str, str], job: Mapping[str, str], temporary: str) -> dict[str, str]:
    """Return the image's environment without the worker's variables, plus those of the job."""
    inherited = {name: text for name, text in image.items() if not name.startswith(("DS_", "SQS_"))}
    return {**inherited, **job, "TMPDIR": temporary}


def exit_reason(exit_code: int | None, last_line: str) -> str:
    """Return why a command failed: its signal, or its exit code and the last line it printed."""
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    printed = f": {last_line[:200]}" if last_line else ""
    return f"exit code {exit_code}{printed}"
