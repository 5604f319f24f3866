"""What a run's resources are called and tagged, and what its workers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ds.jobs.settings import Settings

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
        record_group=settings.record_group,
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
