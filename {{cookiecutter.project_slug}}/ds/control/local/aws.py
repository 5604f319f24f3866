"""The resources of a local run: its queues, buckets and log groups in the emulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from ds.cloud.errors import CommandError
from ds.cloud.names import names
from ds.cloud.plan_setup import redrive_policy
from ds.control.files.project import Project
from ds.jobs.environment import WorkerSettings
from ds.jobs.resolve import ResolvedJob
from ds.worker.s3 import S3Object, Storage, TransferFailed

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient


class LocalAws:
    """The resources of a run, and file transfers to and from its buckets."""

    def __init__(self, project: Project, resolved_jobs: Iterable[ResolvedJob], run_id: str) -> None:
        settings = project.settings
        named = names(settings)
        config = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32)
        self.sqs: SQSClient = boto3.client("sqs", config=config)
        self.logs: CloudWatchLogsClient = boto3.client("logs", config=config)
        s3: S3Client = boto3.client("s3", config=config)
        self._storage = Storage(s3)
        dead_letter_url = self.sqs.create_queue(QueueName=named.dead_letter_queue)["QueueUrl"]
        dead_letter_arn = self.sqs.get_queue_attributes(
            QueueUrl=dead_letter_url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        queue_url = self.sqs.create_queue(
            QueueName=named.queue,
            Attributes={"RedrivePolicy": redrive_policy(dead_letter_arn, settings.JOB_RETRIES)},
        )["QueueUrl"]
        self.settings = replace(
            WorkerSettings.of(settings, run_id, queue_url, dead_letter_url),
            # The user is waiting: failed jobs return at once, and workers exit at once.
            retry_delays=(1, 1, 1),
            poll_seconds=1,
        )
        buckets = {item.bucket for job in resolved_jobs for item in job.inputs}
        for bucket in buckets | {settings.AWS_BUCKET}:
            s3.create_bucket(Bucket=bucket)
        for group in (settings.LOG_GROUP_NAME, settings.record_group):
            self.logs.create_log_group(logGroupName=group)

    def listing(self, prefix: str) -> list[S3Object]:
        """List the objects of AWS_BUCKET with a prefix."""
        return self._storage.listing(self.settings.AWS_BUCKET, prefix)

    def upload(self, bucket: str, files: Mapping[str, Path]) -> None:
        """Upload files to a bucket; `files` maps keys to files."""
        uploads = [(path, key) for key, path in files.items()]
        try:
            self._storage.upload(bucket, uploads, _never_stop)
        except TransferFailed as error:
            raise CommandError(
                f"--data: an input cannot be read: {error}; make it readable, then run the same "
                "command again"
            ) from None

    def download(self, objects: Sequence[S3Object], folder: Path) -> None:
        """Download objects of AWS_BUCKET into a folder, with their keys as paths."""
        try:
            self._storage.fetch([(item, folder / item.key) for item in objects], _never_stop)
        except (OSError, TransferFailed) as error:
            raise CommandError(
                f"{folder}: the results cannot be written: {error}; choose another --output"
            ) from None


def _never_stop() -> None:
    """Do nothing, because only Ctrl-C stops these transfers."""
