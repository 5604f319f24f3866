"""One submission: send the unsent jobs of a job file."""

from __future__ import annotations

import contextlib
import math
import time
from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator

from rich.console import Console

from ds.cloud.client import Aws
from ds.cloud.errors import CommandError, Interrupted
from ds.cloud.names import APP_TAG, SUBMITTING_TAG, is_ours, names
from ds.cloud.send import BATCH_MESSAGES, send
from ds.cloud.state import Queue, read_queue
from ds.control.files.job_file import JobFile
from ds.control.files.project import Project
from ds.control.progress import Progress
from ds.control.submission.journal import FOLDER, Journal
from ds.jobs.message import Job

THREADS = 16

TAG_SECONDS = 60
"""The time between two updates of the queue's tag during a submission."""


class Unsent:
    """The unsent jobs, and the group number of each.

    Args:
        jobs: all jobs, group 1 first.
        accepted: ranges of groups that are already in the queue.
        done: groups to leave out, because their outputs are complete.

    Attributes:
        left_out: the number of groups in `done` that were left out.
    """

    def __init__(
        self, jobs: Iterable[Job], accepted: list[tuple[int, int]], done: Container[int]
    ) -> None:
        self._jobs = jobs
        self._accepted = accepted
        self._done = done
        self._numbers = array("L")
        self.left_out = 0

    def __iter__(self) -> Iterator[Job]:
        starts = [first for first, _ in self._accepted]
        for number, job in enumerate(self._jobs, 1):
            place = bisect_right(starts, number) - 1
            if place >= 0 and number <= self._accepted[place][1]:
                continue
            if number in self._done:
                self.left_out += 1
                continue
            self._numbers.append(number)
            yield job

    def groups(self, first: int, count: int) -> tuple[int, int]:
        """Return the first and the last group of a batch, given its position among the jobs."""
        return self._numbers[first], self._numbers[first + count - 1]


class Submission:
    """One submission to one queue; the groups in `done` are left out.

    Raises:
        CommandError: the queue does not exist, or belongs to another application.
    """

    def __init__(
        self, project: Project, jobs: JobFile, done: Container[int], aws: Aws, console: Console
    ) -> None:
        self._jobs = jobs
        self._done = done
        self._console = console
        self._sqs = aws.client("sqs")
        self._app = project.settings.APP_NAME
        self._name = names(project.settings).queue
        self._queue = _queue(aws, self._name, self._app)
        self._path = project.root / FOLDER / f"{jobs.digest[:16]}.jsonl"
        self._tag_key = f"{SUBMITTING_TAG}{jobs.digest[:16]}"
        self._tagged = -math.inf

    def run(self, again: bool) -> None:
        """Send the unsent groups, or all groups if `again` is true.

        Raises:
            CommandError: all groups are already sent, or SQS refused messages permanently.
            Interrupted: the user pressed Ctrl-C.
        """
        jobs, name = self._jobs, self._jobs.path.name
        created = self._queue.attributes.get("CreatedTimestamp", "")
        journal = Journal(self._path, jobs.digest, jobs.count, self._queue.url, created, again)
        with contextlib.closing(journal):
            if journal.finished:
                raise CommandError(
                    f"{name}: all groups were already sent to this queue ({journal.finished}); "
                    "use --again to send them a second time"
                )
            if journal.resumed:
                self._print(
                    f"{name}: continuing after {journal.accepted_count:,} of {jobs.count:,} "
                    f"groups. Up to {THREADS * BATCH_MESSAGES} jobs that were in flight at the "
                    "interruption may run twice; their outputs go to the same place."
                )
            self._send(journal)

    def _send(self, journal: Journal) -> None:
        left = Unsent(self._jobs.jobs(), journal.accepted, self._done)
        before = journal.accepted_count
        began = time.monotonic()
        sent = 0
        self._tag()
        try:
            with Progress(self._console, self._jobs.count, before) as progress:

                def on_sent(count: int) -> None:
                    nonlocal sent
                    sent = count
                    seconds = time.monotonic() - began
                    note = f"{sent / seconds:,.0f} per second" if seconds > 1 else ""
                    progress.show(before + sent + left.left_out, note)
                    self._tag()

                def on_batch(first: int, count: int) -> None:
                    journal.add(*left.groups(first, count))

                send(left, self._queue.url, self._sqs, THREADS, on_sent, on_batch=on_batch)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                self._untag()
            raise Interrupted(
                f"Interrupted: at least {sent:,} jobs are in queue {self._name}, which keeps them "
                f"for 14 days; {FOLDER}/ records them. Run the same command again to send the rest."
            ) from None
        # Untag before finish(): after it, the same command would not remove a remaining tag.
        self._untag()
        journal.finish(_now())
        seconds = time.monotonic() - began
        done = f" {left.left_out:,} are done and were skipped." if left.left_out else ""
        self._print(f"{sent:,} jobs sent to queue {self._name} in {seconds:.1f} s.{done}")

    def _tag(self) -> None:
        """Tag the queue, at most every TAG_SECONDS, so that it is not considered empty."""
        if time.monotonic() - self._tagged > TAG_SECONDS:
            self._tagged = time.monotonic()
            tags = {APP_TAG: self._app, self._tag_key: _now()}
            self._sqs.tag_queue(QueueUrl=self._queue.url, Tags=tags)

    def _untag(self) -> None:
        self._sqs.untag_queue(QueueUrl=self._queue.url, TagKeys=[self._tag_key])

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _queue(aws: Aws, name: str, app: str) -> Queue:
    queue = read_queue(aws, name)
    if queue is None:
        raise CommandError(
            f"queue {name}: does not exist in {aws.region}; run python run.py setup first"
        )
    if not is_ours(queue.tags, app):
        raise CommandError(
            f"queue {name}: does not belong to {app} (it lacks the tag {APP_TAG}={app}); set "
            "another APP_NAME in config.py, then run python run.py setup"
        )
    return queue


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
