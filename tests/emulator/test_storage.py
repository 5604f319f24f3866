"""Objects in and out, against a real server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from ds.control.local.emulator import Emulator
from ds.worker.inputs import SharedInputs
from ds.worker.s3 import THREADS, S3Object, Storage, TransferFailed

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "storage"


class Requests:
    """Counts a client's requests."""

    def __init__(self, client: S3Client) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        client.meta.events.register("before-call.s3", self._count)

    def _count(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        with self._lock:
            self.counts[model.name, params["url_path"].lstrip("/")] += 1

    def of(self, operation: str) -> dict[str, int]:
        return {key: n for (name, key), n in self.counts.items() if name == operation}


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> S3Client:
    client = boto3.client(
        "s3",
        endpoint_url=emulator.url,
        config=Config(max_pool_connections=THREADS + 8, retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def storage(client: S3Client) -> Iterator[Storage]:
    storage = Storage(client)
    yield storage
    storage.close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix in the bucket for this test alone."""
    return f"{request.node.name}/".replace("[", "-").replace("]", "")


def never_stop() -> None:
    """Stop nothing."""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(client: S3Client, key: str, content: bytes = b"x") -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=content)


def test_a_listing_has_all_pages_and_no_folders(
    client: S3Client, storage: Storage, prefix: str
) -> None:
    keys = [f"{prefix}{i:04}" for i in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(client, key), keys))
    put(client, f"{prefix}folder/", b"")
    put(client, f"{prefix.rstrip('/')}2/neighbour")
    requests = Requests(client)
    assert [item.key for item in storage.listing(BUCKET, prefix)] == keys
    assert sum(requests.of("ListObjectsV2").values()) == 2
    assert storage.listing(BUCKET, f"{prefix}nothing/") == []


@pytest.mark.parametrize(
    "name", ["a b+c%20.txt", "é字😀.txt", "a&b=c;d?e#f.txt", "x" * 200, "a//b"]
)
@pytest.mark.parametrize("content", [b"", b"x", b"\0\xff" * 6_000_000], ids=["0", "1", "12 MB"])
def test_what_is_uploaded_is_fetched_again(
    storage: Storage, prefix: str, tmp_path: Path, name: str, content: bytes
) -> None:
    key = f"{prefix[:40]}{len(content)}/{name}"
    source, copy = tmp_path / "source", tmp_path / "deep" / "er" / "copy"
    source.write_bytes(content)
    storage.upload(BUCKET, [(source, key)], never_stop)
    assert storage.exists(BUCKET, key)
    assert not storage.exists(BUCKET, key[:-1])
    (listed,) = storage.listing(BUCKET, key)
    assert listed == storage.head(BUCKET, key)
    assert (listed.key, listed.size) == (key, len(content))
    storage.fetch([(listed, copy)], never_stop)
    assert copy.read_bytes() == content
    storage.delete(BUCKET, key)
    storage.delete(BUCKET, key)
    assert not storage.exists(BUCKET, key)


def test_many_files_are_transferred_at_a_time(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    sources = [tmp_path / f"{i:03}" for i in range(100)]
    for source in sources:
        source.write_text(source.name * 50)
    storage.upload(BUCKET, [(path, f"{prefix}{path.name}") for path in sources], never_stop)
    objects = storage.listing(BUCKET, prefix)
    requests = Requests(client)
    storage.fetch([(item, tmp_path / "copies" / item.key[-3:]) for item in objects], never_stop)
    assert files(tmp_path / "copies") == {path.name: path.read_bytes() for path in sources}
    # The listing had size and ETag, so one request for each file is enough.
    assert {name for name, _ in requests.counts} == {"GetObject"}
    assert set(requests.of("GetObject").values()) == {1}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda s, _: s.head(BUCKET, "no/such"), "s3://storage/no/such: does not exist"),
        (lambda s, _: s.head("no-such", "a"), "s3://no-such/a: does not exist"),
        (lambda s, _: s.listing("no-such", "a/"), "s3://no-such/a/: its bucket does not exist"),
        (
            lambda s, p: s.fetch([(S3Object(BUCKET, "no/such", 3, '"x"'), p / "x")], never_stop),
            "s3://storage/no/such: does not exist",
        ),
        (
            lambda s, p: s.upload("no-such", [(p / "here", "a")], never_stop),
            "s3://no-such/a: its bucket does not exist",
        ),
        (
            lambda s, p: s.upload(BUCKET, [(p / "gone", "a")], never_stop),
            "s3://storage/a: [Errno 2] No such file or directory: 'FOLDER/gone'",
        ),
        (lambda s, _: s.put("no-such", "a", b""), "s3://no-such/a: its bucket does not exist"),
        (
            # An object `a` and an object `a/b`: S3 holds both, a disk cannot.
            lambda s, p: s.fetch([(S3Object(BUCKET, "a/b", 3, '"x"'), p / "here/b")], never_stop),
            "s3://storage/a/b: [Errno 17] File exists: 'FOLDER/here'",
        ),
        (
            lambda s, p: s.fetch(
                [(S3Object(BUCKET, "a", 3, '"x"'), p / ("x" * 300) / "a")], never_stop
            ),
            "s3://storage/a: [Errno 36] File name too long",
        ),
    ],
)
def test_an_error_names_the_object_and_the_reason(
    storage: Storage, tmp_path: Path, act: Callable[[Storage, Path], object], reason: str
) -> None:
    (tmp_path / "here").write_text("x")
    with pytest.raises(TransferFailed) as failed:
        act(storage, tmp_path)
    assert str(failed.value).startswith(reason.replace("FOLDER", str(tmp_path)))
    assert files(tmp_path) == {"here": b"x"}


def test_an_object_that_changes_after_its_listing_is_never_mixed(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    """A small one is fetched as it is now; a large one comes in parts, of two versions."""
    for name, megabytes in {"small": 1, "large": 12}.items():
        put(client, f"{prefix}{name}", b"1" * megabytes * 1_000_000)
    large, small = storage.listing(BUCKET, prefix)
    for item in (large, small):
        put(client, item.key, b"2" * item.size)
    storage.fetch([(small, tmp_path / "small")], never_stop)
    with pytest.raises(TransferFailed, match="large: changed while it was fetched"):
        storage.fetch([(large, tmp_path / "large")], never_stop)
    assert files(tmp_path) == {"small": b"2" * small.size}


class Ends(Exception):
    """What `check_stop` raises."""


def stop_after(passes: int) -> Callable[[], None]:
    left = iter(range(passes))

    def check_stop() -> None:
        if next(left, None) is None:
            raise Ends

    return check_stop


@pytest.mark.parametrize("passes", [0, 1, 20, 39])
def test_a_stopped_download_leaves_no_thread_writing(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path, passes: int
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: put(client, f"{prefix}{i:02}", b"x" * 1_000_000), range(40)))
    objects = storage.listing(BUCKET, prefix)
    with pytest.raises(Ends):
        storage.fetch([(item, tmp_path / item.key[-2:]) for item in objects], stop_after(passes))
    before = {path: path.stat() for path in tmp_path.iterdir()}
    for path in before:  # the folder is removed at once in real life
        path.unlink()
    time.sleep(0.4)
    assert list(tmp_path.iterdir()) == []
    assert all(stat.st_size == 1_000_000 for stat in before.values())  # none is half
    assert len(before) <= passes
    storage.fetch([(objects[0], tmp_path / "again")], never_stop)  # and others go on
    assert files(tmp_path) == {"again": b"x" * 1_000_000}


def test_a_stopped_upload_uploads_nothing_more(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)
    uploads = [(source, f"{prefix}{i:02}") for i in range(40)]
    with pytest.raises(Ends):
        storage.upload(BUCKET, uploads, stop_after(0))
    assert storage.listing(BUCKET, prefix) == []
    with pytest.raises(Ends):
        storage.upload(BUCKET, uploads, stop_after(5))
    count = len(storage.listing(BUCKET, prefix))
    assert count <= 5
    time.sleep(0.4)
    assert len(storage.listing(BUCKET, prefix)) == count


def test_shared_inputs_are_fetched_once_for_all_slots(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    for i in range(20):
        put(client, f"{prefix}{i:02}", b"%d" % i)
    shared = SharedInputs(storage)
    requests = Requests(client)

    def slot(_: int) -> int:
        objects = storage.listing(BUCKET, prefix)
        return shared.fetch([(item, tmp_path / item.key[-2:]) for item in objects], never_stop)

    with ThreadPoolExecutor(16) as pool:
        fetched = list(pool.map(slot, range(50)))
    assert requests.of("GetObject") == {f"{prefix}{i:02}": 1 for i in range(20)}
    assert requests.of("HeadObject") == {}
    assert sum(fetched) == max(fetched) == 30  # bytes, counted where they were fetched
    assert files(tmp_path) == {f"{i:02}": b"%d" % i for i in range(20)}
    assert {path.stat().st_mode & 0o222 for path in tmp_path.iterdir()} == {0}


def test_shared_inputs_are_always_those_of_the_bucket(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    shared = SharedInputs(storage)
    path = tmp_path / "a"

    def fetch() -> int:
        return shared.fetch([(storage.head(BUCKET, f"{prefix}a"), path)], never_stop)

    put(client, f"{prefix}a", b"one")
    assert (fetch(), fetch(), path.read_bytes()) == (3, 0, b"one")
    put(client, f"{prefix}a", b"three")
    with path.open("rb") as of_a_running_job:
        assert (fetch(), fetch(), path.read_bytes()) == (5, 0, b"three")
        assert of_a_running_job.read() == b"one"
    # A job must not see what an earlier one did to them; root is not stopped by 0444.
    path.chmod(0o666)
    path.write_bytes(b"THREE")
    assert (fetch(), path.read_bytes()) == (5, b"three")
    path.unlink()
    assert (fetch(), path.read_bytes()) == (5, b"three")


def test_a_slot_that_ends_leaves_shared_inputs_to_the_next(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    for i in range(30):
        put(client, f"{prefix}{i:02}", b"x" * 1000)
    shared = SharedInputs(storage)
    objects = [(item, tmp_path / item.key[-2:]) for item in storage.listing(BUCKET, prefix)]
    with pytest.raises(Ends):
        shared.fetch(objects, stop_after(10))
    assert shared.fetch(objects, never_stop) > 0
    assert shared.fetch(objects, never_stop) == 0
    assert len(files(tmp_path)) == 30


def test_a_slot_that_waits_for_another_can_be_stopped(
    client: S3Client, storage: Storage, prefix: str, tmp_path: Path
) -> None:
    put(client, f"{prefix}a")
    shared = SharedInputs(storage)
    holds, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        holds.set()
        go_on.wait(10)

    objects = [(storage.head(BUCKET, f"{prefix}a"), tmp_path / "a")]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shared.fetch, objects, slow)
        holds.wait(10)
        with pytest.raises(Ends):
            shared.fetch(objects, stop_after(1))
        go_on.set()
        assert first.result() == 1


def test_closing_ends_the_threads(client: S3Client, tmp_path: Path) -> None:
    before = threading.active_count()
    (tmp_path / "a").write_text("x")
    for _ in range(5):
        storage = Storage(client)
        storage.upload(BUCKET, [(tmp_path / "a", "closing/a")] * 20, never_stop)
        storage.fetch([(storage.head(BUCKET, "closing/a"), tmp_path / "b")] * 5, never_stop)
        storage.close()
    assert threading.active_count() == before
    assert sorted(files(tmp_path)) == ["a", "b"]
