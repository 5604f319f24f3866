"""The files in --data and --output that jobs refer to: these folders stand in for buckets."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ds.jobs.resolve import Input, ResolvedJob


def inputs(
    resolved_jobs: Mapping[int, ResolvedJob], data: Path, bucket: str
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Return the files in --data by bucket and key, and a line for each input that is missing and
    for each file or folder that is left out.

    An input is reported once, however many jobs refer to it.
    """
    wanted: dict[str, dict[str, Path]] = {}
    missing: dict[str, None] = {}
    seen: set[Input] = set()
    for number, resolved in resolved_jobs.items():
        for item in resolved.inputs:
            content = replace(item, path="", shared=False)
            if content in seen:
                continue
            seen.add(content)
            top = data if item.bucket == bucket else data / item.bucket
            files = dict(found(item, top, lambda text: missing.setdefault(text)))
            wanted.setdefault(item.bucket, {}).update(files)
            if not files:
                place = str(top / f"{item.key}{item.pattern}")
                missing[f"{place!r}: does not exist; group {number} needs it"] = None
    return wanted, list(missing)


def found(
    item: Input, top: Path, left_out: Callable[[str], object] = lambda _: None
) -> Iterator[tuple[str, Path]]:
    """Yield the keys and files of one input; `top` stands in for its bucket.

    Only regular files can be inputs: to open a FIFO would never end. A folder that is reached
    again by a link is walked once.
    """
    if not item.folder:
        if (top / item.key).is_file():
            yield item.key, top / item.key
        return
    folders = _folders(top / item.key, left_out)
    for folder, names in islice(folders, 1) if item.pattern else folders:
        for name in names:
            path = Path(folder, name)
            key = path.relative_to(top).as_posix()
            if not item.takes(key):
                continue
            if path.is_file():
                yield key, path
            else:
                left_out(f"{str(path)!r}: is left out; it is not a regular file")


def _folders(top: Path, left_out: Callable[[str], object]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder once with its names; those that only a link leads to come last."""
    real: dict[str, str] = {}
    links = [top]
    while links:
        for folder, folders, names in os.walk(links.pop(0)):
            first = real.setdefault(os.path.realpath(folder), folder)
            if first != folder:
                left_out(f"{folder!r}: is left out; it is the same folder as {first!r}")
                folders.clear()
                continue
            links += [path for name in folders if (path := Path(folder, name)).is_symlink()]
            yield folder, sorted(names)


def files_below(output: Path, prefixes: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield the keys and files of an earlier run with these prefixes."""
    for prefix in prefixes:
        for folder, _, names in os.walk(output / prefix):
            for name in names:
                path = Path(folder, name)
                yield path.relative_to(output).as_posix(), path


def owner(key: str, prefixes: Container[str]) -> str:
    """Return the output prefix of a key; "" if it has none of them."""
    folder = key.rpartition("/")[0]
    while folder and folder not in prefixes:
        folder = folder.rpartition("/")[0]
    return folder
