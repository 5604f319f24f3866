"""`setup_AWS.py`: the IAM roles that runs need, created once per AWS account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ds.cloud.call import Call, carry_out
from ds.cloud.client import Aws, reporting_errors
from ds.cloud.errors import CommandError
from ds.cloud.plan_roles import plan, plan_removal, problems
from ds.cloud.rights import CONTROL_ROLE, RoleTarget
from ds.cloud.state import has_ecs_linked_role, read_roles
from ds.control.commands.common import open_project
from ds.jobs.links import docs_url


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"The roles and their permissions: {docs_url('roles')}",
)
@click.option("--dry-run", is_flag=True, help="Print the policy documents; change nothing.")
@click.option("--remove", is_flag=True, help="Remove the roles that this command created.")
@click.option("--bucket", help="Grant access to this bucket instead of AWS_BUCKET.")
@click.pass_obj
def command(root: Path, dry_run: bool, remove: bool, bucket: str | None) -> int:
    """Create the IAM roles that runs need (once per AWS account)."""
    settings = open_project(root).settings
    with reporting_errors(settings.AWS_PROFILE):
        aws = Aws(settings)
        target = RoleTarget(
            aws.partition,
            aws.account,
            bucket or settings.AWS_BUCKET,
            settings.APP_NAME,
            tuple(settings.SECRETS.values()),
        )
        setup_aws(aws, target, click.echo, dry_run=dry_run, remove=remove)
    if not remove and not dry_run:
        click.echo(
            "The roles exist. To work with the first one, create a profile in ~/.aws/config with "
            f"role_arn = arn:{aws.partition}:iam::{aws.account}:role/{CONTROL_ROLE}"
        )
    return 0


def setup_aws(
    aws: Aws,
    target: RoleTarget,
    report: Callable[[str], None],
    *,
    dry_run: bool = False,
    remove: bool = False,
) -> list[Call]:
    """Create, update or remove the roles, and return the calls that were (or would be) sent.

    Raises:
        CommandError: somebody else created a role of the same name.
        Interrupted: the user pressed Ctrl-C.
        ClientError, BotoCoreError: AWS refused a request, or cannot be reached.
    """
    roles = read_roles(aws)
    if wrong := problems(roles):
        raise CommandError("\n".join(map(str, wrong)))
    calls = plan_removal(roles) if remove else plan(target, roles, has_ecs_linked_role(aws))
    if not calls:
        matches = "No roles exist" if remove else "The roles already exist and match"
        report(f"{matches}; nothing to do.")
    carry_out(aws.client, calls, report, dry_run=dry_run)
    return calls
