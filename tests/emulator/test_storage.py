"""Objects in and out, against a real server."""

from __future__ import annotations

import io
import itertools
import shutil
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
from botocore.response import StreamingBody

from ds.control.local.emulator import Emulator
from ds.jobs.resolve import Input
from ds.worker import inputs
from ds.worker.inputs import Fetched, SharedInputs, fetch_inputs
from ds.worker.s3 import SMALL_BYTES, THREADS, S3Object, Storage, TransferFailed
from ds.worker.stop import Failed, Interrupted, JobInputFailed, SharedInputFailed

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
        (lambda s, _: s.head(BUCKET, "no/such"), "'s3://storage/no/such': does not exist"),
        (lambda s, _: s.head("no-such", "a"), "'s3://no-such/a': does not exist"),
        (lambda s, _: s.listing("no-such", "a/"), "'s3://no-such/a/': its bucket does not exist"),
        (
            lambda s, p: s.fetch([(S3Object(BUCKET, "no/such", 3, '"x"'), p / "x")], never_stop),
            "'s3://storage/no/such': does not exist",
        ),
        (
            lambda s, p: s.upload("no-such", [(p / "here", "a")], never_stop),
            "'s3://no-such/a': its bucket does not exist",
        ),
        (
            lambda s, p: s.upload(BUCKET, [(p / "gone", "a")], never_stop),
            "'s3://storage/a': [Errno 2] No such file or directory: 'FOLDER/gone'",
        ),
        (lambda s, _: s.put("no-such", "a", b""), "'s3://no-such/a': its bucket does not exist"),
        (
            # An object `a` and an object `a/b`: S3 holds both, a disk cannot.
            lambda s, p: s.fetch([(S3Object(BUCKET, "a/b", 3, '"x"'), p / "here/b")], never_stop),
            "'s3://storage/a/b': [Errno 17] File exists: 'FOLDER/here'",
        ),
        (
            lambda s, p: s.fetch(
                [(S3Object(BUCKET, "a", 3, '"x"'), p / ("x" * 300) / "a")], never_stop
            ),
            "'s3://storage/a': [Errno 36] File name too long",
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
    with pytest.raises(TransferFailed, match="large': changed while it was fetched"):
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


# The inputs of a job.


class Slots:
    """Fetches the inputs of attempts, each into a folder of its own."""

    def __init__(self, storage: Storage, prefix: str, folder: Path) -> None:
        self.now = 0.0
        self.shared = SharedInputs(storage, folder / "store", lambda: self.now)
        self._storage = storage
        self._prefix = prefix
        self._folder = folder
        self._attempts = itertools.count()

    def start(
        self,
        *names: str,
        shared: bool = True,
        bucket: str = BUCKET,
        check_stop: Callable[[], None] = never_stop,
    ) -> tuple[Path, Fetched]:
        """Fetch keys, or folders that end with a slash; return where they are."""
        view = self._folder / f"attempt-{next(self._attempts)}"
        wanted = []
        for name in names:
            key = f"{self._prefix}{name}"
            path = f"{view}/{name.rstrip('/')}"
            wanted.append(Input(bucket, key, name.endswith("/"), "", shared, path))
        fetched = fetch_inputs(wanted, self._storage, self.shared, check_stop, lambda _: None)
        return view, fetched


@pytest.fixture
def slots(storage: Storage, prefix: str, tmp_path: Path) -> Slots:
    return Slots(storage, prefix, tmp_path)


@pytest.fixture(params=["clone", "copy", "link"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How an attempt gets a shared input: the file system shares blocks, or a copy, or a link."""
    how = str(request.param)
    clones = shutil.copyfile if how == "clone" else lambda *_: None
    monkeypatch.setattr(inputs, "_clone", clones)
    if how == "link":
        monkeypatch.setattr(inputs, "COPY_BYTES", 0)
    return how


def test_shared_inputs_are_fetched_once_for_all_slots(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    for i in range(20):
        put(client, f"{prefix}in/{i:02}", b"%d" % i)
    requests = Requests(client)
    with ThreadPoolExecutor(16) as pool:
        fetched = list(pool.map(lambda _: slots.start("in/"), range(50)))
    assert requests.of("GetObject") == {f"{prefix}in/{i:02}": 1 for i in range(20)}
    assert requests.of("HeadObject") == {}
    sizes = [one.size for _, one in fetched]
    assert sum(sizes) == max(sizes) == 30  # bytes, counted where they were fetched
    for view, _ in fetched:
        assert files(view) == {f"in/{i:02}": b"%d" % i for i in range(20)}
        assert {path.stat().st_mode & 0o222 for path in (view / "in").iterdir()} == {0}


def test_shared_inputs_that_are_here_cost_no_request_for_a_minute(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    names = [f"{i:02}" for i in range(20)]
    for name in names:
        put(client, f"{prefix}{name}", b"one")
    slots.start(*names)
    requests = Requests(client)
    for name in names:
        put(client, f"{prefix}{name}", b"two")
    requests.counts.clear()
    view, _ = slots.start(*names)
    assert not requests.counts
    assert set(files(view).values()) == {b"one"}
    slots.now += inputs.RECHECK_SECONDS + 1
    view, _ = slots.start(*names)
    assert requests.of("HeadObject") == requests.of("GetObject")
    assert set(files(view).values()) == {b"two"}


@pytest.mark.usefixtures("how")
def test_no_job_sees_what_another_one_did_to_the_shared_inputs(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    before = {"in/a": b"a", "in/deep/b": b"b"}
    for name, content in before.items():
        put(client, f"{prefix}{name}", content)
    first, fetched = slots.start("in/")
    (first / "in" / "a").unlink()
    (first / "in" / "a").write_bytes(b"another file")
    (first / "in" / "deep" / "b").rename(first / "in" / "b")
    (first / "in" / "a.index").write_bytes(b"x")
    (first / "in" / "deep" / "c").write_bytes(b"x")
    fetched.check_links()
    second, fetched = slots.start("in/")
    assert files(second) == before
    assert fetched.size == 0
    # What was removed in the bucket, and what became a folder there.
    for name in before:
        client.delete_object(Bucket=BUCKET, Key=f"{prefix}{name}")
    put(client, f"{prefix}in/a/b", b"ab")
    slots.now += inputs.RECHECK_SECONDS + 1
    assert files(slots.start("in/")[0]) == {"in/a/b": b"ab"}


def test_a_shared_input_that_a_program_changes_is_never_read_by_another(
    client: S3Client, slots: Slots, prefix: str, how: str
) -> None:
    put(client, f"{prefix}a", b"one")
    first, fetched = slots.start("a")
    (first / "a").chmod(0o666)  # root is not stopped by 0444
    (first / "a").write_bytes(b"ONE")
    if how == "link":
        with pytest.raises(Failed, match="a': a program changed this shared input"):
            fetched.check_links()
    else:
        fetched.check_links()
    second, fetched = slots.start("a")
    assert files(second) == {"a": b"one"}
    assert fetched.size == (3 if how == "link" else 0)
    # From now on each attempt has a copy, so a program that does this works.
    (second / "a").chmod(0o666)
    (second / "a").write_bytes(b"TWO")
    fetched.check_links()
    assert files(slots.start("a")[0]) == {"a": b"one"}


def change(path: Path) -> None:
    path.chmod(0o666)
    path.write_bytes(b"CHANGED")


@pytest.mark.parametrize("removes", [False, True], ids=["", "and removes its link"])
def test_attempts_that_read_a_changed_input_are_repeated(
    client: S3Client,
    slots: Slots,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    removes: bool,
) -> None:
    monkeypatch.setattr(inputs, "COPY_BYTES", 0)
    monkeypatch.setattr(inputs, "_clone", lambda *_: None)
    put(client, f"{prefix}a", b"one")
    early = slots.start("a")
    early[1].check_links()
    shutil.rmtree(early[0])
    guilty, other = slots.start("a"), slots.start("a")
    change(guilty[0] / "a")
    if removes:
        (guilty[0] / "a").unlink()
    late = slots.start("a")
    late[1].check_links()
    assert files(late[0]) == {"a": b"one"}
    for _, fetched in (other, guilty):
        with pytest.raises(Interrupted, match="a program changed this shared input"):
            fetched.check_links()


def test_a_shared_input_that_changes_in_the_bucket_is_no_programs_fault(
    client: S3Client, slots: Slots, prefix: str, how: str
) -> None:
    put(client, f"{prefix}a", b"one")
    first, fetched = slots.start("a")
    put(client, f"{prefix}a", b"three")
    slots.now += inputs.RECHECK_SECONDS + 1
    assert files(slots.start("a")[0]) == {"a": b"three"}
    assert files(first) == {"a": b"one"}
    fetched.check_links()
    if how == "link":
        change(first / "a")
        with pytest.raises(Failed, match="changed this shared input"):
            fetched.check_links()


def test_a_shared_input_that_is_removed_in_the_bucket_is_looked_up_again(
    client: S3Client, slots: Slots, prefix: str, tmp_path: Path
) -> None:
    put(client, f"{prefix}in/a")
    slots.start("in/")
    client.delete_object(Bucket=BUCKET, Key=f"{prefix}in/a")
    put(client, f"{prefix}in/b", b"b")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(SharedInputFailed, match="in/a': does not exist"):
        slots.start("in/")
    assert files(slots.start("in/")[0]) == {"in/b": b"b"}


def test_a_slot_that_ends_leaves_shared_inputs_to_the_next(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    for i in range(30):
        put(client, f"{prefix}in/{i:02}", b"x" * 1000)
    with pytest.raises(Ends):
        slots.start("in/", check_stop=stop_after(10))
    assert slots.start("in/")[1].size == 30_000
    view, fetched = slots.start("in/")
    assert fetched.size == 0
    assert len(files(view)) == 30


def test_a_slot_that_waits_for_another_can_be_stopped(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    put(client, f"{prefix}a")
    holds, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        holds.set()
        go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slots.start, "a", check_stop=slow)
        holds.wait(10)
        with pytest.raises(Ends):
            slots.start("a", check_stop=stop_after(0))
        go_on.set()
        assert first.result()[1].size == 1


@pytest.mark.parametrize("large", [False, True])
def test_inputs_that_are_named_one_by_one_cost_one_request(
    client: S3Client, slots: Slots, prefix: str, large: bool
) -> None:
    names = [f"{i:02}" for i in range(30)]
    content = b"x" * (SMALL_BYTES + large)
    for name in names:
        put(client, f"{prefix}{name}", content)
    requests = Requests(client)
    view, fetched = slots.start(*names, shared=False)
    assert files(view) == dict.fromkeys(names, content)
    assert fetched.size == 30 * len(content)
    assert requests.of("HeadObject") == {}
    assert set(requests.of("GetObject").values()) == {1 + large}


@pytest.mark.parametrize(
    ("missing", "shared", "kind"),
    [
        ("none", False, TransferFailed),
        ("none/", False, JobInputFailed),
        ("none", True, SharedInputFailed),
        ("none/", True, SharedInputFailed),
    ],
)
def test_a_missing_input_is_found_before_anything_large_is_downloaded(
    client: S3Client, slots: Slots, prefix: str, missing: str, shared: bool, kind: type[Failed]
) -> None:
    for name in ("in/large", "large"):
        put(client, f"{prefix}{name}", b"x" * 9_000_000)
    with pytest.raises(kind, match=f"'s3://{BUCKET}/{prefix}{missing}': "):
        slots.start("in/", "large", missing, shared=shared)
    assert not [path for path in slots._folder.rglob("*") if path.is_file()]
    put(client, f"{prefix}none", b"1")
    put(client, f"{prefix}none/a", b"1")
    assert slots.start(missing, shared=shared)[1].size == 1


def test_a_download_that_is_cut_off_is_repeated(
    client: S3Client, slots: Slots, prefix: str
) -> None:
    put(client, f"{prefix}a", b"whole")
    cut = [True]

    def cut_once(parsed: dict[str, Any], **_: Any) -> None:
        if "Body" in parsed and cut and cut.pop():
            parsed["Body"] = StreamingBody(io.BytesIO(b"wh"), 5)

    client.meta.events.register("after-call.s3.GetObject", cut_once)
    try:
        view, fetched = slots.start("a", shared=False)
    finally:
        client.meta.events.unregister("after-call.s3.GetObject", cut_once)
    assert not cut
    assert (files(view), fetched.size) == ({"a": b"whole"}, 5)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["字" * 85, "x" * 255, "a b+%20", "[1]*?.tif", "in//a"])
def test_every_name_that_a_disk_can_have_is_fetched(
    client: S3Client, slots: Slots, prefix: str, tmp_path: Path, name: str, shared: bool
) -> None:
    slots._prefix = f"{len(prefix)}/"
    put(client, f"{slots._prefix}{name}", b"x" * (SMALL_BYTES + 1))
    view, _ = slots.start(name, shared=shared)
    assert list(files(view)) == [name.replace("//", "/")]


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
