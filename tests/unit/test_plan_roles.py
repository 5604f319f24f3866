"""The plan of `setup_AWS.py`: from the table of permissions and the existing roles to calls."""

from __future__ import annotations

import json
from typing import Any

from ds.cloud.call import Call
from ds.cloud.plan_roles import plan, plan_removal, problems
from ds.cloud.rights import (
    CONTROL_ROLE,
    EXECUTION_ROLE,
    MADE_BY,
    MADE_TAG,
    ROLES,
    TASK_ROLE,
    RoleTarget,
    policies,
    trust,
)
from ds.cloud.state import Role

TARGET = RoleTarget("aws", "123456789012", "our-bucket", "Test")
TAGS = {MADE_TAG: MADE_BY}


def complete() -> dict[str, Role | None]:
    documents = policies(TARGET)
    return {name: Role(trust(name, TARGET), TAGS, documents[name]) for name in ROLES}


def changed(**policies: Any) -> dict[str, Role | None]:
    """All roles, with another trust policy and other policies in the task role."""
    roles = complete()
    task = roles[TASK_ROLE]
    assert task
    return {**roles, TASK_ROLE: Role({}, TAGS, {**task.policies, **policies})}


def messages(calls: list[Call]) -> list[str]:
    return [call.message for call in calls]


def test_in_an_empty_account_every_role_is_created_with_its_tag_and_policies() -> None:
    calls = plan(TARGET, dict.fromkeys(ROLES), has_ecs_linked_role=False)
    linked, *others = calls
    assert (linked.operation, linked.parameters) == (
        "create_service_linked_role",
        {"AWSServiceName": "ecs.amazonaws.com"},
    )
    expected = []
    for name, documents in policies(TARGET).items():
        who = trust(name, TARGET)
        given: dict[str, Any] = {
            "RoleName": name,
            "AssumeRolePolicyDocument": json.dumps(who),
            "Description": f"DS: {ROLES[name]}",
            "Tags": [{"Key": MADE_TAG, "Value": MADE_BY}],
        }
        shown = json.dumps(who, indent=2)
        expected.append((f"create role {name}: {ROLES[name]}", "create_role", given, shown))
        for policy, document in documents.items():
            given = {
                "RoleName": name,
                "PolicyName": policy,
                "PolicyDocument": json.dumps(document, separators=(",", ":")),
            }
            message = f"write policy {policy} of role {name}"
            shown = json.dumps(document, indent=2)
            expected.append((message, "put_role_policy", given, shown))
    assert [(c.message, c.operation, c.parameters, c.details) for c in others] == expected
    assert {call.service for call in calls} == {"iam"}


def test_where_everything_matches_nothing_is_done() -> None:
    assert plan(TARGET, complete(), has_ecs_linked_role=True) == []
    (linked,) = plan(TARGET, complete(), has_ecs_linked_role=False)
    assert linked.message.startswith("create service-linked role AWSServiceRoleForECS")


def test_another_bucket_gets_its_own_policy_and_the_first_keeps_its() -> None:
    other = RoleTarget("aws", TARGET.account, "other", "Second")
    assert messages(plan(other, complete(), has_ecs_linked_role=True)) == [
        "write policy bucket-other of role ds-control",
        "write policy bucket-other of role ds-task",
    ]


def test_what_differs_is_written_again() -> None:
    calls = plan(TARGET, changed(ds={}), has_ecs_linked_role=True)
    assert messages(calls) == [
        "update trust policy of role ds-task",
        "write policy ds of role ds-task",
    ]
    who = trust(TASK_ROLE, TARGET)
    assert calls[0].operation == "update_assume_role_policy"
    assert calls[0].parameters == {"RoleName": TASK_ROLE, "PolicyDocument": json.dumps(who)}
    assert json.loads(calls[0].details) == who


def test_removal_deletes_what_was_created_and_keeps_policies_of_others() -> None:
    roles = {TASK_ROLE: changed(theirs={})[TASK_ROLE], CONTROL_ROLE: None}
    calls = plan_removal(roles)
    assert [(c.message, c.operation, c.parameters) for c in calls] == [
        (
            f"delete policy {policy} of role ds-task",
            "delete_role_policy",
            {"RoleName": TASK_ROLE, "PolicyName": policy},
        )
        for policy in ("ds", "bucket-our-bucket")
    ] + [("delete role ds-task", "delete_role", {"RoleName": TASK_ROLE})]


# The refusal of the same request again, after its first response was lost.
DONE_ALREADY = {
    "create_service_linked_role": "has been taken in this account",
    "create_role": "EntityAlreadyExists",
    "put_role_policy": "",
    "update_assume_role_policy": "",
    "delete_role_policy": "NoSuchEntity",
    "delete_role": "NoSuchEntity",
}


def test_the_refusals_that_mean_done_already() -> None:
    calls = [
        *plan(TARGET, dict.fromkeys(ROLES), has_ecs_linked_role=False),
        *plan(TARGET, changed(), has_ecs_linked_role=True),
        *plan_removal(complete()),
    ]
    assert {call.operation: call.done_already for call in calls} == DONE_ALREADY


def test_a_role_without_our_tag_was_created_by_somebody_else() -> None:
    role = Role({}, {}, {})
    (problem,) = problems({TASK_ROLE: role, CONTROL_ROLE: None, EXECUTION_ROLE: Role({}, TAGS, {})})
    assert str(problem) == (
        "role ds-task: already exists without the tag ds:made-by=setup_AWS.py, so it is not "
        "changed; delete it if nobody uses it"
    )
