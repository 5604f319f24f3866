"""What a run's resources are called and tagged, and what its workers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ds.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from ds.control.files.config_file import Settings

APP_TAG = "ds:app"
RUN_TAG = "ds:run"
"""Everything a run makes carries these two; nothing without them is touched."""

SUBMITTING_TAG = "ds:submitting:"
"""The queue has a tag of this beginning for each submission that is open; its value is the time
(UTC) when that submission last said so."""

REDRIVES = 20
"""Attempts beyond JOB_RETRIES that died with their workers before SQS itself gives a job up."""


@dataclass(frozen=True)
class Names:
    """Names of one run's resources.

    Attributes:
        app: APP_NAME.
        log_group: lines go here, records to `record_group`.
        family: of the task definition.
    """

    app: str
    queue: str
    dead_letter_queue: str
    log_group: str
    record_group: str
    cluster: str
    service: str
    family: str


def names(settings: Settings) -> Names:
    """The names that follow from the settings."""
    app = settings.APP_NAME
    return Names(
        app=app,
        queue=app,
        dead_letter_queue=f"{app}-dead",
        log_group=settings.LOG_GROUP_NAME,
        record_group=f"{settings.LOG_GROUP_NAME}_records",
        cluster=app,
        service=app,
        family=app,
    )


def tags(app: str, run_id: str) -> dict[str, str]:
    """The tags of all that belongs to a run."""
    return {APP_TAG: app, RUN_TAG: run_id}


def is_ours(found: Mapping[str, str], app: str) -> bool:
    """Whether tags say that a resource belongs to this APP_NAME, whatever the run."""
    return found.get(APP_TAG) == app


def worker_settings(
    settings: Settings, run_id: str, queue_url: str, dead_letter_url: str
) -> WorkerSettings:
    """What the workers of a run are told, here and on AWS."""
    return WorkerSettings(
        app_name=settings.APP_NAME,
        run_id=run_id,
        bucket=settings.AWS_BUCKET,
        queue_url=queue_url,
        dead_letter_url=dead_letter_url,
        log_group=settings.LOG_GROUP_NAME,
        slots=settings.DOCKER_CORES,
        cpus_per_job=settings.CPUS_PER_JOB,
        job_retries=settings.JOB_RETRIES,
        job_timeout_minutes=settings.JOB_TIMEOUT_MINUTES,
        check_if_done=settings.CHECK_IF_DONE_BOOL,
        expected_number_files=settings.EXPECTED_NUMBER_FILES,
        min_file_size_bytes=settings.MIN_FILE_SIZE_BYTES,
        necessary_string=settings.NECESSARY_STRING,
        working_folder=settings.WORKING_FOLDER,
        config=settings.program,
    )
