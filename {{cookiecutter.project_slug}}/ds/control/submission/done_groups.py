"""The groups that `--skip-done` leaves out, found by listing the bucket in bulk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from ds.jobs.outputs import OutputFile, OutputRule

FEW_LISTINGS = 20
"""The number of prefixes that can be listed separately, even if there are few jobs."""


def prefixes_to_list(prefixes: Iterable[str], count: int) -> list[str]:
    """Return the folders to list, so that few requests cover all output prefixes.

    They are the folders of one level: the deepest level that has at most FEW_LISTINGS folders, or
    one for each hundred of the `count` prefixes. If every level has more, "" is returned: the
    whole bucket is listed.
    """
    most = max(FEW_LISTINGS, count // 100)
    levels: list[set[str]] = []
    for prefix in prefixes:
        parts = prefix.split("/")
        while len(levels) < len(parts):
            # A shorter prefix has no folder at this level, so the prefix itself is listed.
            levels.append(set(levels[-1]) if levels else set())
        for depth in range(len(levels)):
            if len(levels[depth]) <= most:
                levels[depth].add("/".join(parts[: depth + 1]) + "/")
    found = [level for level in levels if len(level) <= most]
    return sorted(found[-1]) if found else [""]


class DoneGroups:
    """The groups whose outputs are complete.

    A temporary database on disk stores the prefixes and their numbers of files, so millions of
    prefixes need little memory.
    """

    def __init__(self, rule: OutputRule) -> None:
        self._rule = rule
        self._database = sqlite3.connect("")
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
            "CREATE TABLE job (number INTEGER PRIMARY KEY, prefix TEXT);"
            "CREATE TABLE output (prefix TEXT PRIMARY KEY, files INTEGER) WITHOUT ROWID;"
        )

    def read(self, prefixes: Iterable[str], count: int, s3: Any, bucket: str) -> None:
        """List the bucket; `prefixes` are the output prefixes of the `count` jobs, in order."""
        self._database.executemany("INSERT INTO job VALUES (?, ?)", enumerate(prefixes, 1))
        self._database.execute("INSERT OR IGNORE INTO output SELECT prefix, 0 FROM job")
        every = (row[0] for row in self._database.execute("SELECT prefix FROM output"))
        for root in prefixes_to_list(every, count):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root)
            for page in pages:
                for entry in page.get("Contents", []):
                    self._count(entry["Key"], entry["Size"])

    def __contains__(self, number: object) -> bool:
        """Return whether the outputs of a group are complete."""
        query = "SELECT files FROM output JOIN job USING (prefix) WHERE number = ?"
        (files,) = self._database.execute(query, (number,)).fetchone()
        return 0 < self._rule.expected_number_files <= int(files)

    def close(self) -> None:
        """Remove the database; no other method can be called afterward."""
        self._database.close()

    def _count(self, key: str, size: int) -> None:
        if key.endswith("/"):  # S3's console creates such an object for an empty folder
            return
        update = "UPDATE output SET files = files + 1 WHERE prefix = ?"
        folder = key.rpartition("/")[0]
        while folder:
            if self._rule.counts(OutputFile(key[len(folder) + 1 :], size)):
                self._database.execute(update, (folder,))
            folder = folder.rpartition("/")[0]
