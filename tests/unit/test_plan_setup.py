"""The plan of `setup`: from the settings and the state of AWS to calls, without AWS."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from ds.cloud.call import Call
from ds.cloud.names import names, run_tags
from ds.cloud.plan_setup import plan, problems, task_definition
from ds.cloud.rights import EXECUTION_ROLE, TASK_ROLE
from ds.cloud.state import Cluster, LogGroup, Queue, Service, SetupState, TaskDefinition
from ds.control.files.config_file import check_config
from ds.jobs.environment import WorkerSettings
from ds.jobs.settings import Settings

RUN = "20260101T000000Z"
TAGS = run_tags("Test", RUN)
ECS_TAGS = [{"key": "ds:app", "value": "Test"}, {"key": "ds:run", "value": RUN}]


def settings(**changes: object) -> Settings:
    given = {"APP_NAME": "Test", "AWS_BUCKET": "our-bucket", "DOCKERHUB_TAG": "lab/test:1"}
    return check_config({**given, **changes})


def nothing(app: str = "Test") -> SetupState:
    queues = (app, f"{app}-dead")
    return SetupState(
        region="eu-west-1",
        urls={name: f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}" for name in queues},
        dead_letter_arn=f"arn:aws:sqs:eu-west-1:123456789012:{app}-dead",
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
    """The state when the plan has been carried out; a new run's id is RUN."""
    named = names(wanted)
    for call in plan(wanted, state, RUN):
        given: Any = call.parameters
        match call.operation:
            case "create_cluster":
                state = replace(state, cluster=Cluster("cluster-arn", TAGS))
            case "create_queue":
                name = given["QueueName"]
                queue = Queue(state.urls[name], given["Attributes"], given["tags"])
                state = replace(state, queues={**state.queues, name: queue})
            case "set_queue_attributes":
                name = given["QueueUrl"].rpartition("/")[2]
                old = state.queues[name]
                assert old
                queue = replace(old, attributes={**old.attributes, **given["Attributes"]})
                state = replace(state, queues={**state.queues, name: queue})
            case "create_log_group":
                name = given["logGroupName"]
                group = LogGroup(f"{name}-arn", None, given["tags"])
                state = replace(state, log_groups={**state.log_groups, name: group})
            case "put_retention_policy":
                name = given["logGroupName"]
                there = state.log_groups[name]
                assert there
                group = replace(there, days=given["retentionInDays"])
                state = replace(state, log_groups={**state.log_groups, name: group})
            case "register_task_definition":
                number = int(state.definition.arn[-1]) + 1 if state.definition else 1
                arn = f"definition/{named.family}:{number}"
                content = {key: value for key, value in given.items() if key != "tags"}
                state = replace(state, definition=TaskDefinition(arn, content, TAGS))
            case "create_service" | "update_service":
                assert state.definition
                assert given["taskDefinition"] == named.family  # its latest revision
                # ECS adds its own.
                deployment = {"strategy": "ROLLING", **given["deploymentConfiguration"]}
                arn = state.definition.arn
                service = Service("service-arn", "ACTIVE", arn, deployment, TAGS)
                state = replace(state, service=service)
            case operation:
                pytest.fail(f"unexpected {operation}")
    return state


COMPLETE = after(nothing(), settings())


def operations(calls: list[Call]) -> list[str]:
    return [call.operation for call in calls]


DEAD_LETTER_ARN = "arn:aws:sqs:eu-west-1:123456789012:Test-dead"
KEPT = {"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"}
REDRIVE = json.dumps({"deadLetterTargetArn": DEAD_LETTER_ARN, "maxReceiveCount": 23})

# All that AWS is asked for in an empty account, in this order: the cluster first, because it names
# the run; the dead-letter queue long before the queue that refers to it; the service last.
CALLS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        f"create cluster Test for run {RUN}",
        "ecs",
        "create_cluster",
        {"clusterName": "Test", "tags": ECS_TAGS},
    ),
    (
        "create queue Test-dead: retention 14 days",
        "sqs",
        "create_queue",
        {"QueueName": "Test-dead", "Attributes": KEPT, "tags": TAGS},
    ),
    (
        "create log group Test",
        "logs",
        "create_log_group",
        {"logGroupName": "Test", "tags": TAGS},
    ),
    (
        "set retention of log group Test to 60 days",
        "logs",
        "put_retention_policy",
        {"logGroupName": "Test", "retentionInDays": 60},
    ),
    (
        "create log group Test_records",
        "logs",
        "create_log_group",
        {"logGroupName": "Test_records", "tags": TAGS},
    ),
    (
        "set retention of log group Test_records to 60 days",
        "logs",
        "put_retention_policy",
        {"logGroupName": "Test_records", "retentionInDays": 60},
    ),
    (
        "create queue Test: retention 14 days, dead-letter queue Test-dead after 23 receives",
        "sqs",
        "create_queue",
        {"QueueName": "Test", "Attributes": {**KEPT, "RedrivePolicy": REDRIVE}, "tags": TAGS},
    ),
    (
        "register task definition Test: lab/test:1, 1 vCPU, 4000 MB",
        "ecs",
        "register_task_definition",
        {**task_definition(settings(), nothing(), RUN), "tags": ECS_TAGS},
    ),
    (
        "create service Test with desired count 0",
        "ecs",
        "create_service",
        {
            "cluster": "Test",
            "serviceName": "Test",
            "taskDefinition": "Test",
            "desiredCount": 0,
            "launchType": "EC2",
            "schedulingStrategy": "REPLICA",
            "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
            "availabilityZoneRebalancing": "DISABLED",
            "propagateTags": "SERVICE",
            "tags": ECS_TAGS,
        },
    ),
]


def test_in_an_empty_account_everything_is_created_with_its_tags_the_cluster_first() -> None:
    calls = plan(settings(), nothing(), RUN)
    assert [(c.message, c.service, c.operation, c.parameters) for c in calls] == CALLS


# The refusal of the same request again, after its first response was lost. "": AWS returns the
# existing queue or cluster, sets the same retention, or registers another revision.
DONE_ALREADY = {
    "create_cluster": "",
    "create_queue": "",
    "create_log_group": "ResourceAlreadyExistsException",
    "put_retention_policy": "",
    "register_task_definition": "",
    "create_service": "Creation of service was not idempotent",
}


def test_the_refusals_that_mean_done_already() -> None:
    calls = plan(settings(), nothing(), RUN)
    assert {call.operation: call.done_already for call in calls} == DONE_ALREADY


def test_the_refusals_that_pass() -> None:
    calls = plan(settings(), nothing(), RUN)
    queues = [call for call in calls if call.operation == "create_queue"]
    service = calls[-1]
    for queue in queues:
        assert set(queue.wait_while) == {
            "QueueDeletedRecently",
            "dead letter target does not exist",
        }
        assert queue.patience == 120
    assert (list(service.wait_while), service.patience) == (["still draining"], 900)
    assert all(not call.wait_while for call in calls if call not in (*queues, service))


def test_where_everything_matches_nothing_is_done() -> None:
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
        left = [call.message for call in plan(settings(), there, RUN)]
        done = [call for call in everything if call.message not in left]
        assert len(done) == cluster + queue + dead + 2 * group + definition
        assert plan(settings(), after(there, settings()), RUN) == []


QUEUE, REGISTER, SERVICE = "set_queue_attributes", "register_task_definition", "update_service"

# A change of config.py, and what setup then does.
CHANGES: list[tuple[dict[str, object], list[str]]] = [
    ({"JOB_RETRIES": 5}, [QUEUE, REGISTER, SERVICE]),
    ({"MEMORY": 9000}, [REGISTER, SERVICE]),
    ({"DOCKER_CORES": 4}, [REGISTER, SERVICE]),
    ({"GPUS": 1}, [REGISTER, SERVICE]),
    ({"DOCKERHUB_TAG": "lab/test:2"}, [REGISTER, SERVICE]),
    ({"SECRETS": {"KEY": "arn:aws:ssm:eu-west-1:1:parameter/k"}}, [REGISTER, SERVICE]),
    ({"LANGUAGE": "en"}, [REGISTER, SERVICE]),
    ({"CHECK_IF_DONE_BOOL": True}, [REGISTER, SERVICE]),
    ({"CLUSTER_MACHINES": 9, "MACHINE_PRICE": 0.2, "EBS_VOL_SIZE": 99}, []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_a_change_of_settings_changes_only_that(
    change: dict[str, object], expected: list[str]
) -> None:
    wanted = settings(**change)
    assert operations(plan(wanted, COMPLETE, RUN)) == expected
    assert plan(wanted, after(COMPLETE, wanted), RUN) == []
    # And back again: a secret or a GPU that is no longer wanted goes.
    assert operations(plan(settings(), after(COMPLETE, wanted), RUN)) == expected


def test_another_log_group_is_created_and_the_old_one_is_kept() -> None:
    wanted = settings(LOG_GROUP_NAME="lab/logs")
    there = replace(COMPLETE, log_groups=dict.fromkeys(("lab/logs", "lab/logs_records")))
    assert [call.message for call in plan(wanted, there, RUN)][:2] == [
        "create log group lab/logs",
        "set retention of log group lab/logs to 60 days",
    ]


WAITS = {"minimumHealthyPercent": 100, "maximumPercent": 200}


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
            [QUEUE],
        ),
        (
            "log group without retention",
            replace(
                COMPLETE, log_groups={**COMPLETE.log_groups, "Test": replace(group, days=None)}
            ),
            ["put_retention_policy"],
        ),
        (
            "service that waits for replacements",
            replace(COMPLETE, service=replace(COMPLETE.service, deployment=WAITS)),
            [SERVICE],
        ),
        (
            "service with another definition",
            replace(COMPLETE, service=replace(COMPLETE.service, definition="definition/Test:0")),
            [SERVICE],
        ),
        (
            "privileged container",
            replace(COMPLETE, definition=replace(COMPLETE.definition, content=privileged)),
            [REGISTER, SERVICE],
        ),
        (
            "extra variable in the container",
            replace(COMPLETE, definition=replace(COMPLETE.definition, content=keyed)),
            [REGISTER, SERVICE],
        ),
    ]


@pytest.mark.parametrize(("_", "there", "expected"), changed_by_hand())
def test_what_somebody_changed_by_hand_is_corrected(
    _: str, there: SetupState, expected: list[str]
) -> None:
    assert operations(plan(settings(), there, RUN)) == expected


def test_what_ecs_adds_and_how_it_sorts_is_not_a_change() -> None:
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


def test_sqs_may_return_the_number_in_the_redrive_policy_as_text() -> None:
    queue = COMPLETE.queues["Test"]
    assert queue
    policy = queue.attributes["RedrivePolicy"].replace(": 23", ': "23"')
    attributes = {**queue.attributes, "RedrivePolicy": policy}
    there = replace(
        COMPLETE, queues={**COMPLETE.queues, "Test": replace(queue, attributes=attributes)}
    )
    assert policy != queue.attributes["RedrivePolicy"]
    assert plan(settings(), there, RUN) == []


def test_an_update_keeps_the_desired_count() -> None:
    (call,) = [c for c in plan(settings(MEMORY=9000), COMPLETE, RUN) if c.operation == SERVICE]
    assert call.message == "update service Test to the newest task definition"
    assert call.parameters == {
        "cluster": "Test",
        "service": "Test",
        "taskDefinition": "Test",
        "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
    }


def test_a_service_that_drains_is_created_again() -> None:
    assert COMPLETE.service
    there = replace(COMPLETE, service=replace(COMPLETE.service, status="DRAINING"))
    assert operations(plan(settings(), there, RUN)) == ["create_service"]


def test_what_an_earlier_run_left_is_tagged_as_this_runs() -> None:
    there = replace(COMPLETE, cluster=None, service=None)
    later = "20270101T000000Z"
    calls = plan(settings(), there, later)
    tags = run_tags("Test", later)
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012"
    assert [(c.message, c.service, c.operation, c.parameters) for c in calls[1:5]] == [
        (
            f"tag queue Test-dead with run {later}",
            "sqs",
            "tag_queue",
            {"QueueUrl": f"{url}/Test-dead", "Tags": tags},
        ),
        (
            f"tag log group Test with run {later}",
            "logs",
            "tag_resource",
            {"resourceArn": "Test-arn", "tags": tags},
        ),
        (
            f"tag log group Test_records with run {later}",
            "logs",
            "tag_resource",
            {"resourceArn": "Test_records-arn", "tags": tags},
        ),
        (
            f"tag queue Test with run {later}",
            "sqs",
            "tag_queue",
            {"QueueUrl": f"{url}/Test", "Tags": tags},
        ),
    ]
    # Its task definition contains the earlier run's id.
    assert operations(calls)[5:] == ["register_task_definition", "create_service"]


def test_what_lost_a_tag_is_tagged_again() -> None:
    assert COMPLETE.cluster
    assert COMPLETE.service
    assert COMPLETE.definition
    app = {"ds:app": "Test"}
    there = replace(
        COMPLETE,
        service=replace(COMPLETE.service, tags=app),
        definition=replace(COMPLETE.definition, tags=app),
    )
    calls = plan(settings(), there, RUN)
    assert [(c.service, c.operation, c.parameters) for c in calls] == [
        ("ecs", "tag_resource", {"resourceArn": arn, "tags": ECS_TAGS})
        for arn in ("definition/Test:1", "service-arn")
    ]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cluster": Cluster("arn", {})}, "cluster Test: "),
        ({"cluster": Cluster("arn", {"ds:app": "Test2"})}, "cluster Test: "),
        (
            {"queues": {"Test": Queue("url", {}, {}), "Test-dead": None}},
            "queue Test: ",
        ),
        ({"log_groups": {"Test": LogGroup("arn", 1, {})}}, "log group Test: "),
        ({"definition": TaskDefinition("arn", {}, {})}, "task definition Test: "),
        ({"service": Service("arn", "ACTIVE", "d", {}, {})}, "service Test: "),
        (
            {"roles": {TASK_ROLE: None, EXECUTION_ROLE: "arn"}},
            f"role {TASK_ROLE}: ",
        ),
    ],
)
def test_what_another_application_owns_is_not_changed(change: dict[str, Any], word: str) -> None:
    (problem,) = problems(settings(), replace(nothing(), **change))
    assert str(problem).startswith(word)
    if "roles" in change:
        assert problem.message == "does not exist"
        assert problem.hint.startswith("run python setup_AWS.py once")
    else:
        other = "LOG_GROUP_NAME" if "log_groups" in change else "APP_NAME"
        assert problem.message.startswith("already exists without the tag ds:app=Test")
        assert problem.hint == f"set another {other} in config.py"


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
        "NO_RETRY_EXIT_CODES",
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
