"""The files in --data and --output that jobs refer to: these folders stand in for buckets."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ds.jobs.resolve import Input, ResolvedJob


def inputs(
    resolved_jobs: Mapping[int, ResolvedJob], data: Path, bucket: str
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Return the files in --data by bucket and key, and a line for each missing input.

    A missing input is reported once, even if several jobs refer to it.
    """
    wanted: dict[str, dict[str, Path]] = {}
    missing = []
    seen: set[Input] = set()
    for number, resolved in resolved_jobs.items():
        for item in resolved.inputs:
            content = replace(item, path="", shared=False)
            if content in seen:
                continue
            seen.add(content)
            top = data if item.bucket == bucket else data / item.bucket
            files = dict(found(item, top))
            wanted.setdefault(item.bucket, {}).update(files)
            if not files:
                place = top / f"{item.key}{item.pattern}"
                missing.append(f"{place}: does not exist; group {number} needs it")
    return wanted, missing


def found(item: Input, top: Path) -> Iterator[tuple[str, Path]]:
    """Yield the keys and files of one input; `top` stands in for its bucket."""
    if not item.folder:
        if (top / item.key).is_file():
            yield item.key, top / item.key
        return
    for folder, _, names in os.walk(top / item.key, followlinks=True):
        for name in sorted(names):
            path = Path(folder, name)
            key = path.relative_to(top).as_posix()
            if item.takes(key):
                yield key, path


def files_below(output: Path, prefixes: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield an earlier run's keys with these prefixes, and their files."""
    for prefix in prefixes:
        for folder, _, names in os.walk(output / prefix):
            for name in names:
                path = Path(folder, name)
                yield path.relative_to(output).as_posix(), path


def owner(key: str, prefixes: Container[str]) -> str:
    """Return the output prefix that contains a key, or "" if none does."""
    folder = key.rpartition("/")[0]
    while folder and folder not in prefixes:
        folder = folder.rpartition("/")[0]
    return folder
