"""The plan of `setup`: the calls that make AWS match the settings; sends no request itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ds.cloud.call import Call
from ds.cloud.names import APP_TAG, RUN_TAG, Names, is_ours, names, run_tags
from ds.cloud.rights import EXECUTION_ROLE, TASK_ROLE
from ds.cloud.state import Cluster, LogGroup, Queue, Service, SetupState, TaskDefinition
from ds.jobs.environment import LOCAL_ONLY, WorkerSettings
from ds.jobs.problems import Problem
from ds.jobs.settings import Settings

LOG_DAYS = 60
"""Retention, in days, of lines and records in CloudWatch Logs."""

EXTRA_RECEIVES = 20
"""Receives beyond JOB_RETRIES, by workers that died, before SQS itself moves a message to the
dead-letter queue."""

DEPLOYMENT = {"minimumHealthyPercent": 0, "maximumPercent": 100}
"""With other values, a draining machine waits for replacements that cannot be placed, and no
task on it gets SIGTERM ("Draining Amazon ECS container instances")."""


def problems(settings: Settings, state: SetupState) -> list[Problem]:
    """Return the problems that forbid any change."""
    named, app = names(settings), settings.APP_NAME
    existing: list[tuple[str, str, Queue | LogGroup | Cluster | TaskDefinition | Service | None]]
    existing = [
        *(("queue", name, queue) for name, queue in state.queues.items()),
        *(("log group", name, group) for name, group in state.log_groups.items()),
        ("cluster", named.cluster, state.cluster),
        ("task definition", named.family, state.definition),
        ("service", named.service, state.service),
    ]
    found = [
        Problem(
            f"{kind} {name}",
            f"already exists without the tag {APP_TAG}={app}, so it is not changed",
            f"set another {'LOG_GROUP_NAME' if kind == 'log group' else 'APP_NAME'} in config.py",
        )
        for kind, name, resource in existing
        if resource and not is_ours(resource.tags, app)
    ]
    hint = "run python setup_AWS.py once, or ask somebody who can create roles to run it"
    missing = [name for name, arn in state.roles.items() if arn is None]
    return found + [Problem(f"role {name}", "does not exist", hint) for name in missing]


def plan(settings: Settings, state: SetupState, new_run: str) -> list[Call]:
    """Plan the calls that make the state match the settings; none if it already matches.

    A run lasts as long as its cluster, so the cluster is created first. If it does not exist yet,
    `new_run` becomes the run's id.
    """
    named = names(settings)
    run_id = state.cluster.tags.get(RUN_TAG, new_run) if state.cluster else new_run
    tags = run_tags(settings.APP_NAME, run_id)
    # The longest retention and the largest message that SQS allows.
    kept = {"MessageRetentionPeriod": str(14 * 24 * 3600), "MaximumMessageSize": str(1024 * 1024)}
    policy = redrive_policy(state.dead_letter_arn, settings.JOB_RETRIES)
    content = task_definition(settings, state, run_id)
    newest = state.definition
    current = newest if newest and _same(content, newest.content) else None
    return [
        *_cluster(named.cluster, state.cluster, tags),
        *_queue(named.dead_letter_queue, kept, state, tags),
        *_log_groups(state, tags),
        *_queue(named.queue, {**kept, "RedrivePolicy": policy}, state, tags),
        *_task_definition(content, current, tags),
        *_service(named, current, state.service, tags),
    ]


def redrive_policy(dead_letter_arn: str, retries: int) -> str:
    """Return the queue attribute that defines when SQS itself dead-letters a message."""
    count = retries + EXTRA_RECEIVES
    return json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": count})


def _cluster(name: str, found: Cluster | None, tags: Mapping[str, str]) -> list[Call]:
    if found:
        return _tag("cluster", name, found.arn, found.tags, tags)
    parameters = {"clusterName": name, "tags": _tag_list(tags)}
    message = f"create cluster {name} for run {tags[RUN_TAG]}"
    return [Call(message, "ecs", "create_cluster", parameters)]


def _queue(
    name: str, attributes: Mapping[str, str], state: SetupState, tags: Mapping[str, str]
) -> list[Call]:
    found = state.queues[name]
    if found is None:
        return [
            Call(
                f"create queue {name}: retention 14 days{_redrive_text(attributes)}",
                "sqs",
                "create_queue",
                {"QueueName": name, "Attributes": attributes, "tags": tags},
                wait_while={
                    "QueueDeletedRecently": f"SQS blocks the name of deleted queue {name} for 60 s",
                    "dead letter target does not exist": (
                        "SQS does not know the new dead-letter queue yet"
                    ),
                },
                # A name is blocked for 60 s (API reference, DeleteQueue), and a new queue can be
                # used after 1 s (CreateQueue). After twice that time, something else is wrong.
                patience=120,
            )
        ]
    differing = {
        key: value
        for key, value in attributes.items()
        if _comparable(found.attributes.get(key, "")) != _comparable(value)
    }
    message = f"update queue {name}: {', '.join(sorted(differing))}{_redrive_text(differing)}"
    parameters = {"QueueUrl": found.url, "Attributes": differing}
    update = Call(message, "sqs", "set_queue_attributes", parameters)
    return ([update] if differing else []) + _tag("queue", name, found.url, found.tags, tags)


def _redrive_text(attributes: Mapping[str, str]) -> str:
    if "RedrivePolicy" not in attributes:
        return ""
    policy = json.loads(attributes["RedrivePolicy"])
    queue = policy["deadLetterTargetArn"].rpartition(":")[2]
    return f", dead-letter queue {queue} after {policy['maxReceiveCount']} receives"


def _comparable(value: str) -> Any:
    """Return an attribute in a comparable form: SQS returns the numbers in a policy as text."""
    if value.startswith("{"):
        return {key: str(item) for key, item in json.loads(value).items()}
    return value


def _log_groups(state: SetupState, tags: Mapping[str, str]) -> list[Call]:
    calls: list[Call] = []
    for name, found in state.log_groups.items():
        if found is None:
            calls.append(
                Call(
                    f"create log group {name}",
                    "logs",
                    "create_log_group",
                    {"logGroupName": name, "tags": tags},
                    done_already="ResourceAlreadyExistsException",
                )
            )
        else:
            calls += _tag("log group", name, found.arn, found.tags, tags)
        if found is None or found.days != LOG_DAYS:
            message = f"set retention of log group {name} to {LOG_DAYS} days"
            parameters = {"logGroupName": name, "retentionInDays": LOG_DAYS}
            calls.append(Call(message, "logs", "put_retention_policy", parameters))
    return calls


def _task_definition(
    content: Mapping[str, Any], current: TaskDefinition | None, tags: Mapping[str, str]
) -> list[Call]:
    if current:
        return _tag("task definition", content["family"], current.arn, current.tags, tags)
    (container,) = content["containerDefinitions"]
    message = (
        f"register task definition {content['family']}: {container['image']}, "
        f"{container['cpu'] / 1024:g} vCPU, {container['memory']} MB"
    )
    parameters = {**content, "tags": _tag_list(tags)}
    return [Call(message, "ecs", "register_task_definition", parameters)]


def _service(
    named: Names, current: TaskDefinition | None, found: Service | None, tags: Mapping[str, str]
) -> list[Call]:
    # A family alone means its latest ACTIVE revision (API reference, CreateService).
    wanted = {
        "cluster": named.cluster,
        "taskDefinition": named.family,
        "deploymentConfiguration": DEPLOYMENT,
    }
    if found is None or found.status != "ACTIVE":
        return [
            Call(
                f"create service {named.service} with desired count 0",
                "ecs",
                "create_service",
                {
                    **wanted,
                    "serviceName": named.service,
                    "desiredCount": 0,
                    "launchType": "EC2",
                    "schedulingStrategy": "REPLICA",
                    # Rebalancing would stop tasks during a job to start them in another zone.
                    "availabilityZoneRebalancing": "DISABLED",
                    "propagateTags": "SERVICE",
                    "tags": _tag_list(tags),
                },
                done_already="Creation of service was not idempotent",
                wait_while={
                    "still draining": f"the tasks of deleted service {named.service} are stopping"
                },
                # A deleted service blocks its name until its last task has stopped.
                patience=900,
            )
        ]
    matches = current and found.definition == current.arn and _same(DEPLOYMENT, found.deployment)
    message = f"update service {named.service} to the newest task definition"
    update = Call(message, "ecs", "update_service", {**wanted, "service": named.service})
    tagging = _tag("service", named.service, found.arn, found.tags, tags)
    return ([] if matches else [update]) + tagging


def _tag(
    kind: str, name: str, identity: str, found: Mapping[str, str], tags: Mapping[str, str]
) -> list[Call]:
    """Plan the call that tags a resource that an earlier run left and this run reuses."""
    if found.items() >= tags.items():
        return []
    service, operation, parameters = {
        "queue": ("sqs", "tag_queue", {"QueueUrl": identity, "Tags": tags}),
        "log group": ("logs", "tag_resource", {"resourceArn": identity, "tags": tags}),
    }.get(kind, ("ecs", "tag_resource", {"resourceArn": identity, "tags": _tag_list(tags)}))
    return [Call(f"tag {kind} {name} with run {tags[RUN_TAG]}", service, operation, parameters)]


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def task_definition(settings: Settings, state: SetupState, run_id: str) -> dict[str, Any]:
    """Return the task definition of a run's containers.

    The container is never privileged and has no credentials: the task role has the permissions,
    and ECS fetches the program's secrets from the ARNs in `secrets`.
    """
    named = names(settings)
    environment = WorkerSettings.of(
        settings, run_id, state.urls[named.queue], state.urls[named.dead_letter_queue]
    ).environment()
    for name in LOCAL_ONLY:
        environment.pop(name)
    # "Amazon ECS environment variables" lists these, but not which agents on EC2 set them.
    environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = state.region
    container: dict[str, Any] = {
        "name": named.family,
        "image": settings.DOCKERHUB_TAG,
        "cpu": settings.DOCKER_CORES * settings.CPUS_PER_JOB * 1024,
        "memory": settings.MEMORY,
        "essential": True,
        "environment": [{"name": name, "value": text} for name, text in environment.items()],
        "secrets": [{"name": name, "valueFrom": arn} for name, arn in settings.SECRETS.items()],
        "resourceRequirements": (
            [{"type": "GPU", "value": str(settings.GPUS)}] if settings.GPUS else []
        ),
        "linuxParameters": {"initProcessEnabled": True},
        # Seconds from SIGTERM to SIGKILL: the time from a spot machine's interruption notice to
        # its end (attempts that upload may take 90). ECS limits it only for Fargate, also to 120.
        "stopTimeout": 120,
        # For a worker that cannot start. The worker itself sends the lines of jobs.
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": settings.LOG_GROUP_NAME,
                "awslogs-region": state.region,
                "awslogs-stream-prefix": "container",
            },
        },
    }
    return {
        "family": named.family,
        "taskRoleArn": state.roles[TASK_ROLE],
        "executionRoleArn": state.roles[EXECUTION_ROLE],
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "containerDefinitions": [container],
    }


def _same(wanted: Any, found: Any) -> bool:
    """Return whether `found` matches `wanted`, although ECS adds defaults and changes the order.

    An empty list matches a missing one.
    """
    if isinstance(wanted, dict):
        if not isinstance(found, Mapping) or found.get("privileged"):
            return False
        return all(_same(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        others = sorted(found or [], key=str)
        own = sorted(wanted, key=str)
        return len(own) == len(others) and all(map(_same, own, others))
    return bool(wanted == found)
