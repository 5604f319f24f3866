"""The table of rights, and the policy documents and the page that follow from it."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from ds.cloud.rights import (
    CHECK,
    CONTROL_ROLE,
    EXECUTION_ROLE,
    HAS_APP_TAG,
    PUSH,
    RIGHTS,
    ROLES,
    SETS_APP_TAG,
    TASK_ROLE,
    Right,
    RoleTarget,
    policies,
    trust,
)
from scripts import reference

TARGET = RoleTarget(
    "aws",
    "123456789012",
    "our-bucket",
    "Test",
    (
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:k",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/k",
    ),
)
READING = ("Get", "List", "Describe")
EVERY = [(role, right) for role, rights in RIGHTS.items() for right in rights]
OF_RUNS = [(role, right) for role, right in EVERY if right not in (*CHECK, *PUSH)]


def statements() -> list[tuple[str, dict[str, Any]]]:
    return [
        (role, statement)
        for role, documents in policies(TARGET).items()
        for document in documents.values()
        for statement in document["Statement"]
    ]


def test_the_page_is_what_the_table_says() -> None:
    path = Path(__file__).parents[2] / "docs/roles.md"
    assert path.read_text(encoding="utf-8") == reference.roles_page(), "run make reference"


def test_every_right_has_a_reason_and_so_has_every_star() -> None:
    for _, right in EVERY:
        assert right.why
        assert (right.resource == "*") == bool(right.star), right
    for _, statement in statements():
        assert "*" not in "".join(statement["Action"])
        assert statement["Effect"] == "Allow"


def test_stars_are_only_where_aws_has_no_resource_level_permissions() -> None:
    assert {action for _, right in OF_RUNS if right.star for action in right.actions.split()} == {
        "ecr:GetAuthorizationToken",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTaskDefinitions",
        "logs:DescribeLogGroups",
    }


# Rights to change something that has neither a tag nor a name to limit them to.
UNLIMITED = {
    ("logs:CreateLogStream", TASK_ROLE),
    ("logs:PutLogEvents", TASK_ROLE),
    ("logs:CreateLogStream", EXECUTION_ROLE),
    ("logs:PutLogEvents", EXECUTION_ROLE),
}


def changing() -> list[Any]:
    return [
        pytest.param(role, right, action, id=f"{role}-{action}")
        for role, right in OF_RUNS
        for action in right.actions.split()
        if not action.split(":")[1].startswith(READING) and action.split(":")[0] not in ("ecr",)
    ]


@pytest.mark.parametrize(("role", "right", "action"), changing())
def test_a_right_to_change_is_limited_to_a_tag_or_a_name(
    role: str, right: Right, action: str
) -> None:
    if action == "iam:PassRole":
        assert right.resource.rpartition("/")[2] in (TASK_ROLE, EXECUTION_ROLE)
        assert right.condition == {
            "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        }
    elif action.startswith("s3:"):
        assert "{bucket}" in right.resource
    elif (action, role) not in UNLIMITED:
        assert right.condition in (HAS_APP_TAG, SETS_APP_TAG)
    if right.resource != "*":
        assert "{account}" in right.resource or "{bucket}" in right.resource


def test_every_action_exists_in_aws() -> None:
    others = {"iam:PassRole", "s3:ListBucket"}  # not the names of operations
    for action in {action for _, right in EVERY for action in right.actions.split()} - others:
        service, name = action.split(":")
        service = {"servicequotas": "service-quotas"}.get(service, service)
        client = boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]
        assert name in client.meta.service_model.operation_names, action


@pytest.mark.parametrize("role", ROLES)
def test_the_documents_are_small_enough(role: str) -> None:
    texts = [json.dumps(d, separators=(",", ":")) for d in policies(TARGET)[role].values()]
    assert sum(map(len, texts)) < 6_000  # of 10,240: other buckets and secrets come, too


def test_no_other_account_or_service_can_assume_a_role() -> None:
    for role in ROLES:
        (statement,) = trust(role, TARGET)["Statement"]
        if role == CONTROL_ROLE:
            assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
        else:
            assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": TARGET.account}


def test_the_execution_role_has_the_rights_of_awss_own_policy() -> None:
    """The emulator does not do ECS's own work; see "Amazon ECS task execution IAM role"."""
    known = json.loads(aws_managed_policies_data)["AmazonECSTaskExecutionRolePolicy"]["Document"]
    (statement,) = known["Statement"]
    own = {action for right in RIGHTS[EXECUTION_ROLE] for action in right.actions.split()}
    assert own == set(statement["Action"])


def test_each_secret_is_read_from_its_own_service() -> None:
    (document,) = [
        document for name, document in policies(TARGET)[EXECUTION_ROLE].items() if "secret" in name
    ]
    assert [(s["Action"], s["Resource"]) for s in document["Statement"]] == [
        (["secretsmanager:GetSecretValue"], TARGET.secrets[0]),
        (["ssm:GetParameters"], TARGET.secrets[1]),
    ]


def test_no_placeholder_is_left_in_a_document() -> None:
    assert "{" not in "".join(statement["Resource"] for _, statement in statements())
    assert any(fnmatch.fnmatch("arn:aws:s3:::our-bucket/a", s["Resource"]) for _, s in statements())
