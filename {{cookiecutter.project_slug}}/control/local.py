"""`local`: the whole run on this machine, against an emulated AWS.

The same submission and the same worker processes as on AWS; the emulator plays queues, bucket and
logs. Nothing is left running afterwards, however this ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from control import emulator, image, jobfile
from control.errors import Stopped
from control.names import REDRIVES, worker_settings
from control.names import names as names_of
from control.project import Project
from control.report import Result, Summary, print_table, results, suggestion
from control.submit import send
from worker.message import InvalidMessage, Job, decode
from worker.plan import SHOWN, Input, Plan
from worker.s3 import S3Object, Storage, TransferFailed, Upload
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

WINDOW = 300
"""Messages in the queue at a time: moto's send counts the whole queue, and so slows with it."""

THREADS = 2
"""That send; the emulator is one process."""

LOOK_SECONDS = 0.3

ENDING_SECONDS = 100
"""From SIGTERM to SIGKILL of a worker; attempts that upload may take 90."""

QUICK_SECONDS = 15
"""A worker that ends by itself within this time could not start..."""

MOST_STARTS = 3
"""...and after so many times in a row nobody tries again."""

MOST_WARNINGS = 5


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        data: folder whose content is the bucket's.
        output: folder for the results.
        workers: how many worker processes.
        only: group numbers; empty for all.
        docker: whether workers are containers of the image.
    """

    data: Path
    output: Path
    workers: int = 1
    only: Sequence[int] = ()
    docker: bool = False


def local(project: Project, path: Path, options: Options, console: Console) -> Summary:
    """Run the jobs of a job file here.

    Args:
        project: the implementation.
        path: the job file.
        options: what was asked for.
        console: for people.

    Returns:
        What it came to; of an interrupted run, what was done until then.

    Raises:
        BadInput: settings or job file cannot be used.
        Stopped: nothing could be started.
    """
    jobs = _chosen(jobfile.read(path, project.definition, project.settings.program), options.only)
    plans = {number: project.plan(job) for number, job in jobs.items()}
    if options.docker:
        for problem in image.inspect(project):
            console.print(f"warning: {problem}", markup=False, soft_wrap=True)
    else:
        _programs_are_here(plans.values())
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stopped(f"{options.output} cannot hold the results: {error.strerror}") from None
    folder = Path(tempfile.mkdtemp(prefix="ds-local-")).resolve()
    try:
        with emulator.running(folder, project.settings.AWS_REGION):
            return _Run(project, jobs, plans, options, folder, console).go()
    except (BotoCoreError, ClientError) as error:
        raise Stopped(f"The emulator of AWS does not answer as it should: {error}") from error
    finally:
        emulator.sweep(folder)


class _Run:
    """One local run, while its emulator runs."""

    def __init__(
        self,
        project: Project,
        jobs: Mapping[int, Job],
        plans: Mapping[int, Plan],
        options: Options,
        folder: Path,
        console: Console,
    ) -> None:
        self._project = project
        self._jobs = jobs
        self._plans = plans
        self._options = options
        self._folder = folder
        self._console = console
        self._aws = _Aws(project, plans.values(), time.strftime("local-%Y%m%dT%H%M%S"))

    def go(self) -> Summary:
        """From the first upload to the table."""
        began = time.monotonic()
        self._load()
        finished = False
        feeder = _Feeder(self._aws, self._jobs.values())
        workers = _Workers(self._options, self._project, self._aws.settings, self._folder)
        self._say_what_begins()
        try:
            with workers, feeder, _Progress(self._console, len(self._jobs)) as progress:
                self._wait(feeder, workers, progress)
                finished = True
        except KeyboardInterrupt:
            self._console.print(
                "Interrupted: the workers have ended, and what is done is kept. With "
                "CHECK_IF_DONE_BOOL = True in config.py it is skipped next time.",
                soft_wrap=True,
            )
        summary = Summary(self._results(finished), time.monotonic() - began, finished)
        self._tell(summary)
        return summary

    def _load(self) -> None:
        """Make --data the bucket's content, as far as jobs name it."""
        options, bucket = self._options, self._aws.settings.bucket
        wanted, missing = _inputs(self._plans, options.data, bucket)
        for text in missing[:MOST_WARNINGS]:
            self._console.print(f"warning: {text}", markup=False, soft_wrap=True)
        if len(missing) > MOST_WARNINGS:
            self._console.print(f"warning: and {len(missing) - MOST_WARNINGS} more are not there")
        if self._aws.settings.check_if_done:
            prefixes = [planned.output_prefix for planned in self._plans.values()]
            wanted.setdefault(bucket, {}).update(_files_below(options.output, prefixes))
        for holder, files in wanted.items():
            uploads = [Upload(path, key) for key, path in files.items()]
            try:
                self._aws.storage.upload(holder, uploads, _open_gate)
            except TransferFailed as error:
                raise Stopped(f"An input cannot be read: {error}") from None

    def _say_what_begins(self) -> None:
        count, workers, slots = len(self._jobs), self._options.workers, self._aws.settings.slots
        name = self._project.settings.DOCKERHUB_TAG
        where = f", in containers of {name}" if self._options.docker else ""
        self._console.print(
            f"{count} job{'s' * (count != 1)}, {workers} worker{'s' * (workers != 1)}, "
            f"{slots} at a time in each{where}"
        )

    def _wait(self, feeder: _Feeder, workers: _Workers, progress: _Progress) -> None:
        """Until every job has left the queue."""
        empty = 0
        # A message can move from one count to another while they are counted: two looks.
        while empty < 2:
            time.sleep(LOOK_SECONDS)
            workers.tend()
            sent = feeder.sent()
            waiting, running = self._aws.queue_counts()
            progress.show(sent - waiting - running, running, self._aws.dead_count())
            empty = empty + 1 if feeder.ended and waiting + running == 0 else 0

    def _results(self, finished: bool) -> list[Result]:
        """What queue, records and bucket say; outputs, and logs of dead jobs, come here."""
        aws, output = self._aws, self._options.output
        jobs = [(number, planned.job_id) for number, planned in self._plans.items()]
        dead = aws.dead()
        ended = results(jobs, aws.records(), dead, finished)
        for job_id in sorted(dead.keys() & {result.job_id for result in ended}):
            for area in ("", "failed/"):
                prefix = f"{aws.settings.log_prefix}/{area}{job_id}/"
                aws.download(aws.listing(prefix), output)
        good = {
            self._plans[result.group].output_prefix: result.group
            for result in ended
            if result.state in ("done", "skipped")
        }
        # One listing for all jobs: one for each would take longer than the jobs.
        owned = [
            (good[prefix], item)
            for item in (aws.listing(os.path.commonpath(good)) if good else [])
            if (prefix := _owner(item.key, good))
        ]
        aws.download([item for _, item in owned], output)
        files: dict[int, list[str]] = {}
        for number, item in owned:
            files.setdefault(number, []).append(item.key)
        return [replace(result, outputs=files.get(result.group, [])) for result in ended]

    def _tell(self, summary: Summary) -> None:
        console, output = self._console, self._options.output
        print_table(console, summary, self._jobs)
        unfinished = summary.count("unfinished")
        more = f"{unfinished} unfinished, " if unfinished else ""
        console.print(
            f"{summary.count('done')} done, {summary.count('skipped')} skipped, "
            f"{summary.count('dead')} dead, {more}in {summary.seconds:.0f} s; results in {output}",
            markup=False,
            soft_wrap=True,
        )
        if summary.count("dead"):
            logs = output / self._aws.settings.log_prefix
            console.print(f"logs of dead jobs in {logs}", markup=False, soft_wrap=True)
        if line := suggestion(summary.results, self._aws.settings.slots):
            console.print(line, markup=False, soft_wrap=True)


class _Aws:
    """The run's queues, buckets and log groups in the emulator."""

    def __init__(self, project: Project, plans: Iterable[Plan], run_id: str) -> None:
        settings = project.settings
        config = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32)
        self.sqs: SQSClient = boto3.client("sqs", config=config)
        self._s3: S3Client = boto3.client("s3", config=config)
        self._logs: CloudWatchLogsClient = boto3.client("logs", config=config)
        self.storage = Storage(self._s3)
        named = names_of(settings)
        dead_letter_url = self._queue(named.dead_letter_queue, {})
        arn = self.sqs.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": settings.JOB_RETRIES + REDRIVES,
        }
        self.settings = replace(
            worker_settings(
                settings,
                run_id,
                self._queue(named.queue, {"RedrivePolicy": json.dumps(redrive)}),
                dead_letter_url,
            ),
            # A person waits: failed jobs come back at once, and workers end at once.
            retry_delays=(1, 1, 1),
            poll_seconds=1,
        )
        buckets = {settings.AWS_BUCKET, *(item.bucket for p in plans for item in p.inputs)}
        for bucket in buckets:
            self._s3.create_bucket(Bucket=bucket)
        for group in (self.settings.log_group, self.settings.record_group):
            self._logs.create_log_group(logGroupName=group)

    def queue_counts(self) -> tuple[int, int]:
        """Messages that wait, and those in flight (running, or waiting for another attempt)."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.settings.queue_url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )
        counts = {name: int(text) for name, text in answer["Attributes"].items()}
        running = counts.pop("ApproximateNumberOfMessagesNotVisible")
        return sum(counts.values()), running

    def dead_count(self) -> int:
        """Messages in the dead-letter queue."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.settings.dead_letter_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def dead(self) -> dict[str, dict[str, str]]:
        """The dead-letter messages' attributes by job_id."""
        found: dict[str, dict[str, str]] = {}
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=self.settings.dead_letter_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=3600,
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return found
            for message in answer["Messages"]:
                attributes = {
                    name: value["StringValue"]
                    for name, value in message.get("MessageAttributes", {}).items()
                }
                # SQS's own redrive leaves no attributes.
                with contextlib.suppress(InvalidMessage):
                    found[decode(message["Body"]).job_id] = attributes

    def records(self) -> list[dict[str, Any]]:
        """The records of all attempts."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self.settings.record_group
        )
        return [json.loads(event["message"]) for page in pages for event in page["events"]]

    def listing(self, prefix: str) -> list[S3Object]:
        """All objects of the bucket below a prefix."""
        return self.storage.listing(self.settings.bucket, prefix)

    def download(self, objects: Sequence[S3Object], folder: Path) -> None:
        """Bring objects into a folder, under their keys."""
        try:
            self.storage.fetch([(item, folder / item.key) for item in objects], _open_gate)
        except (OSError, TransferFailed) as error:
            raise Stopped(f"The results cannot be written to {folder}: {error}") from None

    def _queue(self, name: str, attributes: dict[str, str]) -> str:
        answer = self.sqs.create_queue(QueueName=name, Attributes=attributes)  # type: ignore[arg-type]
        return answer["QueueUrl"]


class _Feeder:
    """Sends the jobs in a thread of its own, never many more than the workers take."""

    def __init__(self, aws: _Aws, jobs: Iterable[Job]) -> None:
        self._aws = aws
        self._jobs = jobs
        self._stop = threading.Event()
        self._sent = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether everything has been sent."""
        return not self._thread.is_alive()

    def sent(self) -> int:
        """How many jobs have been sent; raises what went wrong."""
        if self._error:
            raise self._error
        return self._sent

    def _run(self) -> None:
        def length() -> int:
            return sum(self._aws.queue_counts())

        def on_sent(count: int) -> None:
            self._sent = count

        try:
            jobs = _windowed(self._jobs, length, self._stop)
            send(jobs, self._aws.settings.queue_url, self._aws.sqs, THREADS, on_sent)
        except BaseException as error:
            self._error = error


@dataclass
class _Worker:
    """One worker process, and those that took its place."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    began: float = 0
    starts: int = 0
    failures: int = 0
    scratch: Path = field(default_factory=Path)
    output: Path = field(default_factory=Path)


class _Workers:
    """Worker processes: kept running while the run lasts, as ECS does, and ended with it."""

    def __init__(
        self, options: Options, project: Project, settings: WorkerSettings, folder: Path
    ) -> None:
        self._docker = options.docker
        self._project = project
        self._settings = settings
        self._folder = folder
        self._workers = [_Worker(f"worker-{number}") for number in range(1, options.workers + 1)]

    def __enter__(self) -> _Workers:
        for worker in self._workers:
            self._start(worker)
        return self

    def __exit__(self, *_: object) -> None:
        processes = [worker.process for worker in self._workers if worker.process]
        for process in processes:
            process.terminate()
        end = time.monotonic() + ENDING_SECONDS
        try:
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, end - time.monotonic()))
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def tend(self) -> None:
        """Start again what has ended.

        Raises:
            Stopped: a worker cannot start.
        """
        for worker in self._workers:
            assert worker.process is not None
            code = worker.process.poll()
            if code is None:
                continue
            # A signal is no failure of the worker: machines are taken away.
            quick = time.monotonic() - worker.began < QUICK_SECONDS and code >= 0
            worker.failures = worker.failures + 1 if quick else 0
            if worker.failures == MOST_STARTS:
                lines = worker.output.read_text(errors="replace").strip().splitlines()
                said = "\n  ".join(lines[-5:] or [f"exit code {code}"])
                raise Stopped(f"The worker cannot start:\n  {said}")
            # On AWS its container ends with it, and all that it had started.
            emulator.sweep(worker.scratch)
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        worker.starts += 1
        worker.began = time.monotonic()
        worker.scratch = self._folder / f"{worker.name}-{worker.starts}"
        worker.scratch.mkdir()
        worker.output = self._folder / f"{worker.name}.txt"
        environment = dict(os.environ)
        if self._docker:
            words = self._container(worker)
        else:
            words = [sys.executable, "-m", "worker"]
            environment |= replace(self._settings, scratch=str(worker.scratch)).environment()
        with worker.output.open("wb") as output:
            worker.process = subprocess.Popen(
                words,
                cwd=self._project.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the control process, which ends the workers in its way.
                start_new_session=True,
            )

    def _container(self, worker: _Worker) -> list[str]:
        """What runs this worker in a container; its files are in it, as on AWS."""
        aws = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
        return image.worker_command(
            self._project.settings,
            {**aws, **self._settings.environment()},
            worker.name,
            # Its id tells the sweep, whatever becomes of this process.
            self._folder / f"{worker.name}-{worker.starts}.cid",
            platform.machine(),
            sys.platform,
            os.cpu_count() or 1,
        )


class _Progress:
    """Live figures where a person looks on."""

    def __init__(self, console: Console, jobs: int) -> None:
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.completed} of {task.total} ended, {task.fields[more]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("jobs", total=jobs, more="workers start")

    def __enter__(self) -> _Progress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, ended: int, running: int, dead: int) -> None:
        """The newest figures."""
        more = f"{running} running" + (f", {dead} dead" if dead else "")
        self._progress.update(self._task, completed=max(0, ended), more=more)


def _chosen(jobs: jobfile.JobFile, only: Sequence[int]) -> dict[int, Job]:
    """The jobs to run, by their group number."""
    wrong = [number for number in only if not 1 <= number <= jobs.count]
    if wrong:
        raise Stopped(f"{jobs.path.name} has no group {wrong[0]}: it has {jobs.count}, from 1 on")
    return {number: job for number, job in enumerate(jobs.jobs(), 1) if not only or number in only}


def _programs_are_here(plans: Iterable[Plan]) -> None:
    """Refuse a run whose program is not on this machine, before the first job."""
    programs = dict.fromkeys(planned.arguments[0] for planned in plans if planned.arguments)
    missing = [name for name in programs if not _is_here(name)]
    if missing:
        raise Stopped(
            f"not on PATH: {', '.join(missing)}. Install it on this machine to try its jobs "
            "here, or take it from the image: --docker"
        )


def _is_here(program: str) -> bool:
    """Whether a program can be started here; one that a job brings or builds is taken for there."""
    comes_later = program.startswith((SHOWN.inputs, SHOWN.shared, SHOWN.work, SHOWN.output))
    relative = "/" in program and not program.startswith("/")
    return comes_later or relative or shutil.which(program) is not None


def prepared(project: Project, path: Path, number: int, data: Path) -> tuple[Plan, dict[str, Path]]:
    """One job for a person to look into.

    Args:
        project: the implementation.
        path: the job file.
        number: of the group.
        data: folder whose content is the bucket's.

    Returns:
        Its plan, and its files in `data` by the paths that the plan has for them.
    """
    jobs = _chosen(jobfile.read(path, project.definition, project.settings.program), [number])
    planned = project.plan(jobs[number])
    files = {}
    for item in planned.inputs:
        top = data if item.bucket == project.settings.AWS_BUCKET else data / item.bucket
        for key, file in _found(item, top):
            files[f"{item.path}/{key[len(item.key) :]}" if item.folder else item.path] = file
    return planned, files


def _inputs(
    plans: Mapping[int, Plan], data: Path, bucket: str
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """The files of --data that jobs name, by bucket and key, and a line for each that is missing.

    Each is listed once, however many jobs name it.
    """
    wanted: dict[str, dict[str, Path]] = {}
    missing = []
    seen: set[Input] = set()
    for number, planned in plans.items():
        for item in planned.inputs:
            same = replace(item, path="", shared=False)
            if same in seen:
                continue
            seen.add(same)
            top = data if item.bucket == bucket else data / item.bucket
            found = dict(_found(item, top))
            wanted.setdefault(item.bucket, {}).update(found)
            if not found:
                place = top / f"{item.key}{item.pattern}"
                missing.append(f"{place} is not there; group {number} needs it")
    return wanted, missing


def _found(item: Input, top: Path) -> Iterator[tuple[str, Path]]:
    """The keys and files of one input, below the folder that plays its bucket."""
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


def _files_below(output: Path, prefixes: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """What an earlier run left under these prefixes."""
    for prefix in prefixes:
        for folder, _, names in os.walk(output / prefix):
            for name in names:
                path = Path(folder, name)
                yield path.relative_to(output).as_posix(), path


def _owner(key: str, prefixes: Container[str]) -> str:
    """The output prefix in which a key lies; "" if in none."""
    folder = key.rpartition("/")[0]
    while folder and folder not in prefixes:
        folder = folder.rpartition("/")[0]
    return folder


def _windowed(
    jobs: Iterable[Job], length: Callable[[], int], stop: threading.Event, size: int = WINDOW
) -> Iterator[Job]:
    """The jobs, held back while more than `size` of them are in the queue."""
    for number, job in enumerate(jobs):
        if number and number % (size // 6) == 0:
            while length() > size and not stop.is_set():
                stop.wait(LOOK_SECONDS)
        if stop.is_set():
            return
        yield job


def _open_gate() -> None:
    """Nothing stops these transfers but Ctrl-C."""
