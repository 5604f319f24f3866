"""The plan of `setup_AWS.py`: the calls that make the roles match the table of permissions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ds.cloud.call import Call
from ds.cloud.rights import BASE, MADE_BY, MADE_TAG, ROLES, RoleTarget, policies, trust
from ds.cloud.state import Role
from ds.jobs.problems import Problem

ExistingRoles = Mapping[str, Role | None]
"""The roles as `read_roles` returns them."""


def problems(roles: ExistingRoles) -> list[Problem]:
    """Return a problem for each role that setup_AWS.py did not create."""
    message = f"already exists without the tag {MADE_TAG}={MADE_BY}, so it is not changed"
    return [
        Problem(f"role {name}", message, "delete it if nobody uses it")
        for name, role in roles.items()
        if role and role.tags.get(MADE_TAG) != MADE_BY
    ]


def plan(target: RoleTarget, roles: ExistingRoles, has_ecs_linked_role: bool) -> list[Call]:
    """Plan the calls that make the roles match the table; none if they already match."""
    calls = []
    if not has_ecs_linked_role:
        message = "create service-linked role AWSServiceRoleForECS, which the whole account shares"
        parameters = {"AWSServiceName": "ecs.amazonaws.com"}
        taken = "has been taken in this account"
        calls.append(Call(message, "iam", "create_service_linked_role", parameters, taken))
    for name, wanted in policies(target).items():
        role = roles.get(name)
        who = trust(name, target)
        if role is None:
            calls.append(
                _call(
                    f"create role {name}: {ROLES[name]}",
                    "create_role",
                    name,
                    shown=who,
                    done_already="EntityAlreadyExists",
                    AssumeRolePolicyDocument=json.dumps(who),
                    Description=f"DS: {ROLES[name]}",
                    Tags=[{"Key": MADE_TAG, "Value": MADE_BY}],
                )
            )
        elif role.trust != who:
            message, text = f"update trust policy of role {name}", json.dumps(who)
            operation = "update_assume_role_policy"
            calls.append(_call(message, operation, name, shown=who, PolicyDocument=text))
        for policy, document in wanted.items():
            if role is None or role.policies.get(policy) != document:
                message = f"write policy {policy} of role {name}"
                # IAM counts every character towards the size limit of a role's policies.
                text = json.dumps(document, separators=(",", ":"))
                words = {"PolicyName": policy, "PolicyDocument": text}
                calls.append(_call(message, "put_role_policy", name, shown=document, **words))
    return calls


def plan_removal(roles: ExistingRoles) -> list[Call]:
    """Plan the calls that delete the roles and their policies for every bucket and APP_NAME.

    The service-linked role stays, because the whole account shares it.
    """
    calls = []
    gone = "NoSuchEntity"
    for name, role in roles.items():
        for policy in role.policies if role else ():
            if policy == BASE or policy.startswith(("bucket-", "secrets-")):
                message = f"delete policy {policy} of role {name}"
                operation = "delete_role_policy"
                calls.append(_call(message, operation, name, done_already=gone, PolicyName=policy))
        if role:
            calls.append(_call(f"delete role {name}", "delete_role", name, done_already=gone))
    return calls


def _call(
    message: str,
    operation: str,
    role: str,
    *,
    shown: Mapping[str, Any] | None = None,
    done_already: str = "",
    **parameters: Any,
) -> Call:
    """Return a call that changes a role; a dry run also prints `shown`, a policy document."""
    return Call(
        message,
        "iam",
        operation,
        {"RoleName": role, **parameters},
        done_already,
        details=json.dumps(shown, indent=2) if shown else "",
    )
