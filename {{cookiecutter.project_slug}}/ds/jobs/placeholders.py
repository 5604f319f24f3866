"""Values that the owner must still provide: placeholders of the template or of example files."""

from __future__ import annotations

import re

from ds.jobs.problems import Problem
from ds.jobs.settings import Settings

NO_IMAGE = Problem(
    "config.py, DOCKERHUB_TAG", "has no value", "write the name of the image, such as 'me/x:1'"
)

_REGISTRY = "user/"

_FORMS = re.compile(
    r"(^|[-_ /.:])your[-_]|^user/|^bucket-name$|^(subnet-W+|sg-Z+)$|X{6,}|:some-region:"
)


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder, of this template or of Distributed-Something."""
    return bool(_FORMS.search(value))


def placeholder_problem(where: str, value: str) -> Problem | None:
    """Report a placeholder; return None for any other value."""
    if not is_placeholder(value):
        return None
    if value.startswith(_REGISTRY):
        value, hint = _REGISTRY, "replace it with your registry account"
    else:
        hint = "replace it with your own value"
    return Problem(where, f"still has the placeholder {value!r}", hint)


def image_problem(settings: Settings) -> Problem | None:
    """Report DOCKERHUB_TAG if it is empty or a placeholder."""
    if not settings.DOCKERHUB_TAG:
        return NO_IMAGE
    return placeholder_problem("config.py, DOCKERHUB_TAG", settings.DOCKERHUB_TAG)


def setting_problems(settings: Settings) -> list[Problem]:
    """Report AWS_BUCKET and DOCKERHUB_TAG if the owner has not set them yet."""
    bucket = placeholder_problem("config.py, AWS_BUCKET", settings.AWS_BUCKET)
    return [problem for problem in (bucket, image_problem(settings)) if problem]
