"""Fetch the inputs of a job: those that all jobs share once per container, its own each time."""

import contextlib
import fcntl
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ds.jobs.resolve import Input
from ds.jobs.variables import path_problem
from ds.worker.s3 import CheckStop, S3Object, Storage, TransferFailed, acquire
from ds.worker.stop import Failed, Interrupted, JobInputFailed, SharedInputFailed

RECHECK_SECONDS = 60
"""How long a worker relies on what S3 answered about a shared input."""

COPY_BYTES = 1_000_000_000
"""The largest total size of shared inputs that an attempt gets as copies, where the file system
cannot share blocks; at most a tenth of the free space."""

_FICLONE = 0x40049409
"""The request of ioctl_ficlone(2): both files have the same blocks until one of them changes."""

Files = dict[Path, S3Object]
"""Objects by their local files."""


_Stamp = tuple[int, int, int, int]


@dataclass(eq=False)
class _Stored:
    """A shared input in the worker's folder; `stamp` begins with its inode."""

    item: S3Object
    path: Path
    stamp: _Stamp
    changed: bool = False


@dataclass(frozen=True)
class Fetched:
    """What was fetched for an attempt, and the shared inputs that it has as hard links."""

    size: int
    links: Sequence[tuple[Path, _Stored]] = ()

    def check_links(self) -> None:
        """Raise an exception if a shared input changed while this attempt had a link to it.

        If several attempts had one, it is not known whose program it was: none of them counts.
        """
        for path, stored in self.links:
            # The program may have removed its link, and a newer object replaced the stored file.
            stats = [
                s for s in map(_stat, (path, stored.path)) if s and s.st_ino == stored.stamp[0]
            ]
            if stored.changed or (stats and _stamp(stats[0]) != stored.stamp):
                alone = not stored.changed and stats[0].st_nlink <= 2
                stored.changed = True
                message = f"{stored.item.url!r}: a program changed this shared input"
                raise Failed(message) if alone else Interrupted(f"{message}, which others used")


class SharedInputs:
    """Inputs that all jobs of a container share: fetched once, into a folder of the worker.

    Each attempt has a view of its own, so that no program sees what another one did to them. What
    a program changed through a hard link is fetched again and is a copy from then on.
    """

    def __init__(
        self, storage: Storage, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._clock = clock
        self._found: dict[Input, tuple[float, list[S3Object]]] = {}
        self._stored: dict[str, _Stored] = {}
        self._changed: set[str] = set()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def fetch(self, inputs: Iterable[Input], check_stop: CheckStop) -> tuple[int, Fetched]:
        """Create the view of an attempt; return its number of files, and what was fetched."""
        try:
            listed = self._storage.each(self._find, inputs, check_stop)
            files = local_files(pair for pairs in listed for pair in pairs)
            while True:
                size = self._update(files.values(), check_stop)
                with contextlib.suppress(FileNotFoundError):  # another attempt replaced a file
                    return len(files), Fetched(size, self._view(files))
                check_stop()
        except (TransferFailed, JobInputFailed) as error:
            self._found.clear()
            raise SharedInputFailed(str(error)) from error

    def _find(self, item: Input) -> list[tuple[Path, S3Object]]:
        """Return the files of an input; ask S3 at most every RECHECK_SECONDS."""
        content = replace(item, path="")
        asked, objects = self._found.get(content, (0.0, []))
        if not objects or self._clock() - asked > RECHECK_SECONDS:
            asked = self._clock()
            objects = _objects(item, self._storage)
            self._found[content] = asked, objects
        return [(_local_path(item, entry), entry) for entry in objects]

    def _update(self, objects: Iterable[S3Object], check_stop: CheckStop) -> int:
        """Fetch what is missing, out of date or changed; return its bytes.

        One slot at a time, since the others need the same files.
        """
        acquire(self._lock, check_stop)
        try:
            new = {}
            for item in objects:
                stored = self._stored.get(item.url)
                if stored and stored.item == item:
                    stat = _stat(stored.path)
                    if stat and _stamp(stat) == stored.stamp:
                        continue
                    stored.changed = True
                    self._changed.add(item.url)
                new[item.url] = (item, self._folder / str(next(self._numbers)))
            self._storage.fetch(new.values(), check_stop)
            for url, (item, path) in new.items():
                path.chmod(0o444)
                if url in self._stored:
                    self._stored[url].path.unlink(missing_ok=True)
                self._stored[url] = _Stored(item, path, _stamp(path.stat()))
        finally:
            self._lock.release()
        return sum(item.size for item, _ in new.values())

    def _view(self, files: Files) -> list[tuple[Path, _Stored]]:
        """Create an attempt's files; return those that are links."""
        links = []
        self._folder.mkdir(parents=True, exist_ok=True)
        room = min(COPY_BYTES, shutil.disk_usage(self._folder).free // 10)
        for path, item in sorted(files.items(), key=lambda pair: pair[1].size):
            stored = self._stored[item.url]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if not _clone(stored.path, path):
                if item.url not in self._changed and item.size > room:
                    path.hardlink_to(stored.path)
                    links.append((path, stored))
                    continue
                shutil.copyfile(stored.path, path)
                room -= item.size
            path.chmod(0o444)
        return links


def _clone(source: Path, target: Path) -> bool:
    """Let a new file share the blocks of another one, if the file system can."""
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _stamp(stat: os.stat_result) -> _Stamp:
    """Return what changes when a file does."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_mode


def local_files(found: Iterable[tuple[Path, S3Object]]) -> Files:
    """Return each file once, or raise JobInputFailed: S3 has names that a disk cannot."""
    files: Files = {}
    folders: Files = {}
    for path, item in found:
        if problem := path_problem(item.key):
            raise JobInputFailed(f"{item.url!r}: {problem}")
        other = files.setdefault(path, item)  # "a//b" and "a/b" are one path
        if other.url != item.url:
            raise JobInputFailed(f"{other.url!r} and {item.url!r} would be the same local file")
        for folder in path.parents:
            if folders.setdefault(folder, item) is not item:
                break
    for path, item in files.items():
        if path in folders:
            message = f"{item.url!r} would be a local file, and a folder for {folders[path].url!r}"
            raise JobInputFailed(message)
    return files


def fetch_inputs(
    inputs: Sequence[Input],
    storage: Storage,
    shared_inputs: SharedInputs,
    check_stop: CheckStop,
    report: Callable[[str], None],
) -> Fetched:
    """Fetch a job's inputs. All are found before those of more than SMALL_BYTES are downloaded."""
    own = [item for item in inputs if not item.shared]
    local_files((Path(i.path), S3Object(i.bucket, i.key, 0, "")) for i in own if not i.folder)
    found = storage.each(partial(_find_own, storage), own, check_stop)
    files = local_files((path, item) for one in found for path, item, _ in one)
    shared_count, shared = shared_inputs.fetch([i for i in inputs if i.shared], check_stop)
    here = {path for one in found for path, _, is_here in one if is_here}
    rest = [(item, path) for path, item in files.items() if path not in here]
    storage.fetch(rest, check_stop)
    size = shared.size + sum(item.size for item in files.values())
    report(f"fetched {shared_count + len(files)} input files, {size} bytes")
    return Fetched(size, shared.links)


def _find_own(storage: Storage, item: Input) -> list[tuple[Path, S3Object, bool]]:
    """Return the files of an input, and whether they are here already."""
    if not item.folder:
        path = Path(item.path)
        return [(path, *storage.fetch_if_small(item.bucket, item.key, path))]
    return [(_local_path(item, entry), entry, False) for entry in _objects(item, storage)]


def _objects(item: Input, storage: Storage) -> list[S3Object]:
    if not item.folder:
        return [storage.head(item.bucket, item.key)]
    listed = storage.listing(item.bucket, item.key)
    found = [entry for entry in listed if item.takes(entry.key)]
    if not found:
        url = f"s3://{item.bucket}/{item.key}{item.pattern}"
        raise JobInputFailed(f"{url!r}: no such objects")
    return found


def _local_path(item: Input, entry: S3Object) -> Path:
    # Not Path(folder, name): the rest of "a//b" below "a/" is "/b", another root.
    return Path(f"{item.path}/{entry.key[len(item.key) :]}" if item.folder else item.path)
