"""`setup`: create a run's queues, log groups, cluster, task definition and service.

Running it again updates only what differs, and completes an interrupted setup.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from ds.cloud.call import Call, carry_out
from ds.cloud.client import Aws, reporting_errors
from ds.cloud.errors import CommandError
from ds.cloud.names import names, new_run_id
from ds.cloud.plan_setup import plan, problems
from ds.cloud.read import MessageCounts
from ds.cloud.state import read_setup_state
from ds.control.commands.common import open_project
from ds.jobs.placeholders import setting_problems
from ds.jobs.problems import BadInput
from ds.jobs.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the steps; change nothing.")
@click.pass_obj
def command(root: Path, dry_run: bool) -> int:
    """Create what a run needs on AWS; nothing is started.

    This is a cluster, two queues, two log groups, a task definition and a service.
    """
    settings = open_project(root).settings
    with reporting_errors(settings.AWS_PROFILE):
        calls = setup(settings, Aws(settings), click.echo, dry_run)
    if dry_run:
        click.echo(f"{len(calls)} step{'s' * (len(calls) != 1)}; nothing was done.")
    else:
        click.echo(f"{settings.APP_NAME} is set up; next: python run.py submitJob FILE")
    return 0


def setup(
    settings: Settings, aws: Aws, report: Callable[[str], None], dry_run: bool = False
) -> list[Call]:
    """Create or update the run's resources, and return the calls that were (or would be) sent.

    Raises:
        BadInput: config.py still contains placeholders.
        CommandError: a resource belongs to another application, or roles do not exist.
        Interrupted: the user pressed Ctrl-C.
        ClientError, BotoCoreError: AWS refused a request, or cannot be reached.
    """
    if missing := setting_problems(settings):
        raise BadInput(missing)
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
