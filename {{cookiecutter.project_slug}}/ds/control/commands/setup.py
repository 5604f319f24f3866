"""`setup`: what a run needs before its jobs: queues, log groups, cluster, task definition, service.

`observe` asks what is there, `plan` (pure) decides what is to be done, `Actor` does it. So `setup`
again changes what differs and nothing else, and completes what an interruption left.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from ds.cloud.client import Aws, code_of, reporting_errors
from ds.cloud.errors import CommandError, Interrupted
from ds.cloud.names import REDRIVES, RUN_TAG, Names, is_ours, names, tags
from ds.cloud.rights import EXECUTION_ROLE, TASK_ROLE
from ds.cloud.state import (
    Cluster,
    LogGroup,
    Queue,
    Service,
    SetupState,
    TaskDefinition,
    read_service,
    read_setup_state,
)
from ds.control.commands.common import open_project
from ds.jobs.environment import LOCAL_ONLY, WorkerSettings
from ds.jobs.placeholders import setting_problems
from ds.jobs.problems import BadInput
from ds.jobs.settings import Settings

LOG_DAYS = 60
"""CloudWatch keeps the lines of jobs so long."""

KEPT_SECONDS = 14 * 24 * 3600
"""The longest that SQS keeps a message."""

MESSAGE_BYTES = 1024 * 1024

STOP_SECONDS = 120
"""From SIGTERM to SIGKILL of a container: as long as a spot machine has from its notice to its end
(attempts that upload may take 90). ECS has a limit for Fargate only, the same number."""

NEW_QUEUE_SECONDS = 120
"""A deleted queue's name is blocked for 60 s (API reference, DeleteQueue), and a new queue can be
used after a second (CreateQueue); then something else is wrong."""

DRAINING_SECONDS = 900
"""A deleted service is gone when its last task is."""

LOOK_SECONDS = 2


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the steps; change nothing.")
@click.pass_obj
def command(root: Path, dry_run: bool) -> int:
    """Create what a run needs on AWS; nothing is started.

    This is a cluster, two queues, two log groups, a task definition and a service.
    """
    settings = open_project(root).settings
    with reporting_errors(settings.AWS_PROFILE):
        actions = setup(settings, Aws(settings), click.echo, dry_run)
    if dry_run:
        click.echo(f"{len(actions)} step{'s' * (len(actions) != 1)}; nothing was done.")
    else:
        click.echo(f"{settings.APP_NAME} is set up; next: python run.py submitJob FILE")
    return 0


@dataclass(frozen=True)
class CreateQueue:
    """Make a queue."""

    name: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"create queue {self.name}: messages kept 14 days{_redrive_text(self.attributes)}"


@dataclass(frozen=True)
class ChangeQueue:
    """Set the attributes of a queue that differ."""

    name: str
    url: str
    attributes: Mapping[str, str]

    def __str__(self) -> str:
        message = ", ".join(sorted(self.attributes))
        return f"change queue {self.name}: {message}{_redrive_text(self.attributes)}"


@dataclass(frozen=True)
class CreateCluster:
    """Make the run's own cluster."""

    name: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"create cluster {self.name}, for run {self.tags[RUN_TAG]}"


@dataclass(frozen=True)
class CreateLogGroup:
    """Make a log group."""

    name: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"create log group {self.name}"


@dataclass(frozen=True)
class KeepLogs:
    """Say how long a log group keeps its lines."""

    name: str
    days: int

    def __str__(self) -> str:
        return f"keep the lines of log group {self.name} for {self.days} days"


@dataclass(frozen=True)
class Register:
    """Register a revision of the task definition."""

    content: Mapping[str, Any]
    tags: Mapping[str, str]

    def __str__(self) -> str:
        container = self.content["containerDefinitions"][0]
        return (
            f"register task definition {self.content['family']}: {container['image']}, "
            f"CPUs {container['cpu'] / 1024:g}, {container['memory']} MB"
        )


@dataclass(frozen=True)
class WaitForService:
    """Wait until a deleted service is gone: until then it blocks its name."""

    cluster: str
    name: str

    def __str__(self) -> str:
        return f"wait until the old service {self.name} is gone: its last tasks are ending"


@dataclass(frozen=True)
class CreateService:
    """Make the service, with no task yet.

    Attributes:
        definition: ARN of the task definition; "" for the one that was just registered.
    """

    cluster: str
    name: str
    definition: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"create service {self.name}, with no task yet"


@dataclass(frozen=True)
class UpdateService:
    """Let the service use another task definition, and end tasks as it must.

    Attributes:
        definition: as in CreateService.
    """

    cluster: str
    name: str
    definition: str

    def __str__(self) -> str:
        return f"let service {self.name} use the newest task definition"


@dataclass(frozen=True)
class Tag:
    """Mark what an earlier run left, and this one uses, as this run's."""

    kind: str
    name: str
    identity: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"mark {self.kind} {self.name} as run {self.tags[RUN_TAG]}'s"


Action = (
    CreateCluster
    | CreateQueue
    | ChangeQueue
    | CreateLogGroup
    | KeepLogs
    | Register
    | WaitForService
    | CreateService
    | UpdateService
    | Tag
)


def new_run_id(now: float) -> str:
    """Names a run by its beginning (Unix time), in UTC."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def run_id_of(state: SetupState, otherwise: str) -> str:
    """The run that is being set up: the cluster's, which is made first and ends with the run."""
    return state.cluster.tags.get(RUN_TAG, otherwise) if state.cluster else otherwise


def problems(settings: Settings, state: SetupState) -> list[str]:
    """Why nothing may be done, each with what to do."""
    named = names(settings)
    there: list[tuple[str, str, Queue | LogGroup | Cluster | TaskDefinition | Service | None]] = [
        *(("queue", name, queue) for name, queue in state.queues.items()),
        *(("log group", name, group) for name, group in state.log_groups.items()),
        ("cluster", named.cluster, state.cluster),
        ("task definition", named.family, state.definition),
        ("service", named.service, state.service),
    ]
    foreign = [
        f"The {kind} {name} is there already and is not {settings.APP_NAME}'s (it lacks the tag "
        f"ds:app={settings.APP_NAME}), so it is not touched; write another "
        f"{'LOG_GROUP_NAME' if kind == 'log group' else 'APP_NAME'} in config.py"
        for kind, name, found in there
        if found is not None and not is_ours(found.tags, settings.APP_NAME)
    ]
    missing = [name for name, arn in state.roles.items() if arn is None]
    if missing:
        foreign.append(
            f"This account has no role {' and '.join(missing)}; do python setup_AWS.py once, or "
            "let somebody who may make roles do it"
        )
    return foreign


def plan(settings: Settings, state: SetupState, new_run: str) -> list[Action]:
    """What makes an account as the settings want it; nothing where it is so already.

    Args:
        settings: of config.py.
        observed: what is there.
        new_run: names the run if none has begun.
    """
    named = names(settings)
    marks = tags(settings.APP_NAME, run_id_of(state, new_run))
    actions: list[Action] = []
    if state.cluster is None:
        actions.append(CreateCluster(named.cluster, marks))
    else:
        cluster = state.cluster
        actions += _marked("cluster", named.cluster, cluster.arn, cluster.tags, marks)
    actions += _queue(named.dead_letter_queue, _queue_attributes(), state, marks)
    actions += _log_groups(state, marks)
    target = state.arns[named.dead_letter_queue]
    attributes = _queue_attributes(target, settings.JOB_RETRIES)
    actions += _queue(named.queue, attributes, state, marks)
    return actions + _tasks(settings, named, state, marks)


def _queue(
    name: str, attributes: Mapping[str, str], state: SetupState, marks: Mapping[str, str]
) -> list[Action]:
    found = state.queues[name]
    if found is None:
        return [CreateQueue(name, attributes, marks)]
    differing = {
        key: value
        for key, value in attributes.items()
        if _plain(found.attributes.get(key, "")) != _plain(value)
    }
    actions: list[Action] = [ChangeQueue(name, found.url, differing)] if differing else []
    return actions + _marked("queue", name, found.url, found.tags, marks)


def _log_groups(state: SetupState, marks: Mapping[str, str]) -> list[Action]:
    actions: list[Action] = []
    for name, found in state.log_groups.items():
        if found is None:
            actions.append(CreateLogGroup(name, marks))
        else:
            actions += _marked("log group", name, found.arn, found.tags, marks)
        if found is None or found.days != LOG_DAYS:
            actions.append(KeepLogs(name, LOG_DAYS))
    return actions


def _tasks(
    settings: Settings, named: Names, state: SetupState, marks: Mapping[str, str]
) -> list[Action]:
    """Task definition and service."""
    actions: list[Action] = []
    content = task_definition(settings, state, marks[RUN_TAG])
    found = state.definition
    newest = ""
    if found is not None and _same(content, found.content):
        newest = found.arn
        actions += _marked("task definition", named.family, found.arn, found.tags, marks)
    else:
        actions.append(Register(content, marks))
    service = state.service
    if service is None or service.status != "ACTIVE":
        if service is not None:
            actions.append(WaitForService(named.cluster, named.service))
        actions.append(CreateService(named.cluster, named.service, newest, marks))
    else:
        if service.definition != newest or service.healthy_percent != (0, 100):
            actions.append(UpdateService(named.cluster, named.service, newest))
        actions += _marked("service", named.service, service.arn, service.tags, marks)
    return actions


def _marked(
    kind: str, name: str, identity: str, found: Mapping[str, str], marks: Mapping[str, str]
) -> list[Action]:
    if found.items() >= marks.items():
        return []
    return [Tag(kind, name, identity, marks)]


def _queue_attributes(dead_letters: str = "", retries: int = 0) -> dict[str, str]:
    attributes = {
        "MessageRetentionPeriod": str(KEPT_SECONDS),
        "MaximumMessageSize": str(MESSAGE_BYTES),
    }
    if dead_letters:
        redrive = {"deadLetterTargetArn": dead_letters, "maxReceiveCount": retries + REDRIVES}
        attributes["RedrivePolicy"] = json.dumps(redrive)
    return attributes


def _redrive_text(attributes: Mapping[str, str]) -> str:
    if "RedrivePolicy" not in attributes:
        return ""
    redrive = json.loads(attributes["RedrivePolicy"])
    queue = redrive["deadLetterTargetArn"].rpartition(":")[2]
    return f", to {queue} after {redrive['maxReceiveCount']} receives"


def _plain(value: str) -> Any:
    """An attribute's value for comparing: SQS gives a policy back with its numbers as texts."""
    if value.startswith("{"):
        return {key: str(item) for key, item in json.loads(value).items()}
    return value


def task_definition(settings: Settings, state: SetupState, run_id: str) -> dict[str, Any]:
    """What a container of this run is.

    Never privileged; and no credentials: the task role has the rights, `secrets` names where ECS
    fetches the program's secrets.
    """
    named = names(settings)
    environment = WorkerSettings.of(
        settings, run_id, state.urls[named.queue], state.urls[named.dead_letter_queue]
    ).environment()
    for name in LOCAL_ONLY:
        environment.pop(name)
    # "Amazon ECS environment variables" has them, and does not say for which agents on EC2.
    environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = state.region
    container: dict[str, Any] = {
        "name": named.family,
        "image": settings.DOCKERHUB_TAG,
        "cpu": settings.DOCKER_CORES * settings.CPUS_PER_JOB * 1024,
        "memory": settings.MEMORY,
        "essential": True,
        "environment": [{"name": k, "value": environment[k]} for k in sorted(environment)],
        "secrets": [
            {"name": name, "valueFrom": settings.SECRETS[name]} for name in sorted(settings.SECRETS)
        ],
        "resourceRequirements": (
            [{"type": "GPU", "value": str(settings.GPUS)}] if settings.GPUS else []
        ),
        "linuxParameters": {"initProcessEnabled": True},
        "stopTimeout": STOP_SECONDS,
        # What a worker says that cannot start. Lines of jobs come from the worker itself.
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": named.log_group,
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
    """Whether what ECS gives back is what was registered: it adds defaults and sorts as it likes.

    An empty list is the same as none.
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


def _tag_list(marks: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in marks.items()]


class Actor:
    """Carries actions out, one after the other.

    Args:
        aws: the account.
        say: told how a wait goes on, in a line.
        sleep, clock: of seconds.
    """

    def __init__(
        self,
        aws: Aws,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._aws = aws
        self._say = say
        self._sleep = sleep
        self._clock = clock
        self._registered = ""

    def act(self, action: Action) -> None:
        """Carry one action out."""
        ecs, sqs, logs = (self._aws.client(name) for name in ("ecs", "sqs", "logs"))
        match action:
            case CreateCluster(name, marks):
                ecs.create_cluster(clusterName=name, tags=_tag_list(marks))
            case CreateQueue():
                self._create_queue(action)
            case ChangeQueue(_, url, attributes):
                sqs.set_queue_attributes(QueueUrl=url, Attributes=dict(attributes))
            case CreateLogGroup(name, marks):
                # It was not there a moment ago: an answer was lost, and boto3 asked again.
                with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                    logs.create_log_group(logGroupName=name, tags=dict(marks))
            case KeepLogs(name, days):
                logs.put_retention_policy(logGroupName=name, retentionInDays=days)
            case Register(content, marks):
                answer = ecs.register_task_definition(**content, tags=_tag_list(marks))
                self._registered = answer["taskDefinition"]["taskDefinitionArn"]
            case WaitForService(cluster, name):
                draining = f"service {name} is still draining"
                self._wait(
                    lambda: draining if read_service(self._aws, cluster, name) else "",
                    DRAINING_SECONDS,
                )
            case CreateService(cluster, name, definition, marks):
                ecs.create_service(
                    cluster=cluster,
                    serviceName=name,
                    taskDefinition=definition or self._registered,
                    desiredCount=0,
                    launchType="EC2",
                    schedulingStrategy="REPLICA",
                    deploymentConfiguration=DEPLOYMENT,
                    # It would end tasks that work, only to start them in another zone.
                    availabilityZoneRebalancing="DISABLED",
                    propagateTags="SERVICE",
                    tags=_tag_list(marks),
                )
            case UpdateService(cluster, name, definition):
                ecs.update_service(
                    cluster=cluster,
                    service=name,
                    taskDefinition=definition or self._registered,
                    deploymentConfiguration=DEPLOYMENT,
                )
            case Tag("queue", _, identity, marks):
                sqs.tag_queue(QueueUrl=identity, Tags=dict(marks))
            case Tag("log group", _, identity, marks):
                logs.tag_resource(resourceArn=identity, tags=dict(marks))
            case Tag(_, _, identity, marks):
                ecs.tag_resource(resourceArn=identity, tags=_tag_list(marks))

    def _create_queue(self, action: CreateQueue) -> None:
        def not_yet() -> str:
            try:
                self._aws.client("sqs").create_queue(
                    QueueName=action.name,
                    Attributes=dict(action.attributes),
                    tags=dict(action.tags),
                )
            except ClientError as error:
                if code_of(error) == "QueueDeletedRecently":
                    return f"AWS keeps the name of the deleted queue {action.name} for 60 s"
                if "dead letter target does not exist" in str(error).lower():
                    return "SQS does not know the new dead-letter queue everywhere yet"
                raise
            return ""

        self._wait(not_yet, NEW_QUEUE_SECONDS)

    def _wait(self, not_yet: Callable[[], str], seconds: float) -> None:
        """Ask until there is no reason to wait any more, and say the reason."""
        began = self._clock()
        told = 0.0
        while why := not_yet():
            waited = self._clock() - began
            if waited > seconds:
                raise CommandError(f"Waited {waited:.0f} s: {why}; run setup again later")
            if not told or waited - told >= 10:
                told = max(waited, 0.001)
                self._say(f"  waiting, {waited:.0f} s: {why}")
            self._sleep(LOOK_SECONDS)


DEPLOYMENT = {"minimumHealthyPercent": 0, "maximumPercent": 100}
"""Else a machine that drains waits for replacements that cannot come, and no task on it gets
SIGTERM ("Draining Amazon ECS container instances")."""


def setup(
    settings: Settings,
    aws: Aws,
    say: Callable[[str], None],
    dry_run: bool = False,
    now: float | None = None,
) -> list[Action]:
    """Set the run up, and return what was (or would be) done.

    Args:
        settings: of config.py.
        aws: the account.
        say: told each action, before it is done.
        dry_run: only say.
        now: Unix time.

    Raises:
        BadInput: config.py has placeholders.
        Stopped: what is there is not ours, or roles are missing.
        Interrupted: by Ctrl-C.
        botocore's errors: AWS refused.
    """
    if missing := setting_problems(settings):
        raise BadInput(missing)
    state = read_setup_state(aws, settings)
    if wrong := problems(settings, state):
        raise CommandError("\n".join(wrong))
    actions = plan(settings, state, new_run_id(time.time() if now is None else now))
    if (queue := state.queues[names(settings).queue]) and (count := _messages(queue)):
        say(f"Queue {names(settings).queue} holds {count} messages already; they stay.")
    if not actions:
        say("All is as config.py wants it; nothing to do.")
    actor = Actor(aws, say)
    done = 0
    try:
        for action in actions:
            say(f"{'would ' if dry_run else ''}{action}")
            if not dry_run:
                actor.act(action)
                done += 1
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted: {done} of {len(actions)} steps are done, the last one named may be, "
            "too. Nothing of it costs while it waits. `python run.py setup` completes it."
        ) from None
    return actions


def _messages(queue: Queue) -> int:
    """Visible, in flight or delayed."""
    return sum(
        int(queue.attributes.get(f"ApproximateNumberOfMessages{kind}", 0))
        for kind in ("", "NotVisible", "Delayed")
    )
