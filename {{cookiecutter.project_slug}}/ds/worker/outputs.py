"""The outputs of a job: find them on disk, upload them, or keep those of a failed attempt."""

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from ds.jobs.environment import WorkerSettings
from ds.jobs.outputs import OutputFile
from ds.jobs.resolve import ResolvedJob
from ds.jobs.variables import control_character
from ds.worker.s3 import CheckStop, Storage
from ds.worker.stop import Failed

SMALL_BYTES = 10_000_000
SMALL_FILES = 100
"""What a failed attempt wrote is kept up to these limits."""

MAX_KEY_BYTES = 1024
"""The longest key that S3 accepts ("Naming Amazon S3 objects")."""

MAX_LINKS = 8
"""Links to folders in one path: two links in each folder would double the files at each level."""


def _fail(reason: str) -> None:
    raise Failed(reason)


def _ignore(_: str) -> None:
    """Do nothing."""


def find_outputs(
    folder: Path,
    prefix: str,
    *,
    left_out: Callable[[str], None] = _ignore,
    refuse: Callable[[str], None] = _fail,
) -> Iterator[OutputFile]:
    """Find every file that a program wrote, in no particular order.

    A link counts as the file or the folder that it leads to if that is an output, too.

    Args:
        folder: the output folder.
        prefix: the output prefix.
        left_out: receives a line on what is neither file nor folder.
        refuse: receives the reason why an output cannot be uploaded.

    Raises:
        Failed: the folder cannot be listed.
    """
    if folder.is_symlink() or folder.parent.is_symlink():
        raise Failed("the output folder was replaced by a link")
    top = os.path.realpath(folder)
    # Folders to list; the real path of each folder whose link leads there.
    pending: list[tuple[str, tuple[str, ...]]] = [("", ())]
    try:
        while pending:
            parent, links = pending.pop()
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    name, through = f"{parent}{entry.name}", links
                    if entry.is_symlink():
                        through = (*links, os.path.realpath(folder / parent))
                        if problem := _link_problem(os.path.realpath(entry.path), top, through):
                            refuse(f"output {_shown(name)} is a link {problem}")
                            continue
                    if not entry.is_dir():
                        if not entry.is_file():
                            left_out(f"left out {_shown(name)}: it is neither a file nor a folder")
                        elif problem := _file_problem(entry.path, f"{prefix}/{name}"):
                            refuse(f"output {_shown(name)} {problem}")
                        else:
                            yield OutputFile(name, entry.stat().st_size)
                    elif entry.is_symlink() and _in_circle(entry.path, through):
                        left_out(f"left out {_shown(name)}: it links a folder that contains it")
                    else:
                        pending.append((f"{name}/", through))
    except OSError as error:
        message = f"the outputs cannot be listed: {error.strerror}: {error.filename}"
        raise Failed(message) from error


def _link_problem(target: str, top: str, through: tuple[str, ...]) -> str | None:
    if not _is_in(target, top):
        return f"that leads out of the output folder, to {target!r}; copy the file instead"
    if not Path(target).exists():
        return "to nothing"
    if len(through) > MAX_LINKS:
        return f"that is reached through more than {MAX_LINKS} links"
    return None


def _file_problem(path: str, key: str) -> str | None:
    if control_character(key) is not None:
        return "has a name that S3 does not accept"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"has a key that is longer than {MAX_KEY_BYTES:,} bytes, which S3 does not accept"
    return None if os.access(path, os.R_OK) else "cannot be read"


def _in_circle(link: str, through: tuple[str, ...]) -> bool:
    target = os.path.realpath(link)
    return any(_is_in(folder, target) for folder in through)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:48]}...{name[-48:]}")


def _is_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


class OutputStore:
    """The outputs and the log of one attempt in the bucket.

    S3 uploads each object completely or not at all, but not several together. A marker object
    exists until all of them do, so that the outputs of a worker that died while it uploaded are
    never mistaken for complete outputs.
    """

    def __init__(
        self, storage: Storage, settings: WorkerSettings, resolved: ResolvedJob, attempt: int
    ) -> None:
        self.log_key = f"{settings.log_prefix}/{resolved.job_id}/{attempt}.log"
        self._storage = storage
        self._bucket = settings.AWS_BUCKET
        self._rule = settings.output_rule
        self._prefix = resolved.output_prefix
        self._failed_prefix = f"{settings.log_prefix}/failed/{resolved.job_id}"
        self._marker = f"logs/{settings.APP_NAME}/uploading/{resolved.job_id}"
        self._marker_may_exist = attempt > 1 or settings.CHECK_IF_DONE_BOOL

    def already_done(self) -> bool:
        """Return whether the bucket has all outputs, so that the job can be skipped."""
        prefix = f"{self._prefix}/"
        found = self._storage.listing(self._bucket, prefix)
        files = (OutputFile(item.key.removeprefix(prefix), item.size) for item in found)
        return self._rule.already_done(files) and not self._storage.exists(
            self._bucket, self._marker
        )

    def upload(self, folder: Path, count: int, check_stop: CheckStop) -> None:
        """Upload the outputs, which are `count` files."""
        check_stop()
        if count > 1:
            self._storage.put(self._bucket, self._marker, b"")
        outputs = find_outputs(folder, self._prefix)
        files = ((folder / file.path, f"{self._prefix}/{file.path}") for file in outputs)
        self._storage.upload(self._bucket, files, check_stop)
        if count > 1 or self._marker_may_exist:
            self._storage.delete(self._bucket, self._marker)

    def upload_log(self, log: Path, check_stop: CheckStop) -> None:
        """Upload the log."""
        self._storage.upload(self._bucket, [(log, self.log_key)], check_stop)

    def keep(self, folder: Path) -> None:
        """Upload the files that the program of a failed attempt wrote if they are small; never
        under the output prefix."""
        found = find_outputs(folder, self._failed_prefix, refuse=_ignore)
        files = []
        with contextlib.suppress(Failed):  # the folder cannot be listed
            files = list(islice(found, SMALL_FILES + 1))
        if len(files) <= SMALL_FILES and sum(file.size for file in files) <= SMALL_BYTES:
            kept = [(folder / file.path, f"{self._failed_prefix}/{file.path}") for file in files]
            self._storage.upload(self._bucket, kept, check_stop=lambda: None)
