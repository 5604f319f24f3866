"""The plan of `setup`: from settings and what is there to actions, without AWS."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from ds.cloud.errors import CommandError
from ds.cloud.names import names, tags
from ds.cloud.rights import EXECUTION_ROLE, TASK_ROLE
from ds.cloud.state import Cluster, LogGroup, Queue, Service, SetupState, TaskDefinition
from ds.control.commands.setup import (
    LOG_DAYS,
    Actor,
    ChangeQueue,
    CreateCluster,
    CreateLogGroup,
    CreateQueue,
    CreateService,
    KeepLogs,
    Register,
    Tag,
    UpdateService,
    WaitForService,
    new_run_id,
    plan,
    problems,
    task_definition,
)
from ds.control.files.config_file import Settings, check
from ds.jobs.environment import WorkerSettings

RUN = "20260101T000000Z"
MARKS = tags("Test", RUN)


def settings(**changes: object) -> Settings:
    given = {"APP_NAME": "Test", "AWS_BUCKET": "our-bucket", "DOCKERHUB_TAG": "lab/test:1"}
    return check({**given, **changes})


def nothing(app: str = "Test") -> SetupState:
    queues = (app, f"{app}-dead")
    return SetupState(
        region="eu-west-1",
        urls={name: f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}" for name in queues},
        arns={name: f"arn:aws:sqs:eu-west-1:123456789012:{name}" for name in queues},
        roles={name: f"arn:aws:iam::123456789012:role/{name}" for name in roles()},
        queues=dict.fromkeys(queues),
        log_groups=dict.fromkeys((app, f"{app}_records")),
        cluster=None,
        definition=None,
        service=None,
    )


def roles() -> tuple[str, str]:
    return TASK_ROLE, EXECUTION_ROLE


def after(state: SetupState, wanted: Settings) -> SetupState:
    """What would be there when the plan has been carried out (RUN is a new run's name)."""
    named = names(wanted)
    for action in plan(wanted, state, RUN):
        match action:
            case CreateCluster(_, marks):
                state = replace(state, cluster=Cluster("cluster-arn", marks))
            case CreateQueue(name, attributes, marks):
                queue = Queue(state.urls[name], attributes, marks)
                state = replace(state, queues={**state.queues, name: queue})
            case ChangeQueue(name, url, attributes):
                old = state.queues[name]
                assert old
                queue = Queue(url, {**old.attributes, **attributes}, old.tags)
                state = replace(state, queues={**state.queues, name: queue})
            case CreateLogGroup(name, marks):
                group = LogGroup(f"{name}-arn", None, marks)
                state = replace(state, log_groups={**state.log_groups, name: group})
            case KeepLogs(name, days):
                there = state.log_groups[name]
                assert there
                group = replace(there, days=days)
                state = replace(state, log_groups={**state.log_groups, name: group})
            case Register(content, marks):
                number = int(state.definition.arn[-1]) + 1 if state.definition else 1
                arn = f"definition/{named.family}:{number}"
                state = replace(state, definition=TaskDefinition(arn, content, marks))
            case WaitForService():
                state = replace(state, service=None)
            case CreateService(_, _, definition, marks):
                assert state.definition
                arn = definition or state.definition.arn
                service = Service("service-arn", "ACTIVE", arn, (0, 100), marks)
                state = replace(state, service=service)
            case UpdateService(_, _, definition):
                assert state.definition
                assert state.service
                arn = definition or state.definition.arn
                service = replace(state.service, definition=arn, healthy_percent=(0, 100))
                state = replace(state, service=service)
    return state


COMPLETE = after(nothing(), settings())


def kinds(actions: list[Any]) -> list[str]:
    return [type(action).__name__ for action in actions]


def test_in_an_empty_account_all_is_made_the_cluster_first() -> None:
    actions = plan(settings(), nothing(), RUN)
    assert kinds(actions) == [
        "CreateCluster",
        "CreateQueue",
        "CreateLogGroup",
        "KeepLogs",
        "CreateLogGroup",
        "KeepLogs",
        "CreateQueue",
        "Register",
        "CreateService",
    ]
    assert all(getattr(action, "tags", MARKS) == MARKS for action in actions)


def test_where_all_is_as_it_must_be_nothing_is_done() -> None:
    assert plan(settings(), COMPLETE, "another run") == []


def test_after_every_part_of_the_plan_the_rest_is_done_and_nothing_twice() -> None:
    everything = plan(settings(), nothing(), RUN)
    for parts in itertools.product((True, False), repeat=5):
        cluster, queue, dead, group, definition = parts
        there = replace(
            nothing(),
            cluster=COMPLETE.cluster if cluster else None,
            queues={
                "Test": COMPLETE.queues["Test"] if queue else None,
                "Test-dead": COMPLETE.queues["Test-dead"] if dead else None,
            },
            log_groups={
                "Test": COMPLETE.log_groups["Test"] if group else None,
                "Test_records": None,
            },
            definition=COMPLETE.definition if definition else None,
        )
        actions = plan(settings(), there, RUN)
        made = set(map(str, everything)) - set(map(str, actions))
        assert len(made) == cluster + queue + dead + 2 * group + definition
        assert plan(settings(), after(there, settings()), RUN) == []


# A change of config.py, and what setup then does.
CHANGES: list[tuple[dict[str, object], list[str]]] = [
    ({"JOB_RETRIES": 5}, ["ChangeQueue", "Register", "UpdateService"]),
    ({"MEMORY": 9000}, ["Register", "UpdateService"]),
    ({"DOCKER_CORES": 4}, ["Register", "UpdateService"]),
    ({"GPUS": 1}, ["Register", "UpdateService"]),
    ({"DOCKERHUB_TAG": "lab/test:2"}, ["Register", "UpdateService"]),
    ({"SECRETS": {"KEY": "arn:aws:ssm:eu-west-1:1:parameter/k"}}, ["Register", "UpdateService"]),
    ({"LANGUAGE": "en"}, ["Register", "UpdateService"]),
    ({"CHECK_IF_DONE_BOOL": True}, ["Register", "UpdateService"]),
    ({"CLUSTER_MACHINES": 9, "MACHINE_PRICE": 0.2, "EBS_VOL_SIZE": 99}, []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_a_change_of_settings_changes_just_that(
    change: dict[str, object], expected: list[str]
) -> None:
    wanted = settings(**change)
    assert kinds(plan(wanted, COMPLETE, RUN)) == expected
    assert plan(wanted, after(COMPLETE, wanted), RUN) == []
    # And back again: a secret or a GPU that is no longer wanted goes.
    assert kinds(plan(settings(), after(COMPLETE, wanted), RUN)) == expected


def test_another_log_group_is_made_and_the_old_one_stays() -> None:
    wanted = settings(LOG_GROUP_NAME="lab/logs")
    there = replace(COMPLETE, log_groups=dict.fromkeys(("lab/logs", "lab/logs_records")))
    assert [str(a) for a in plan(wanted, there, RUN)][:2] == [
        "create log group lab/logs",
        f"keep the lines of log group lab/logs for {LOG_DAYS} days",
    ]


def changed_by_hand() -> list[tuple[str, SetupState, list[str]]]:
    queue, group = COMPLETE.queues["Test"], COMPLETE.log_groups["Test"]
    assert queue
    assert group
    assert COMPLETE.service
    assert COMPLETE.definition
    (container,) = COMPLETE.definition.content["containerDefinitions"]
    privileged = {
        **COMPLETE.definition.content,
        "containerDefinitions": [{**container, "privileged": True}],
    }
    keyed = {
        **COMPLETE.definition.content,
        "containerDefinitions": [
            {
                **container,
                "environment": [*container["environment"], {"name": "KEY", "value": "x"}],
            }
        ],
    }
    short = {**queue.attributes, "MessageRetentionPeriod": "60"}
    return [
        (
            "queue",
            replace(COMPLETE, queues={**COMPLETE.queues, "Test": replace(queue, attributes=short)}),
            ["ChangeQueue"],
        ),
        (
            "log group kept for ever",
            replace(
                COMPLETE, log_groups={**COMPLETE.log_groups, "Test": replace(group, days=None)}
            ),
            ["KeepLogs"],
        ),
        (
            "service that waits for replacements",
            replace(COMPLETE, service=replace(COMPLETE.service, healthy_percent=(100, 200))),
            ["UpdateService"],
        ),
        (
            "service with another definition",
            replace(COMPLETE, service=replace(COMPLETE.service, definition="definition/Test:0")),
            ["UpdateService"],
        ),
        (
            "privileged container",
            replace(COMPLETE, definition=replace(COMPLETE.definition, content=privileged)),
            ["Register", "UpdateService"],
        ),
        (
            "variable more in the container",
            replace(COMPLETE, definition=replace(COMPLETE.definition, content=keyed)),
            ["Register", "UpdateService"],
        ),
    ]


@pytest.mark.parametrize(("_", "there", "expected"), changed_by_hand())
def test_what_somebody_changed_by_hand_is_set_right(
    _: str, there: SetupState, expected: list[str]
) -> None:
    assert kinds(plan(settings(), there, RUN)) == expected


def test_what_ecs_adds_and_how_it_sorts_is_no_change() -> None:
    assert COMPLETE.definition
    (container,) = COMPLETE.definition.content["containerDefinitions"]
    shown = {
        **{k: v for k, v in container.items() if v != []},
        "environment": list(reversed(container["environment"])),
        "mountPoints": [],
        "volumesFrom": [],
        "systemControls": [],
        "privileged": False,
    }
    content = {
        **COMPLETE.definition.content,
        "containerDefinitions": [shown],
        "status": "ACTIVE",
        "revision": 1,
    }
    there = replace(COMPLETE, definition=replace(COMPLETE.definition, content=content))
    assert plan(settings(), there, RUN) == []


def test_sqs_gives_the_redrive_policys_number_back_as_it_likes() -> None:
    queue = COMPLETE.queues["Test"]
    assert queue
    policy = queue.attributes["RedrivePolicy"].replace(": 23", ': "23"')
    attributes = {**queue.attributes, "RedrivePolicy": policy}
    there = replace(
        COMPLETE, queues={**COMPLETE.queues, "Test": replace(queue, attributes=attributes)}
    )
    assert policy != queue.attributes["RedrivePolicy"]
    assert plan(settings(), there, RUN) == []


def test_a_service_that_drains_is_waited_for() -> None:
    assert COMPLETE.service
    there = replace(COMPLETE, service=replace(COMPLETE.service, status="DRAINING"))
    assert kinds(plan(settings(), there, RUN)) == ["WaitForService", "CreateService"]


def test_what_an_earlier_run_left_is_marked_as_this_ones() -> None:
    there = replace(COMPLETE, cluster=None, service=None)
    actions = plan(settings(), there, "20270101T000000Z")
    assert [action.kind for action in actions if isinstance(action, Tag)] == [
        "queue",
        "log group",
        "log group",
        "queue",
    ]
    # Its task definition has the old run's name in it.
    assert kinds(actions)[-2:] == ["Register", "CreateService"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cluster": Cluster("arn", {})}, "cluster Test"),
        ({"cluster": Cluster("arn", {"ds:app": "Test2"})}, "cluster Test"),
        ({"queues": {"Test": Queue("url", {}, {}), "Test-dead": None}}, "queue Test"),
        ({"log_groups": {"Test": LogGroup("arn", 1, {})}}, "log group Test"),
        ({"definition": TaskDefinition("arn", {}, {})}, "task definition Test"),
        ({"service": Service("arn", "ACTIVE", "d", (0, 100), {})}, "service Test"),
        ({"roles": {TASK_ROLE: None, EXECUTION_ROLE: "arn"}}, f"no role {TASK_ROLE};"),
    ],
)
def test_what_is_not_ours_is_not_touched(change: dict[str, Any], word: str) -> None:
    (problem,) = problems(settings(), replace(nothing(), **change))
    assert word in problem
    assert ";" in problem


def test_nothing_is_wrong_with_what_is_ours() -> None:
    assert problems(settings(), COMPLETE) == []


def test_the_containers_environment_is_what_a_worker_reads_and_nothing_else() -> None:
    wanted = settings(
        DOCKER_CORES=2, CPUS_PER_JOB=3, LANGUAGE="en", SECRETS={"KEY": "arn:aws:ssm:x"}
    )
    content = task_definition(wanted, nothing(), RUN)
    (container,) = content["containerDefinitions"]
    environment = {item["name"]: item["value"] for item in container["environment"]}
    assert set(environment) == {
        "APP_NAME",
        "AWS_BUCKET",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "CHECK_IF_DONE_BOOL",
        "CPUS_PER_JOB",
        "DOCKER_CORES",
        "DS_CONFIG_VARIABLES",
        "DS_RUN",
        "EXPECTED_NUMBER_FILES",
        "JOB_RETRIES",
        "JOB_TIMEOUT_MINUTES",
        "LOG_GROUP_NAME",
        "MIN_FILE_SIZE_BYTES",
        "NECESSARY_STRING",
        "SQS_DEAD_LETTER_URL",
        "SQS_QUEUE_URL",
        "WORKING_FOLDER",
    }
    read = WorkerSettings.read(environment)
    assert (read.run_id, read.DOCKER_CORES, read.program) == (RUN, 2, {"LANGUAGE": "en"})
    assert read.queue_url == "https://sqs.eu-west-1.amazonaws.com/123456789012/Test"
    assert container["secrets"] == [{"name": "KEY", "valueFrom": "arn:aws:ssm:x"}]
    assert container["cpu"] == 6 * 1024
    assert container["linuxParameters"] == {"initProcessEnabled": True}
    assert container["stopTimeout"] == 120
    assert "privileged" not in container
    assert content["taskRoleArn"].endswith("/ds-task")
    assert content["executionRoleArn"].endswith("/ds-execution")


def test_a_run_is_named_after_its_beginning_in_utc() -> None:
    assert new_run_id(0) == "19700101T000000Z"


def test_a_wait_says_why_now_and_then_and_ends() -> None:
    now = [0.0]
    said: list[str] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    actor = Actor(None, said.append, sleep, lambda: now[0])  # type: ignore[arg-type]
    actor._wait(lambda: "" if now[0] >= 25 else "it is so", 60)
    assert said == [f"  waiting, {s} s: it is so" for s in (0, 12, 22)]
    with pytest.raises(CommandError, match=r"Waited 62 s: it is so; run setup again later"):
        actor._wait(lambda: "it is so", 60)
