"""The state of AWS before a command changes anything; this module only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from ds.cloud.client import Aws, code_of
from ds.cloud.names import names
from ds.cloud.rights import EXECUTION_ROLE, ROLES, TASK_ROLE
from ds.jobs.settings import Settings


@dataclass(frozen=True)
class Queue:
    """An existing queue."""

    url: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class LogGroup:
    """An existing log group; `days` is None if it keeps its events forever."""

    arn: str
    days: int | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """An existing cluster."""

    arn: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class TaskDefinition:
    """The newest revision of a task definition."""

    arn: str
    content: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Service:
    """A service that is ACTIVE or DRAINING."""

    arn: str
    status: str
    definition: str
    deployment: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class SetupState:
    """The resources of one APP_NAME; None for a resource that does not exist.

    Attributes:
        urls: URLs of both queues by name, even if the queues do not exist.
        roles: ARNs of the roles by name.
    """

    region: str
    urls: Mapping[str, str]
    dead_letter_arn: str
    roles: Mapping[str, str | None]
    queues: Mapping[str, Queue | None]
    log_groups: Mapping[str, LogGroup | None]
    cluster: Cluster | None
    definition: TaskDefinition | None
    service: Service | None


@dataclass(frozen=True)
class Role:
    """An existing role."""

    trust: Mapping[str, Any]
    tags: Mapping[str, str]
    policies: Mapping[str, Mapping[str, Any]]


def read_setup_state(aws: Aws, settings: Settings) -> SetupState:
    """Read the resources that `setup` creates."""
    named = names(settings)
    queues = (named.queue, named.dead_letter_queue)
    groups = (settings.LOG_GROUP_NAME, settings.record_group)
    cluster = _read_cluster(aws, named.cluster)
    roles = {name: _get_role(aws, name) for name in (TASK_ROLE, EXECUTION_ROLE)}
    return SetupState(
        region=aws.region,
        urls={name: aws.queue_url(name) for name in queues},
        dead_letter_arn=(
            f"arn:{aws.partition}:sqs:{aws.region}:{aws.account}:{named.dead_letter_queue}"
        ),
        roles={name: role["Arn"] if role else None for name, role in roles.items()},
        queues={name: read_queue(aws, name) for name in queues},
        log_groups={name: _read_log_group(aws, name) for name in groups},
        cluster=cluster,
        definition=_read_task_definition(aws, named.family),
        service=_read_service(aws, named.cluster, named.service) if cluster else None,
    )


def read_queue(aws: Aws, name: str) -> Queue | None:
    """Read a queue with its attributes and tags; None if it does not exist."""
    sqs = aws.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    except ClientError as error:
        if code_of(error) in ("NonExistentQueue", "QueueDoesNotExist"):
            return None
        raise
    return Queue(url, answer.get("Attributes", {}), tags)


def _read_log_group(aws: Aws, name: str) -> LogGroup | None:
    logs = aws.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name):
        for group in page["logGroups"]:
            if group["logGroupName"] == name:
                arn = group["arn"].removesuffix(":*")
                tags = logs.list_tags_for_resource(resourceArn=arn).get("tags", {})
                return LogGroup(arn, group.get("retentionInDays"), tags)
    return None


def _read_cluster(aws: Aws, name: str) -> Cluster | None:
    answer = aws.client("ecs").describe_clusters(clusters=[name], include=["TAGS"])
    for cluster in answer["clusters"]:
        if cluster["status"] != "INACTIVE":
            return Cluster(cluster["clusterArn"], _tag_dict(cluster.get("tags")))
    return None


def _read_task_definition(aws: Aws, family: str) -> TaskDefinition | None:
    ecs = aws.client("ecs")
    # List first, because DescribeTaskDefinition returns the same error for a family that does not
    # exist and for a name that is not valid.
    listed = ecs.list_task_definitions(familyPrefix=family, status="ACTIVE", sort="DESC")
    revisions = {
        int(arn.rpartition(":")[2]): arn
        for arn in listed["taskDefinitionArns"]
        if arn.rpartition("/")[2].rpartition(":")[0] == family
    }
    if not revisions:
        return None
    newest = revisions[max(revisions)]
    answer = ecs.describe_task_definition(taskDefinition=newest, include=["TAGS"])
    return TaskDefinition(newest, answer["taskDefinition"], _tag_dict(answer.get("tags")))


def _read_service(aws: Aws, cluster: str, name: str) -> Service | None:
    answer = aws.client("ecs").describe_services(cluster=cluster, services=[name], include=["TAGS"])
    for service in answer["services"]:
        if service["status"] != "INACTIVE":
            return Service(
                service["serviceArn"],
                service["status"],
                service["taskDefinition"],
                service.get("deploymentConfiguration", {}),
                _tag_dict(service.get("tags")),
            )
    return None


def _tag_dict(listed: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in listed or []}


def read_roles(aws: Aws) -> dict[str, Role | None]:
    """Read the roles of setup_AWS.py, by name; None for a role that does not exist."""
    return {name: _read_role(aws, name) for name in ROLES}


def _read_role(aws: Aws, name: str) -> Role | None:
    iam = aws.client("iam")
    role = _get_role(aws, name)
    if role is None:
        return None
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=name)
    policies = {
        policy: _document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for page in pages
        for policy in page["PolicyNames"]
    }
    tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
    return Role(_document(role["AssumeRolePolicyDocument"]), tags, policies)


def _get_role(aws: Aws, name: str) -> Any | None:
    iam = aws.client("iam")
    try:
        return iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None


def _document(value: Any) -> Mapping[str, Any]:
    """Decode a policy document: boto3 returns a dict, IAM itself returns percent-encoded JSON."""
    found: Mapping[str, Any] = json.loads(unquote(value)) if isinstance(value, str) else value
    return found


def has_ecs_linked_role(aws: Aws) -> bool:
    """Return whether the account has the ECS service-linked role, the only role in its path."""
    path = "/aws-service-role/ecs.amazonaws.com/"
    return bool(aws.client("iam").list_roles(PathPrefix=path)["Roles"])
