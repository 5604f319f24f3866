"""The folders of one attempt: nothing in them before it, nothing of them after it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ds.jobs.resolve import Folders


def create_folders(folder: Path, shared: Path) -> Folders:
    """Create an attempt's folders anew."""
    remove(folder)
    for name in ("inputs", "work", "output", "tmp"):
        (folder / name).mkdir(parents=True)
    return Folders(
        inputs=str(folder / "inputs"),
        shared=str(shared),
        work=str(folder / "work"),
        output=str(folder / "output"),
        job_json=str(folder / "job.json"),
    )


def remove(folder: Path) -> None:
    """Remove a folder if it exists, even where a program took away the right to."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for parent, names, _ in os.walk(folder):
            for path in [Path(parent), *(Path(parent, name) for name in names)]:
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)  # before os.walk enters it
        shutil.rmtree(folder, ignore_errors=True)
