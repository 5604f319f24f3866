"""The worker's thin edge to S3: objects in and out, many at a time, by s3transfer."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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
"""Transfers at a time."""

CHECK_SECONDS = 0.5

CheckStop = Callable[[], None]
Begin = Callable[[BaseSubscriber], "TransferFuture"]


class TransferFailed(Failed):
    """An object cannot be fetched or uploaded."""


@dataclass(frozen=True)
class S3Object:
    """An object of a listing; its size in bytes."""

    bucket: str
    key: str
    size: int
    etag: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Upload:
    """A local file and the key that it is uploaded to."""

    path: Path
    key: str


class Storage:
    """Lists, fetches and uploads. A method that takes long regularly calls its `check_stop`, which
    raises if the attempt must end."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._transfers = create_transfer_manager(
            client, TransferConfig(max_concurrency=THREADS, preferred_transfer_client="classic")
        )

    def listing(self, bucket: str, prefix: str) -> list[S3Object]:
        """List all objects whose key begins with `prefix`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with _reasons(f"s3://{bucket}/{prefix}"):
            return [
                S3Object(bucket, entry["Key"], entry["Size"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")  # what consoles create for an empty folder
            ]

    def head(self, bucket: str, key: str) -> S3Object:
        """Ask for one object's size and ETag."""
        with _reasons(f"s3://{bucket}/{key}"):
            answer = self._client.head_object(Bucket=bucket, Key=key)
        return S3Object(bucket, key, answer["ContentLength"], answer["ETag"])

    def exists(self, bucket: str, key: str) -> bool:
        """Whether an object exists."""
        return any(item.key == key for item in self.listing(bucket, key))

    def fetch(self, objects: Iterable[tuple[S3Object, Path]], check_stop: CheckStop) -> None:
        """Download objects to files; create the folders."""
        begin = []
        for item, path in objects:
            with _reasons(item.url):
                path.parent.mkdir(parents=True, exist_ok=True)
            begin.append((item.url, partial(self._begin_download, item, path)))
        self._all(begin, check_stop)

    def upload(self, bucket: str, uploads: Iterable[Upload], check_stop: CheckStop) -> None:
        """Upload files; call `check_stop` before each."""
        self._all(
            [
                (f"s3://{bucket}/{item.key}", partial(self._begin_upload, bucket, item))
                for item in uploads
            ],
            check_stop,
        )

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write a small object."""
        with _reasons(f"s3://{bucket}/{key}"):
            self._client.put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object, if it exists."""
        with _reasons(f"s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def close(self) -> None:
        """End the transfers' threads."""
        self._transfers.shutdown(cancel=True)

    def _begin_download(self, item: S3Object, path: Path, done: BaseSubscriber) -> TransferFuture:
        known = _SizeFromListing(item)
        return self._transfers.download(item.bucket, item.key, str(path), subscribers=[known, done])

    def _begin_upload(self, bucket: str, item: Upload, done: BaseSubscriber) -> TransferFuture:
        return self._transfers.upload(str(item.path), bucket, item.key, subscribers=[done])

    def _all(
        self,
        transfers: Iterable[tuple[str, Callable[[BaseSubscriber], TransferFuture]]],
        check_stop: CheckStop,
    ) -> None:
        """Run named transfers, at most THREADS at a time."""
        finished = _Finished()
        begun: list[tuple[str, TransferFuture]] = []
        running = 0
        try:
            for name, begin in transfers:
                check_stop()
                if running == THREADS:
                    finished.wait(check_stop)
                    running -= 1
                begun.append((name, begin(finished)))
                running += 1
            for _ in range(running):
                finished.wait(check_stop)
        except BaseException:
            for _, future in begun:
                future.cancel()
            for _, future in begun:  # no file may be removed while it is written to
                with contextlib.suppress(Exception):
                    future.result()
            raise
        for name, future in begun:
            with _reasons(name):
                future.result()


class SharedInputs:
    """Inputs that all jobs of a container share: fetched once, read-only, checked by ETag.

    A file that a job changed is fetched again: read-only means nothing to a program run by root.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._fetched: dict[Path, tuple[str, _Stamp]] = {}
        self._lock = threading.Lock()

    def fetch(self, objects: Sequence[tuple[S3Object, Path]], check_stop: CheckStop) -> int:
        """Fetch what is missing or out of date; return its bytes.

        One slot at a time, since the others need the same files.
        """
        while not self._lock.acquire(timeout=CHECK_SECONDS):
            check_stop()
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


_Stamp = tuple[int, int, int] | None


def _stamp(path: Path) -> _Stamp:
    """Return what changes when a file does; None if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class _SizeFromListing(BaseSubscriber):
    """Passes a listing's size and ETag to s3transfer, which saves a request for each file."""

    def __init__(self, item: S3Object) -> None:
        self._item = item

    def on_queued(self, future: TransferFuture, **_: Any) -> None:
        future.meta.provide_transfer_size(self._item.size)
        future.meta.provide_object_etag(self._item.etag)


class _Finished(BaseSubscriber):
    """Counts finished transfers."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        self._queue.put(None)

    def wait(self, check_stop: CheckStop) -> None:
        while True:
            try:
                self._queue.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                check_stop()
            else:
                return


@contextlib.contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Turn errors of AWS and of the disk into TransferFailed with a reason for a person."""
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
