"""`setup_AWS.py`: create or remove the IAM roles that runs need."""

from __future__ import annotations

from pathlib import Path

import click

from ds.cloud import rights
from ds.cloud.client import Aws, reporting_errors
from ds.control.commands.common import open_project
from ds.control.links import docs_url


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"The roles and their rights: {docs_url('roles')}",
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
        target = rights.RoleTarget(
            aws.partition,
            aws.account,
            bucket or settings.AWS_BUCKET,
            settings.APP_NAME,
            tuple(settings.SECRETS.values()),
        )
        rights.setup_aws(aws, target, click.echo, dry_run=dry_run, remove=remove)
    if not remove and not dry_run:
        click.echo(
            "The roles exist. To use the first one, add a profile to ~/.aws/config with role_arn = "
            f"arn:{aws.partition}:iam::{aws.account}:role/{rights.CONTROL_ROLE}"
        )
    return 0
