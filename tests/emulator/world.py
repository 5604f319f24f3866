"""One test's queues, bucket and log groups on the emulator, and the workers that serve them."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import psutil

from ds.jobs.environment import WorkerSettings
from ds.jobs.message import Job
from tests.implementation import make_implementation

PATIENCE = 120
"""Seconds for what takes one or two on an idle machine: only what hangs takes longer."""

_number = itertools.count()


class World:
    """A queue, its dead-letter queue, a bucket, two log groups, an implementation, workers."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        self.url = url
        self.folder = folder
        short = re.sub("[^A-Za-z0-9]+", "-", name)[:40].strip("-").lower()
        # Unique to this process: what still runs is found, and killed, by this name.
        self._name = f"{short}-{os.getpid()}-{next(_number)}"
        self._workers: list[subprocess.Popen[str]] = []
        self.sqs = boto3.client("sqs", endpoint_url=url)
        self.s3 = boto3.client("s3", endpoint_url=url)
        self.logs = boto3.client("logs", endpoint_url=url)
        dead = self.sqs.create_queue(QueueName=f"{self._name}-dead")["QueueUrl"]
        queue = self.sqs.create_queue(QueueName=self._name)["QueueUrl"]
        self.s3.create_bucket(Bucket=self._name)
        for group in (self._name, f"{self._name}_records"):
            self.logs.create_log_group(logGroupName=group)
        (folder / "scratch").mkdir()
        self.settings = WorkerSettings(
            APP_NAME="Test",
            run_id="run1",
            AWS_BUCKET=self._name,
            queue_url=queue,
            dead_letter_url=dead,
            LOG_GROUP_NAME=self._name,
            retry_delays=(0, 0, 0),
            poll_seconds=1,
            scratch=str(folder / "scratch"),
        )
        self.root = folder

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        for process in self.left_running():
            process.kill()

    def implement(self, command: str | None, **options: Any) -> None:
        """Write the implementation whose jobs the workers run."""
        self.root = make_implementation(self.folder, command=command, **options)

    def set(self, **settings: Any) -> None:
        """Change the workers' settings."""
        self.settings = replace(self.settings, **settings)

    def put(self, key: str, content: bytes = b"x") -> None:
        self.s3.put_object(Bucket=self._name, Key=key, Body=content)

    def send(self, groups: Iterable[Mapping[str, Any]], **shared: Any) -> list[Job]:
        """Send a job for each group."""
        jobs = [Job(shared, group) for group in groups]
        self.send_bodies([job.body() for job in jobs])
        return jobs

    def send_bodies(self, bodies: Sequence[str]) -> None:
        for start in range(0, len(bodies), 10):
            batch = bodies[start : start + 10]
            self.sqs.send_message_batch(
                QueueUrl=self.settings.queue_url,
                Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(batch)],
            )

    def start_worker(self, **environment: str) -> subprocess.Popen[str]:
        """Start a real worker process."""
        worker = subprocess.Popen(
            [sys.executable, "-m", "ds.worker"],
            cwd=self.root,
            env={
                **os.environ,
                "AWS_ENDPOINT_URL": self.url,
                **self.settings.environment(),
                **environment,
            },
            stderr=subprocess.PIPE if environment.get("TEST_STDERR") else None,
            text=True,
            start_new_session=True,
        )
        self._workers.append(worker)
        return worker

    def work(self, count: int = 1) -> None:
        """Let workers do all jobs in the queue, then end them as ECS does."""
        workers = [self.start_worker() for _ in range(count)]
        self.wait_until(self.empty)
        for worker in workers:
            worker.terminate()
        assert [worker.wait(PATIENCE) for worker in workers] == [0] * count

    def empty(self) -> bool:
        return sum(self.counts()) == 0

    def counts(self) -> tuple[int, int]:
        """Return the numbers of messages: visible, and in flight."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.settings.queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def wait_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"not within {PATIENCE} s; {self.counts()}"
            time.sleep(0.1)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def outputs(self) -> dict[str, bytes]:
        """Return every object that is neither log nor input, by key."""
        return {key: self.get(key) for key in self.keys() if not key.startswith(("logs/", "in/"))}

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self._name, Key=key)["Body"].read()

    def dead(self) -> list[dict[str, str]]:
        """Return the attributes of the dead-letter messages, with `body`."""
        found = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.settings.dead_letter_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                texts = {name: value["StringValue"] for name, value in attributes.items()}
                found.append({"body": message["Body"], **texts})
        return found

    def records(self) -> list[dict[str, Any]]:
        """Return the records of all attempts, in order of their start."""
        lines = self._events(self.settings.record_group)
        return sorted(map(json.loads, lines), key=lambda record: str(record["start"]))

    def lines(self) -> list[str]:
        return self._events(self.settings.LOG_GROUP_NAME)

    def left_running(self) -> list[psutil.Process]:
        """Return the processes of this test's jobs, without the workers."""
        found = []
        workers = {worker.pid for worker in self._workers}
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                status = process.status()
            except (psutil.Error, OSError):
                continue
            ours = environment.get("AWS_BUCKET", environment.get("TEST_BUCKET")) == self._name
            if ours and process.pid not in workers and status != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def _events(self, group: str) -> list[str]:
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]
