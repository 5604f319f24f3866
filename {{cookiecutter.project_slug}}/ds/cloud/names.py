"""Names and tags of a run's resources on AWS."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ds.jobs.settings import Settings

APP_TAG = "ds:app"
RUN_TAG = "ds:run"
"""Every resource of a run has these two tags. Resources without them are never changed."""

SUBMITTING_TAG = "ds:submitting:"
"""The queue has one tag with this prefix for each submission in progress. Its value is the time
(UTC) at which that submission last reported progress."""

ECR_IMAGE = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?)"
    r"/(?P<name>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>.+))?$"
)
"""The name of an image in a private registry of Amazon ECR."""


@dataclass(frozen=True)
class Names:
    """Names of one run's resources; the names of its log groups are settings."""

    queue: str
    dead_letter_queue: str
    cluster: str
    service: str
    family: str


def names(settings: Settings) -> Names:
    """Return the names that follow from the settings."""
    app = settings.APP_NAME
    return Names(app, f"{app}-dead", cluster=app, service=app, family=app)


def new_run_id(now: float) -> str:
    """Return the id of a run that begins at `now` (Unix time): this time in UTC."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def run_tags(app: str, run_id: str) -> dict[str, str]:
    """Return the tags of every resource of a run."""
    return {APP_TAG: app, RUN_TAG: run_id}


def is_ours(tags: Mapping[str, str], app: str) -> bool:
    """Return whether a resource with these tags belongs to APP_NAME, in any run."""
    return tags.get(APP_TAG) == app
