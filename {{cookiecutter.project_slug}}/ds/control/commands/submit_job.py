"""`submitJob`: every group of a job file becomes a message, once, also after an interruption.

A journal in the implementation's folder says which groups SQS has taken: so what was interrupted
goes on where it was, and what is finished is not sent again by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from ds.cloud.client import Aws
from ds.cloud.errors import CommandError, Interrupted
from ds.cloud.names import APP_TAG, SUBMITTING_TAG, is_ours, names
from ds.cloud.send import BATCH_MESSAGES, send
from ds.cloud.state import Queue, read_queue
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project
from ds.jobs.message import Job
from ds.jobs.outputs import OutputFile, OutputRule

if TYPE_CHECKING:
    from rich.progress import Progress

FOLDER = ".submissions"
"""Of the journals, in the implementation."""

THREADS = 16

SHOWN = 3
"""Messages that a dry run prints."""

MARK_SECONDS = 60
"""So often the queue's tag says that the submission goes on."""

FEW_LISTINGS = 20
"""So many prefixes of the bucket are listed one by one, however few jobs there are."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    dry_run: bool = False
    again: bool = False
    skip_done: bool = False


@dataclass(frozen=True)
class QueueIdentity:
    """A queue that can be told from one of the same name made later."""

    url: str
    created: str


class Journal:
    """Which groups of one job file are in one queue.

    A file of JSON lines: what is sent where, then the first and last group of each batch that SQS
    has taken, in the order of their answers; at the end, that all are sent. A line that was being
    written when the process was killed is no JSON, and is not counted.

    Attributes:
        taken: groups that an earlier process sent, as ranges that do not overlap.
        finished: when all was sent; "" if it was not.
        begun: whether an earlier process had begun.
    """

    def __init__(self, path: Path, digest: str, count: int, target: QueueIdentity) -> None:
        self._path = path
        self._head = {
            "jobs": digest,
            "count": count,
            "queue": target.url,
            "created": target.created,
        }
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self.taken: list[tuple[int, int]] = []
        self.finished = ""
        self.begun = False

    def open(self, again: bool) -> None:
        """Read what is there, and get ready to write.

        Args:
            again: forget what is there.

        Raises:
            Stopped: another process is sending this.
        """
        self._path.parent.mkdir(exist_ok=True)
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise CommandError(
                "Another process is sending this job file; wait for its end"
            ) from None
        self._file = file
        file.seek(0)
        lines = list(_json_lines(file))
        if again or not lines or lines[0] != self._head:
            file.truncate(0)
            self._write(self._head)
            return
        self.begun = True
        self.taken = merged((line[0], line[1]) for line in lines[1:] if isinstance(line, list))
        last = lines[-1]
        self.finished = last["finished"] if isinstance(last, dict) and "finished" in last else ""
        file.seek(0, os.SEEK_END)
        # After a line that was not ended.
        file.write("\n")

    def add(self, first: int, last: int) -> None:
        """SQS has taken these groups, and those between that are to be sent at all."""
        with self._lock:
            self._write([first, last])

    def finish(self, when: str) -> None:
        """All is sent."""
        self._write({"finished": when})

    def close(self) -> None:
        """The last call."""
        if self._file:
            self._file.close()

    def _write(self, line: object) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        # For a process that is killed; a machine that loses its power may repeat more.
        self._file.flush()


def _json_lines(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of numbers, both ends included, in order and as few as possible."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


class Unsent:
    """The jobs that are left to send; their group numbers are found by their place.

    Args:
        jobs: all jobs, group 1 first.
        taken: ranges of groups that are sent already.
        done: whether the outputs of a group are complete.
    """

    def __init__(
        self, jobs: Iterable[Job], taken: list[tuple[int, int]], done: Callable[[int], bool]
    ) -> None:
        self._jobs = jobs
        self._taken = taken
        self._done = done
        self._numbers = array("L")
        self.done = 0

    def __iter__(self) -> Iterator[Job]:
        starts = [first for first, _ in self._taken]
        for number, job in enumerate(self._jobs, 1):
            place = bisect_right(starts, number) - 1
            if place >= 0 and number <= self._taken[place][1]:
                continue
            if self._done(number):
                self.done += 1
                continue
            self._numbers.append(number)
            yield job

    def groups(self, first: int, count: int) -> tuple[int, int]:
        """The first and the last group of a batch, by its place among the jobs."""
        return self._numbers[first], self._numbers[first + count - 1]


def prefixes_to_list(prefixes: Iterable[str], count: int) -> list[str]:
    """What to list so that all prefixes are seen in few requests.

    The deepest folders of which there are at most a hundredth as many as jobs (or FEW_LISTINGS):
    the whole bucket, "", only where nothing less has all of them.

    Args:
        prefixes: output prefixes, read once.
        count: how many there are.
    """
    most = max(FEW_LISTINGS, count // 100)
    levels: list[set[str]] = []
    for prefix in prefixes:
        parts = prefix.split("/")
        while len(levels) < len(parts):
            # A shorter prefix has no such level: it is listed itself.
            levels.append(set(levels[-1]) if levels else set())
        for depth in range(len(levels)):
            if len(levels[depth]) <= most:
                levels[depth].add("/".join(parts[: depth + 1]) + "/")
    found = [level for level in levels if len(level) <= most]
    return sorted(found[-1]) if found else [""]


class Outputs:
    """Which groups' outputs are complete: the bucket is listed in bulk.

    Prefixes and what lies in them are kept in a temporary database on disk, so that millions of
    them need little memory.
    """

    def __init__(self, rule: OutputRule) -> None:
        self._rule = rule
        self._database = sqlite3.connect("")
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
            "CREATE TABLE job (number INTEGER PRIMARY KEY, prefix TEXT);"
            "CREATE TABLE output (prefix TEXT PRIMARY KEY, files INTEGER) WITHOUT ROWID;"
        )

    def look(self, prefixes: Iterable[str], count: int, s3: Any, bucket: str) -> None:
        """List the bucket.

        Args:
            prefixes: the output prefix of each job, group 1 first.
            count: how many jobs.
            s3: a client.
            bucket: AWS_BUCKET.
        """
        self._database.executemany("INSERT INTO job VALUES (?, ?)", enumerate(prefixes, 1))
        self._database.execute("INSERT OR IGNORE INTO output SELECT prefix, 0 FROM job")
        every = (row[0] for row in self._database.execute("SELECT prefix FROM output"))
        for root in prefixes_to_list(every, count):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root)
            for page in pages:
                for entry in page.get("Contents", []):
                    self._count(entry["Key"], entry["Size"])

    def is_done(self, number: int) -> bool:
        """Whether the outputs of a group are complete."""
        query = "SELECT files FROM output JOIN job USING (prefix) WHERE number = ?"
        (files,) = self._database.execute(query, (number,)).fetchone()
        return 0 < self._rule.expected_number_files <= int(files)

    def close(self) -> None:
        """The last call."""
        self._database.close()

    def _count(self, key: str, size: int) -> None:
        if key.endswith("/"):  # what consoles make for an empty folder
            return
        folder = key.rpartition("/")[0]
        while folder:
            if self._rule.counts(OutputFile(key[len(folder) + 1 :], size)):
                self._database.execute(
                    "UPDATE output SET files = files + 1 WHERE prefix = ?", (folder,)
                )
            folder = folder.rpartition("/")[0]


def submit_job(project: Project, path: Path, options: Options, console: Console) -> int:
    """Send the jobs of a job file; returns how many were sent.

    Args:
        project: the implementation.
        path: the job file.
        options: what was asked for.
        console: for people.

    Raises:
        BadInput: settings or job file cannot be used.
        Stopped: there is no queue, or all is sent already.
        Interrupted: by Ctrl-C.
        botocore's errors: AWS refused.
    """
    settings = project.settings
    jobs = read_job_file(path, project.definition, settings.program)
    outputs = None
    aws = None
    if not options.dry_run or options.skip_done:
        aws = Aws(settings)
    try:
        if options.skip_done and aws:
            outputs = _outputs(project, jobs, aws)
        if options.dry_run or aws is None:
            _show(jobs, outputs, settings.APP_NAME, console)
            return 0
        return _Submission(project, jobs, outputs, options, aws, console).go()
    finally:
        if outputs:
            outputs.close()


def _outputs(project: Project, jobs: JobFile, aws: Aws) -> Outputs:
    settings = project.settings
    outputs = Outputs(settings.output_rule)
    prefixes = (project.resolve(job).output_prefix for job in jobs.jobs())
    outputs.look(prefixes, jobs.count, aws.client("s3"), settings.AWS_BUCKET)
    return outputs


def _show(jobs: JobFile, outputs: Outputs | None, queue: str, console: Console) -> None:
    """The dry run: the first messages and the count."""
    left = Unsent(jobs.jobs(), [], outputs.is_done if outputs else lambda _: False)
    count = 0
    for count, job in enumerate(left, 1):
        if count <= SHOWN:
            console.print(job.body(), markup=False, soft_wrap=True)
    if count > SHOWN:
        console.print(f"... and {count - SHOWN:,} more")
    done = f" ({left.done:,} are done and left out)" if outputs else ""
    console.print(
        f"{count:,} job{'s' * (count != 1)} would go to queue {queue}{done}; nothing was sent.",
        soft_wrap=True,
    )


class _Submission:
    """One submission to one queue."""

    def __init__(
        self,
        project: Project,
        jobs: JobFile,
        outputs: Outputs | None,
        options: Options,
        aws: Aws,
        console: Console,
    ) -> None:
        self._jobs = jobs
        self._options = options
        self._console = console
        self._sqs = aws.client("sqs")
        self._app = project.settings.APP_NAME
        self._name = names(project.settings).queue
        self._queue = _queue(aws, self._name, self._app)
        target = QueueIdentity(self._queue.url, self._queue.attributes.get("CreatedTimestamp", ""))
        file = project.root / FOLDER / f"{jobs.digest[:16]}.jsonl"
        self._journal = Journal(file, jobs.digest, jobs.count, target)
        self._is_done = outputs.is_done if outputs else lambda _: False
        self._marked = 0.0

    def go(self) -> int:
        """Send what is left."""
        with contextlib.closing(self._journal):
            self._journal.open(self._options.again)
            name, journal = self._jobs.path.name, self._journal
            if journal.finished:
                raise CommandError(
                    f"{name} was sent to this queue already, all of it, {journal.finished}; "
                    "with --again its jobs are sent a second time"
                )
            if journal.begun:
                self._say(
                    f"{name} was being sent to this queue: this goes on after "
                    f"{sum(last - first + 1 for first, last in journal.taken):,} of "
                    f"{self._jobs.count:,} groups. At most {THREADS * BATCH_MESSAGES} jobs, those "
                    "in flight when it was interrupted, may run twice; their outputs go to the "
                    "same place."
                )
            return self._send()

    def _send(self) -> int:
        left = Unsent(self._jobs.jobs(), self._journal.taken, self._is_done)
        before = sum(last - first + 1 for first, last in self._journal.taken)
        began = time.monotonic()
        sent = 0
        self._mark()
        try:
            with Bar(self._console, self._jobs.count, before) as bar:

                def on_sent(count: int) -> None:
                    nonlocal sent
                    sent = count
                    bar.show(count, before + count + left.done)
                    if time.monotonic() - self._marked > MARK_SECONDS:
                        self._mark()

                def on_batch(first: int, count: int) -> None:
                    self._journal.add(*left.groups(first, count))

                send(left, self._queue.url, self._sqs, THREADS, on_sent, on_batch=on_batch)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                self._unmark()
            raise Interrupted(
                f"Interrupted: at least {sent:,} jobs are in queue {self._name}. The same command "
                "goes on from there; what is sent is noted in "
                f"{FOLDER}/, and stays in the queue for 14 days."
            ) from None
        # In this order: else a mark that was not taken off would stay, as all is sent.
        self._unmark()
        self._journal.finish(_now())
        seconds = time.monotonic() - began
        done = f" {left.done:,} are done and left out." if left.done else ""
        self._say(f"{sent:,} jobs sent to queue {self._name} in {seconds:.1f} s.{done}")
        return sent

    def _mark(self) -> None:
        """Say on the queue itself that a submission is open: nobody may take it for empty."""
        self._marked = time.monotonic()
        marks = {APP_TAG: self._app, self._key: _now()}
        self._sqs.tag_queue(QueueUrl=self._queue.url, Tags=marks)

    def _unmark(self) -> None:
        self._sqs.untag_queue(QueueUrl=self._queue.url, TagKeys=[self._key])

    @property
    def _key(self) -> str:
        return f"{SUBMITTING_TAG}{self._jobs.digest[:16]}"

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _queue(aws: Aws, name: str, app: str) -> Queue:
    queue = read_queue(aws, name)
    if queue is None:
        raise CommandError(f"There is no queue {name} in {aws.region}; first: python run.py setup")
    if not is_ours(queue.tags, app):
        raise CommandError(
            f"The queue {name} is not {app}'s (it lacks the tag {APP_TAG}={app}), so nothing is "
            "sent; write another APP_NAME in config.py, then python run.py setup"
        )
    return queue


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Bar:
    """How far it is, where a person looks on."""

    def __init__(self, console: Console, jobs: int, settled: int = 0) -> None:
        self._progress: Progress | None = None
        self._began = time.monotonic()
        if console.is_terminal:
            # Here, because nobody else waits for it to load.
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                BarColumn(),
                TextColumn("{task.completed:,} of {task.total:,} jobs{task.fields[rate]},"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=console,
                transient=True,
            )
            self._task = self._progress.add_task("jobs", total=jobs, completed=settled, rate="")

    def __enter__(self) -> Bar:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, sent: int, settled: int) -> None:
        """So many are sent now; so many need no sending any more, those of before with them."""
        if self._progress:
            seconds = time.monotonic() - self._began
            rate = f", {sent / seconds:,.0f} a second" if seconds > 1 else ""
            self._progress.update(self._task, completed=settled, rate=rate)
