"""What there is of a run on AWS: asked, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ds.cloud.client import Aws, code_of
from ds.cloud.names import names
from ds.cloud.rights import EXECUTION_ROLE, TASK_ROLE
from ds.jobs.settings import Settings


@dataclass(frozen=True)
class Queue:
    """A queue that is there."""

    url: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class LogGroup:
    """A log group that is there; `days` None keeps for ever."""

    arn: str
    days: int | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """A cluster that is there."""

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
    healthy_percent: tuple[int, int]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class SetupState:
    """What is there; None where nothing is.

    Attributes:
        urls, arns: of both queues by name, whether they are there or not.
        roles: ARNs of the roles by name.
    """

    region: str
    urls: Mapping[str, str]
    arns: Mapping[str, str]
    roles: Mapping[str, str | None]
    queues: Mapping[str, Queue | None]
    log_groups: Mapping[str, LogGroup | None]
    cluster: Cluster | None
    definition: TaskDefinition | None
    service: Service | None


def read_setup_state(aws: Aws, settings: Settings) -> SetupState:
    """Ask AWS what is there."""
    named = names(settings)
    queues = (named.queue, named.dead_letter_queue)
    prefix = f"arn:{aws.partition}:sqs:{aws.region}:{aws.account}"
    cluster = _read_cluster(aws, named.cluster)
    return SetupState(
        region=aws.region,
        urls={name: aws.queue_url(name) for name in queues},
        arns={name: f"{prefix}:{name}" for name in queues},
        roles={name: _read_role(aws, name) for name in (TASK_ROLE, EXECUTION_ROLE)},
        queues={name: read_queue(aws, name) for name in queues},
        log_groups={
            name: _read_log_group(aws, name) for name in (named.log_group, named.record_group)
        },
        cluster=cluster,
        definition=_read_task_definition(aws, named.family),
        service=read_service(aws, named.cluster, named.service) if cluster else None,
    )


def read_queue(aws: Aws, name: str) -> Queue | None:
    """A queue with its attributes and tags; None where there is none."""
    sqs = aws.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return Queue(
            url, answer.get("Attributes", {}), sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        )
    except ClientError as error:
        if code_of(error) in ("NonExistentQueue", "QueueDoesNotExist"):
            return None
        raise


def _read_log_group(aws: Aws, name: str) -> LogGroup | None:
    logs = aws.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name):
        for group in page["logGroups"]:
            if group["logGroupName"] == name:
                arn = group["arn"].removesuffix(":*")
                found = logs.list_tags_for_resource(resourceArn=arn).get("tags", {})
                return LogGroup(arn, group.get("retentionInDays"), found)
    return None


def _read_cluster(aws: Aws, name: str) -> Cluster | None:
    answer = aws.client("ecs").describe_clusters(clusters=[name], include=["TAGS"])
    for cluster in answer["clusters"]:
        if cluster["status"] != "INACTIVE":
            return Cluster(cluster["clusterArn"], _tag_dict(cluster.get("tags")))
    return None


def _read_task_definition(aws: Aws, family: str) -> TaskDefinition | None:
    ecs = aws.client("ecs")
    # Asked first, because "describe" has one error for "none" and for "not a good name".
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


def read_service(aws: Aws, cluster: str, name: str) -> Service | None:
    answer = aws.client("ecs").describe_services(cluster=cluster, services=[name], include=["TAGS"])
    for service in answer["services"]:
        if service["status"] != "INACTIVE":
            deployment = service.get("deploymentConfiguration", {})
            return Service(
                service["serviceArn"],
                service["status"],
                service["taskDefinition"],
                (deployment.get("minimumHealthyPercent"), deployment.get("maximumPercent")),
                _tag_dict(service.get("tags")),
            )
    return None


def _read_role(aws: Aws, name: str) -> str | None:
    iam = aws.client("iam")
    try:
        return str(iam.get_role(RoleName=name)["Role"]["Arn"])
    except iam.exceptions.NoSuchEntityException:
        return None


def _tag_dict(listed: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in listed or []}
