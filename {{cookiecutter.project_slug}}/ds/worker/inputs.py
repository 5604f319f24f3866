"""Fetch a job's inputs: those that all jobs share once per container, its own ones each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ds.jobs.resolve import Input
from ds.worker.s3 import CheckStop, S3Object, SharedInputs, Storage
from ds.worker.stop import Failed


def fetch_inputs(
    inputs: Iterable[Input],
    storage: Storage,
    shared_inputs: SharedInputs,
    check_stop: CheckStop,
    report: Callable[[str], None],
) -> int:
    """Fetch a job's inputs and return the bytes that were fetched."""
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
        # Not Path(folder, name): the rest of "a//b" below "a/" is "/b", another root.
        (entry, Path(f"{item.path}/{entry.key[len(item.key) :]}"))
        for entry in storage.listing(item.bucket, item.key)
        if item.takes(entry.key)
    ]
    if not found:
        raise Failed(f"s3://{item.bucket}/{item.key}{item.pattern}: no such objects")
    for entry, _ in found:
        if ".." in PurePosixPath(entry.key).parts:
            raise Failed(f"{entry.url}: a key with '..' cannot be a local file")
    return found
