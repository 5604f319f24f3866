"""`setup_AWS.py`: the IAM roles that runs need, created once per AWS account."""

from __future__ import annotations

from collections.abc import Callable

from ds.cloud.call import Call, carry_out
from ds.cloud.client import Aws
from ds.cloud.errors import CommandError
from ds.cloud.plan_roles import plan, plan_removal, problems
from ds.cloud.rights import RoleTarget
from ds.cloud.state import has_ecs_linked_role, read_roles


def setup_aws(
    aws: Aws,
    target: RoleTarget,
    report: Callable[[str], None],
    *,
    dry_run: bool = False,
    remove: bool = False,
) -> list[Call]:
    """Create, update or remove the roles, and return the calls that were (or would be) sent.

    Args:
        aws: the account.
        target: what the roles give access to.
        report: receives one line at a time; in a dry run also the policy documents.
        dry_run: report the calls, and send none.
        remove: delete what this command created.

    Raises:
        CommandError: a role was created by somebody else.
        Interrupted: by Ctrl-C.
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
