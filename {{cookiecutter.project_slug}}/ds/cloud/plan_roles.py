"""What `setup_AWS.py` does: from the table of rights and the existing roles to a list of calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ds.cloud.call import Call
from ds.cloud.rights import BASE, MADE_BY, MADE_TAG, ROLES, RoleTarget, policies, trust
from ds.cloud.state import Role
from ds.jobs.problems import Problem

ECS_LINKED_ROLE = "AWSServiceRoleForECS"

ExistingRoles = Mapping[str, Role | None]
"""As `read_roles` returns them."""


def problems(roles: ExistingRoles) -> list[Problem]:
    """Report the roles that setup_AWS.py did not create."""
    message = f"already exists without the tag {MADE_TAG}={MADE_BY}, so it is not changed"
    return [
        Problem(f"role {name}", message, "delete it if nobody uses it")
        for name, role in roles.items()
        if role and role.tags.get(MADE_TAG) != MADE_BY
    ]


def plan(target: RoleTarget, roles: ExistingRoles, has_ecs_linked_role: bool) -> list[Call]:
    """Plan what makes the roles match the table; nothing where they already do."""
    calls = [] if has_ecs_linked_role else [_create_linked_role()]
    for name, wanted in policies(target).items():
        role = roles.get(name)
        wanted_trust = trust(name, target)
        if role is None:
            calls.append(_create_role(name, wanted_trust))
        elif role.trust != wanted_trust:
            calls.append(_update_trust(name, wanted_trust))
        existing = role.policies if role else {}
        calls += [
            _put_policy(name, policy, document)
            for policy, document in wanted.items()
            if existing.get(policy) != document
        ]
    return calls


def plan_removal(roles: ExistingRoles) -> list[Call]:
    """Plan what deletes the roles, with the policies of every bucket and APP_NAME."""
    calls = []
    for name, role in roles.items():
        if role is None:
            continue
        for policy in role.policies:
            if policy == BASE or policy.startswith(("bucket-", "secrets-")):
                message = f"delete policy {policy} of role {name}"
                parameters = {"RoleName": name, "PolicyName": policy}
                calls.append(Call(message, "iam", "delete_role_policy", parameters))
        calls.append(Call(f"delete role {name}", "iam", "delete_role", {"RoleName": name}))
    return calls


def _create_linked_role() -> Call:
    """Create ECS's own role. The whole account shares it, so it is never deleted here."""
    message = f"create service-linked role {ECS_LINKED_ROLE}, which the whole account shares"
    parameters = {"AWSServiceName": "ecs.amazonaws.com"}
    return Call(message, "iam", "create_service_linked_role", parameters)


def _create_role(name: str, document: Mapping[str, Any]) -> Call:
    parameters = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(document),
        "Description": f"DS: {ROLES[name]}",
        "Tags": [{"Key": MADE_TAG, "Value": MADE_BY}],
    }
    message = f"create role {name}: {ROLES[name]}"
    return Call(message, "iam", "create_role", parameters, details=_readable(document))


def _update_trust(name: str, document: Mapping[str, Any]) -> Call:
    parameters = {"RoleName": name, "PolicyDocument": json.dumps(document)}
    message = f"update trust policy of role {name}"
    return Call(
        message, "iam", "update_assume_role_policy", parameters, details=_readable(document)
    )


def _put_policy(role: str, name: str, document: Mapping[str, Any]) -> Call:
    # IAM counts every character towards the size limit of a role's policies.
    text = json.dumps(document, separators=(",", ":"))
    parameters = {"RoleName": role, "PolicyName": name, "PolicyDocument": text}
    message = f"write policy {name} of role {role}"
    return Call(message, "iam", "put_role_policy", parameters, details=_readable(document))


def _readable(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)
