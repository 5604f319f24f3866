"""The outputs of a job: find them on disk, upload them, or keep those of a failed attempt."""

import os
from collections.abc import Sequence
from pathlib import Path

from ds.jobs.environment import WorkerSettings
from ds.jobs.outputs import OutputFile
from ds.jobs.resolve import ResolvedJob
from ds.jobs.variables import control_character
from ds.worker.s3 import CheckStop, Storage
from ds.worker.stop import Failed

SMALL_BYTES = 10_000_000
SMALL_FILES = 100
"""The files of a failed attempt are kept only within these limits."""


def find_outputs(folder: Path) -> list[OutputFile]:
    """Return every file that a program wrote; raise Failed if S3 does not accept one of them."""
    found = []
    for path, name in _written(folder):
        if not path.is_file():
            raise Failed(
                f"output {name!r} is not a regular file (a link to another folder, or a pipe)"
            )
        if control_character(name) is not None:
            raise Failed(f"output {name!r} has a name that S3 does not accept")
        found.append(OutputFile(name, path.stat().st_size))
    return found


class OutputStore:
    """The outputs and the log of one attempt in the bucket.

    S3 stores each object completely or not at all, but gives no such guarantee for several objects.
    A marker object exists until all outputs are uploaded, so that the outputs of a worker that died
    during the upload are never mistaken for complete outputs.
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
        files = [OutputFile(item.key.removeprefix(prefix), item.size) for item in found]
        return self._rule.already_done(files) and not self._storage.exists(
            self._bucket, self._marker
        )

    def upload(
        self, folder: Path, outputs: Sequence[OutputFile], log: Path, check_stop: CheckStop
    ) -> None:
        """Upload the outputs, then the log."""
        check_stop()
        if len(outputs) > 1:
            self._storage.put(self._bucket, self._marker, b"")
        files = [(folder / file.path, f"{self._prefix}/{file.path}") for file in outputs]
        self._storage.upload(self._bucket, [*files, (log, self.log_key)], check_stop)
        if len(outputs) > 1 or self._marker_may_exist:
            self._storage.delete(self._bucket, self._marker)

    def keep(self, log: Path, folder: Path | None) -> None:
        """Upload the log of an attempt that did not succeed and, if they are small, the files that
        its program wrote; never under the output prefix."""
        files = [file for file in _written(folder) if file[0].is_file()] if folder else []
        if len(files) > SMALL_FILES or sum(path.stat().st_size for path, _ in files) > SMALL_BYTES:
            files = []
        kept = [
            (path, f"{self._failed_prefix}/{name}")
            for path, name in files
            if control_character(name) is None
        ]
        self._storage.upload(self._bucket, [(log, self.log_key), *kept], check_stop=lambda: None)


def _written(top: Path) -> list[tuple[Path, str]]:
    """Return the path and name of everything below a folder, except folders. Do not follow links to
    folders elsewhere."""
    found = []
    real = top.resolve()
    for folder, folders, names in os.walk(top, onerror=_raise):
        links = [name for name in folders if not Path(folder, name).resolve().is_relative_to(real)]
        found += [Path(folder, name) for name in sorted(names + links)]
    return [(path, path.relative_to(top).as_posix()) for path in found]


def _raise(error: OSError) -> None:
    raise error
