"""Download of a job's inputs: shared inputs once per container, other inputs for each job."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from ds.jobs.resolve import Input
from ds.worker.s3 import CheckStop, S3Object, Storage, acquire
from ds.worker.stop import Failed


class SharedInputs:
    """Inputs that all jobs of a container share: fetched once, read-only, checked by ETag.

    A file that a job changed is fetched again: a program run by root can change read-only files.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._fetched: dict[Path, tuple[str, object]] = {}
        self._lock = threading.Lock()

    def fetch(self, objects: Sequence[tuple[S3Object, Path]], check_stop: CheckStop) -> int:
        """Fetch the files that are missing or out of date; return the number of bytes fetched.

        Only one slot fetches at a time, because the other slots need the same files.
        """
        acquire(self._lock, check_stop)
        try:
            new = [
                (item, path)
                for item, path in objects
                if self._fetched.get(path) != (item.etag, _stamp(path))
            ]
            self._storage.fetch(new, check_stop)
            for item, path in new:
                path.chmod(0o444)
                self._fetched[path] = (item.etag, _stamp(path))
        finally:
            self._lock.release()
        return sum(item.size for item, _ in new)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return values that change when a file changes; None if the file does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def fetch_inputs(
    inputs: Iterable[Input],
    storage: Storage,
    shared_inputs: SharedInputs,
    check_stop: CheckStop,
    report: Callable[[str], None],
) -> int:
    """Fetch a job's inputs; return the number of bytes fetched."""
    shared: list[tuple[S3Object, Path]] = []
    own: list[tuple[S3Object, Path]] = []
    for item in inputs:
        check_stop()
        (shared if item.shared else own).extend(_downloads(item, storage))
    fetched = shared_inputs.fetch(shared, check_stop)
    storage.fetch(own, check_stop)
    fetched += sum(item.size for item, _ in own)
    report(f"fetched {len(shared) + len(own)} input files, {fetched} bytes")
    return fetched


def _downloads(item: Input, storage: Storage) -> list[tuple[S3Object, Path]]:
    """Return the objects of one input, each with its local file."""
    if not item.folder:
        return [(storage.head(item.bucket, item.key), Path(item.path))]
    Path(item.path).mkdir(parents=True, exist_ok=True)
    found = [
        # Not Path(folder, name): for key "a//b" in folder "a/", name is "/b", an absolute path.
        (entry, Path(f"{item.path}/{entry.key[len(item.key) :]}"))
        for entry in storage.listing(item.bucket, item.key)
        if item.takes(entry.key)
    ]
    if not found:
        raise Failed(f"s3://{item.bucket}/{item.key}{item.pattern}: does not exist")
    for entry, _ in found:
        if ".." in PurePosixPath(entry.key).parts:
            raise Failed(f"{entry.url}: a key with '..' cannot be a local file")
    return found
