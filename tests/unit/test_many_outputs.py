"""Very many outputs of one job, in constant memory."""

import tracemalloc
from pathlib import Path
from typing import Any

import boto3
import pytest

from ds.jobs.outputs import OutputFile, OutputRule
from ds.worker.outputs import find_outputs
from ds.worker.s3 import Storage


class Transfer:
    """An upload that has ended at once, with what s3transfer keeps of it."""

    def __init__(self) -> None:
        self.state = bytearray(4000)

    def result(self) -> None:
        return None


class Transfers:
    """A transfer manager without a network."""

    def __init__(self) -> None:
        self.count = 0

    def upload(self, *_: object, subscribers: list[Any]) -> Transfer:
        transfer = Transfer()
        self.count += 1
        for subscriber in subscribers:
            subscriber.on_done(future=transfer)
        return transfer


def test_the_memory_of_an_upload_does_not_grow_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5000):
        (tmp_path / str(i)).touch()
    storage = Storage(boto3.client("s3", region_name="us-east-1"))
    transfers = Transfers()
    monkeypatch.setattr(storage, "_transfers", transfers)
    tracemalloc.start()
    try:
        assert OutputRule(1, 0).missing(find_outputs(tmp_path, "out")) is None
        files = ((tmp_path / file.path, file.path) for file in find_outputs(tmp_path, "out"))
        storage.upload("bucket", files, lambda: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert transfers.count == 5000
    assert peak < 500_000


def test_the_rule_holds_no_files() -> None:
    tracemalloc.start()
    files = (OutputFile(str(i), i) for i in range(20_000))
    try:
        assert OutputRule(20_001).missing(files) is not None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
