"""What a local run has of AWS: its queues, buckets and log groups in the emulator."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from ds.cloud.errors import CommandError
from ds.cloud.names import REDRIVES
from ds.cloud.names import names as names_of
from ds.control.files.project import Project
from ds.jobs.environment import WorkerSettings
from ds.jobs.message import InvalidMessage, decode
from ds.jobs.resolve import ResolvedJob
from ds.worker.s3 import S3Object, Storage, TransferFailed, Upload

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient


class LocalAws:
    """All of it.

    Attributes:
        sqs: a client.
        settings: what the run's workers need.
    """

    def __init__(self, project: Project, resolved_jobs: Iterable[ResolvedJob], run_id: str) -> None:
        settings = project.settings
        config = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32)
        self.sqs: SQSClient = boto3.client("sqs", config=config)
        self._s3: S3Client = boto3.client("s3", config=config)
        self._logs: CloudWatchLogsClient = boto3.client("logs", config=config)
        self._storage = Storage(self._s3)
        named = names_of(settings)
        dead_letter_url = self._queue(named.dead_letter_queue, {})
        arn = self.sqs.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": settings.JOB_RETRIES + REDRIVES,
        }
        self.settings = replace(
            WorkerSettings.of(
                settings,
                run_id,
                self._queue(named.queue, {"RedrivePolicy": json.dumps(redrive)}),
                dead_letter_url,
            ),
            # A person waits: failed jobs come back at once, and workers end at once.
            retry_delays=(1, 1, 1),
            poll_seconds=1,
        )
        buckets = {settings.AWS_BUCKET, *(item.bucket for p in resolved_jobs for item in p.inputs)}
        for bucket in buckets:
            self._s3.create_bucket(Bucket=bucket)
        for group in (self.settings.LOG_GROUP_NAME, self.settings.record_group):
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
        return self._storage.listing(self.settings.AWS_BUCKET, prefix)

    def upload(self, bucket: str, files: Mapping[str, Path]) -> None:
        """Put files into a bucket, under their keys."""
        uploads = [Upload(path, key) for key, path in files.items()]
        try:
            self._storage.upload(bucket, uploads, _never_stop)
        except TransferFailed as error:
            raise CommandError(f"An input cannot be read: {error}") from None

    def download(self, objects: Sequence[S3Object], folder: Path) -> None:
        """Bring objects into a folder, under their keys."""
        try:
            self._storage.fetch([(item, folder / item.key) for item in objects], _never_stop)
        except (OSError, TransferFailed) as error:
            raise CommandError(f"The results cannot be written to {folder}: {error}") from None

    def _queue(self, name: str, attributes: dict[str, str]) -> str:
        answer = self.sqs.create_queue(QueueName=name, Attributes=attributes)  # type: ignore[arg-type]
        return answer["QueueUrl"]


def _never_stop() -> None:
    """Nothing stops these transfers but Ctrl-C."""
