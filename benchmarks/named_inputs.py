"""Inputs that are named one by one and inputs of a folder, compared with get_object in 16 threads.

`make bench`, or `.venv/bin/python benchmarks/named_inputs.py [FILES [ROUNDS]]`.

Each request takes 30 ms longer than the emulator needs, as over a network.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

ENGINE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(ENGINE))

from ds.control.local.emulator import running  # noqa: E402
from ds.jobs.resolve import Input  # noqa: E402
from ds.worker.inputs import SharedInputs, fetch_inputs  # noqa: E402
from ds.worker.s3 import THREADS, Storage  # noqa: E402

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "bench"
DELAY_SECONDS = 0.03


def bare(s3: S3Client, keys: list[str], folder: Path) -> None:
    """Download the objects by the bare calls."""

    def get(key: str) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(get, keys))


def worker(s3: S3Client, inputs: list[Input], folder: Path) -> None:
    """Download the objects as a worker does."""
    storage = Storage(s3)
    shared = SharedInputs(storage, folder / "shared")
    fetch_inputs(inputs, storage, shared, lambda: None, lambda _: None)
    storage.close()


def main(files: int = 500, rounds: int = 3) -> None:
    """Measure each way in turn, and print the fastest round of each."""
    keys = [f"in/{number:05}.tif" for number in range(files)]
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), "us-east-1"):
        s3 = boto3.client("s3", config=Config(max_pool_connections=2 * THREADS))
        s3.create_bucket(Bucket=BUCKET)
        for key in keys:
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 10_000)
        s3.meta.events.register("before-send.s3", lambda **_: time.sleep(DELAY_SECONDS))
        ways: dict[str, Callable[[Path], None]] = {
            f"get_object in {THREADS} threads": lambda to: bare(s3, keys, to),
            "a worker, named one by one": lambda to: worker(
                s3, [Input(BUCKET, key, False, "", False, f"{to}/{key}") for key in keys], to
            ),
            "a worker, as a folder": lambda to: worker(
                s3, [Input(BUCKET, "in/", True, "", False, f"{to}/in")], to
            ),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way, download in ways.items():
                to = Path(folder, way, str(number))
                began = time.perf_counter()
                download(to)
                seconds[way].append(time.perf_counter() - began)
                assert len(list((to / "in").iterdir())) == files
        base = min(next(iter(seconds.values())))
        for way, measured in seconds.items():
            print(f"{way:30} {min(measured):6.2f} s  {min(measured) / base:4.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
