"""The worker's thin interface to S3: concurrent downloads and uploads by s3transfer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from s3transfer.subscribers import BaseSubscriber

from ds.worker.stop import Failed

if TYPE_CHECKING:
    from s3transfer.futures import TransferFuture
    from types_boto3_s3 import S3Client

THREADS = 16
"""Maximum number of concurrent transfers."""

CheckStop = Callable[[], None]
"""Raises an exception if the attempt must stop; long-running methods call it regularly."""

Transfer = tuple[str, Callable[..., "TransferFuture"], list[BaseSubscriber]]
"""The URL of an object, the function that begins its transfer, and the transfer's subscribers."""


class TransferFailed(Failed):
    """An object cannot be fetched or uploaded."""


@dataclass(frozen=True)
class S3Object:
    """An object in S3; `size` is in bytes."""

    bucket: str
    key: str
    size: int
    etag: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Storage:
    """An S3 client that lists, downloads and uploads objects."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._transfers = create_transfer_manager(
            client, TransferConfig(max_concurrency=THREADS, preferred_transfer_client="classic")
        )

    def listing(self, bucket: str, prefix: str) -> list[S3Object]:
        """List all objects whose keys begin with `prefix`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with _reasons(f"s3://{bucket}/{prefix}"):
            return [
                S3Object(bucket, entry["Key"], entry["Size"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")  # created by consoles for an empty folder
            ]

    def head(self, bucket: str, key: str) -> S3Object:
        """Return the size and ETag of one object."""
        with _reasons(f"s3://{bucket}/{key}"):
            answer = self._client.head_object(Bucket=bucket, Key=key)
        return S3Object(bucket, key, answer["ContentLength"], answer["ETag"])

    def exists(self, bucket: str, key: str) -> bool:
        """Return whether an object exists."""
        return any(item.key == key for item in self.listing(bucket, key))

    def fetch(self, objects: Iterable[tuple[S3Object, Path]], check_stop: CheckStop) -> None:
        """Download objects to files; create the files' folders."""
        downloads: list[Transfer] = []
        for item, path in objects:
            with _reasons(item.url):
                path.parent.mkdir(parents=True, exist_ok=True)
            begin = partial(self._transfers.download, item.bucket, item.key, str(path))
            downloads.append((item.url, begin, [_SizeFromListing(item)]))
        self._transfer(downloads, check_stop)

    def upload(self, bucket: str, files: Iterable[tuple[Path, str]], check_stop: CheckStop) -> None:
        """Upload files to their keys; call `check_stop` before each upload."""
        begin = self._transfers.upload
        uploads: list[Transfer] = [
            (f"s3://{bucket}/{key}", partial(begin, str(path), bucket, key), [])
            for path, key in files
        ]
        self._transfer(uploads, check_stop)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write a small object."""
        with _reasons(f"s3://{bucket}/{key}"):
            self._client.put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object if it exists."""
        with _reasons(f"s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def close(self) -> None:
        """Stop the transfer threads."""
        self._transfers.shutdown(cancel=True)

    def _transfer(self, transfers: Iterable[Transfer], check_stop: CheckStop) -> None:
        """Run transfers, at most THREADS at a time."""
        running = _Running()
        begun: list[tuple[str, TransferFuture]] = []
        try:
            for name, begin, subscribers in transfers:
                check_stop()
                acquire(running.free, check_stop)
                begun.append((name, begin(subscribers=[*subscribers, running])))
            for _ in range(THREADS):
                acquire(running.free, check_stop)
        except BaseException:
            for _, future in begun:
                future.cancel()
            for _, future in begun:  # then the caller may remove the files
                with contextlib.suppress(Exception):
                    future.result()
            raise
        for name, future in begun:
            with _reasons(name):
                future.result()


class _SizeFromListing(BaseSubscriber):
    """A subscriber that gives s3transfer size and ETag, which saves a HEAD request per object."""

    def __init__(self, item: S3Object) -> None:
        self._item = item

    def on_queued(self, future: TransferFuture, **_: Any) -> None:
        future.meta.provide_transfer_size(self._item.size)
        future.meta.provide_object_etag(self._item.etag)


class _Running(BaseSubscriber):
    """A subscriber that counts the transfers that may still begin."""

    def __init__(self) -> None:
        self.free = threading.Semaphore(THREADS)

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        self.free.release()


def acquire(lock: threading.Lock | threading.Semaphore, check_stop: CheckStop) -> None:
    """Acquire a lock or a semaphore; call `check_stop` while it is not free."""
    while not lock.acquire(timeout=0.5):
        check_stop()


@contextlib.contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Turn AWS and disk errors into TransferFailed."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise TransferFailed(f"{name}: {_REASONS.get(code, code)}") from error
    except S3DownloadFailedError as error:
        raise TransferFailed(f"{name}: {_REASONS['412']}") from error
    except RetriesExceededError as error:
        raise TransferFailed(f"{name}: {error.last_exception}") from error
    except (BotoCoreError, S3UploadFailedError, OSError) as error:
        raise TransferFailed(f"{name}: {error}") from error


_REASONS = {
    "404": "does not exist",
    "NoSuchKey": "does not exist",
    "NoSuchBucket": "its bucket does not exist",
    "403": "access is denied, or it does not exist",
    "AccessDenied": "access is denied",
    "412": "changed while it was fetched",
    "PreconditionFailed": "changed while it was fetched",
}
