"""`setup`: what a run needs before its jobs: queues, log groups, cluster, task definition, service.

Running it again changes only what differs, and completes what an interruption left.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ds.cloud.call import Call, carry_out
from ds.cloud.client import Aws
from ds.cloud.errors import CommandError
from ds.cloud.names import names, new_run_id
from ds.cloud.plan_setup import plan, problems
from ds.cloud.read import MessageCounts
from ds.cloud.state import read_setup_state
from ds.control.checks.rules import is_placeholder
from ds.jobs.problems import BadInput, Problem
from ds.jobs.settings import Settings


def setup(
    settings: Settings, aws: Aws, report: Callable[[str], None], dry_run: bool = False
) -> list[Call]:
    """Create or update the run's resources, and return the calls that were (or would be) sent.

    Args:
        settings: of config.py.
        aws: the account.
        report: receives one line at a time.
        dry_run: report the calls, and send none.

    Raises:
        BadInput: config.py still has placeholders.
        CommandError: a resource belongs to another application, or roles do not exist.
        Interrupted: by Ctrl-C.
        ClientError, BotoCoreError: AWS refused a request, or cannot be reached.
    """
    if wrong := placeholders(settings):
        raise BadInput(wrong)
    state = read_setup_state(aws, settings)
    if wrong := problems(settings, state):
        raise CommandError("\n".join(map(str, wrong)))
    queue = state.queues[names(settings).queue]
    if queue and (count := MessageCounts.of(queue.attributes).total):
        report(f"Queue {names(settings).queue} already contains {count} messages; they are kept.")
    calls = plan(settings, state, new_run_id(time.time()))
    if not calls:
        report("Everything already matches config.py; nothing to do.")
    free = "Nothing created so far costs money. "
    carry_out(aws.client, calls, report, dry_run=dry_run, reassurance=free)
    return calls


def placeholders(settings: Settings) -> list[Problem]:
    """Report the settings that a run needs, and that still have the template's value."""
    found = []
    bucket, image = settings.AWS_BUCKET, settings.DOCKERHUB_TAG
    if is_placeholder(bucket):
        message = f"AWS_BUCKET still has the placeholder {bucket!r}"
        found.append(Problem("config.py", message, "replace it with your bucket"))
    if not image:
        message = "DOCKERHUB_TAG has no value"
        found.append(Problem("config.py", message, "set it to the name of your image"))
    elif is_placeholder(image):
        shown = "user/" if image.startswith("user/") else image
        message = f"DOCKERHUB_TAG still has the placeholder {shown!r}"
        found.append(Problem("config.py", message, "replace it with your registry account"))
    return found
