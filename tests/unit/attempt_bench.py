"""One attempt on fakes: a bucket in memory, a queue and a program that only note what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ds.jobs.command import parse_command
from ds.jobs.definition import JobDefinition
from ds.jobs.environment import WorkerSettings
from ds.jobs.message import Job
from ds.jobs.record import Record
from ds.jobs.resolve import JobView
from ds.worker.attempt import Attempt, WorkerContext
from ds.worker.inputs import SharedInputs
from ds.worker.lease import Lease
from ds.worker.process import Finished
from ds.worker.resources import Cgroup
from ds.worker.s3 import S3Object, TransferFailed
from ds.worker.sqs import Received
from ds.worker.stop import Stop, StopFlag

JOB = Job({"reference": "in/ref/"}, {"name": "a", "image": "in/a.tif"})
ID = JOB.job_id
LOG = f"logs/Test/run1/{ID}"
KEPT = f"logs/Test/run1/failed/{ID}"
MARKER = f"logs/Test/uploading/{ID}"
INPUTS = {"in/a.tif": b"image", "in/ref/one": b"1", "in/ref/two": b"22"}
VISIBILITY = 60.0


class Clock:
    """Time that passes only by `sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Events:
    """What was done, in order. `at` holds what happens when an event with such a beginning is
    noted for the first time: a signal, a lost message, an error."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.at: dict[str, Callable[[], object]] = {}

    def note(self, text: str) -> None:
        self.noted.append(text)
        for beginning in [key for key in self.at if text.startswith(key)]:
            self.at.pop(beginning)()

    def of(self, *kinds: str) -> list[str]:
        return [text for text in self.noted if text.split()[0] in kinds]


class Bucket:
    """S3 with what an attempt needs."""

    def __init__(self, events: Events, objects: Mapping[str, bytes]) -> None:
        self._events = events
        self.objects = dict(objects)

    def listing(self, bucket: str, prefix: str) -> list[S3Object]:
        self._events.note(f"list {prefix}")
        keys = [key for key in sorted(self.objects) if key.startswith(prefix)]
        return [S3Object(bucket, key, len(self.objects[key]), key) for key in keys]

    def head(self, bucket: str, key: str) -> S3Object:
        self._events.note(f"head {key}")
        return S3Object(bucket, key, len(self.objects[key]), key)

    def exists(self, bucket: str, key: str) -> bool:
        return key in self.objects

    def fetch(
        self, objects: Iterable[tuple[S3Object, Path]], check_stop: Callable[[], None]
    ) -> None:
        for item, path in objects:
            self._events.note(f"fetch {item.key}")
            check_stop()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.objects[item.key])

    def upload(
        self, bucket: str, files: Iterable[tuple[Path, str]], check_stop: Callable[[], None]
    ) -> None:
        for path, key in files:
            self._events.note(f"upload {key}")
            check_stop()
            self.objects[key] = path.read_bytes()

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self._events.note(f"put {key}")
        self.objects[key] = content

    def delete(self, bucket: str, key: str) -> None:
        self._events.note(f"delete {key}")
        self.objects.pop(key, None)


class Queue:
    """SQS that only notes what becomes of a message."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.attributes: Mapping[str, str] = {}

    def delete(self, receipt: str) -> None:
        self._events.note("message deleted")

    def release(self, receipt: str, seconds: float) -> None:
        self._events.note(f"message released for {seconds}")

    def dead_letter(self, message: Received, attributes: Mapping[str, str]) -> None:
        self.attributes = attributes
        self._events.note("message dead")


class Logs:
    """CloudWatch with what an attempt needs."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.lines: list[str] = []

    def line(self, job_id: str, text: str) -> None:
        self.lines.append(text)

    def record(self, record: Record) -> None:
        self._events.note(f"record {record.outcome}")


class Bench:
    """A worker with one job, whose program writes `results` and `printed`, and exits."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.clock = Clock()
        self.events = Events()
        self.at = self.events.at
        self.bucket = Bucket(self.events, INPUTS)
        self.queue = Queue(self.events)
        self.logs = Logs(self.events)
        self.stopping = StopFlag()
        self.body = JOB.body()
        self.attempt = 1
        self.results = {"one.txt": b"1", "two.txt": b"22"}
        self.printed = b""
        self.exit_code = 0
        self.verdict: str | None = None
        self.lease: Lease | None = None
        self.ran: dict[str, Any] = {}
        self.settings = WorkerSettings(
            APP_NAME="Test",
            AWS_BUCKET="bucket",
            LOG_GROUP_NAME="g",
            run_id="run1",
            queue_url="q",
            dead_letter_url="d",
        )
        self.settings = replace(self.settings, **settings)

    # What can happen at an event.

    def sigterm(self) -> None:
        self.stopping.set()

    def lose(self) -> None:
        assert self.lease is not None
        self.lease.revoke()

    def long_time(self) -> None:
        self.clock.sleep((11 * 60 + 50) * 60 + 1)
        assert self.lease is not None
        self.lease._confirmed = self.clock()  # it was renewed all the time

    def kernel_kills(self) -> None:
        (self.folder / "memory.events").write_text("oom_kill 1\n")

    def fail(self) -> None:
        raise TransferFailed("s3://bucket/x: SlowDown")

    # The attempt.

    def perform(self) -> Record:
        message = Received("receipt", self.body, self.attempt)
        self.lease = Lease(message, self.clock(), VISIBILITY, self.clock)
        return Attempt(self.lease, 0, self.context()).perform()

    def context(self) -> WorkerContext:
        (self.folder / "cgroup.controllers").write_text("memory")
        (self.folder / "memory.events").write_text("oom_kill 0\n")
        return WorkerContext(
            settings=self.settings,
            definition=JobDefinition(
                parse_command("program {image} {reference} {output_dir}"),
                {"name": "text", "image": "file", "reference": "folder"},
                "out/{name}",
                {"check_outputs": self._check_outputs},
            ),
            queue=self.queue,  # type: ignore[arg-type]
            storage=self.bucket,  # type: ignore[arg-type]
            shared_inputs=SharedInputs(self.bucket),  # type: ignore[arg-type]
            logs=self.logs,  # type: ignore[arg-type]
            worker="w",
            stopping=self.stopping,
            scratch=self.folder / "scratch",
            cgroup=Cgroup(self.folder),
            run=self._run,
            clock=self.clock,
        )

    def _run(
        self,
        arguments: Sequence[str],
        *,
        results: str,
        output: Callable[[bytes], None],
        check_stop: Callable[[], None],
        **ran: Any,
    ) -> Finished:
        self.ran = {"arguments": arguments, **ran}
        for name, content in self.results.items():
            Path(results, name).write_bytes(content)
        output(self.printed)
        self.events.note("run")
        try:
            check_stop()
        except Stop as stop:
            return Finished(None, 7, 0, stop)
        return Finished(self.exit_code, 12, 0)

    def _check_outputs(self, view: JobView) -> str | None:
        self.events.note("check")
        return self.verdict

    @property
    def outputs(self) -> dict[str, bytes]:
        """What is under the job's output prefix."""
        return {key: text for key, text in self.bucket.objects.items() if key.startswith("out/")}

    @property
    def log(self) -> str:
        """The attempt's log in the bucket."""
        return self.bucket.objects[f"{LOG}/{self.attempt}.log"].decode()
