"""`setup` against an emulator that refuses what AWS refuses; checked by another client."""

import json

import pytest

from tests.emulator.account import IMAGE, NUMBER, Account


def test_setup_creates_what_was_specified(account: Account) -> None:
    account.configure(
        JOB_RETRIES=4, MEMORY=900, GPUS=1, SECRETS={"KEY": "arn:aws:ssm:us-east-1:1:parameter/k"}
    )
    account.ok("setup")
    sqs, logs, ecs = (account.client(name) for name in ("sqs", "logs", "ecs"))

    (cluster,) = ecs.describe_clusters(clusters=["Test"], include=["TAGS"])["clusters"]
    tags = {tag["key"]: tag["value"] for tag in cluster["tags"]}
    assert set(tags) == {"ds:app", "ds:run"}
    assert tags["ds:app"] == "Test"

    found = {}
    for name in ("Test", "Test-dead"):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found[name] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert found[name]["MessageRetentionPeriod"] == "1209600"
        assert found[name]["MaximumMessageSize"] == "1048576"
        assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == tags
    redrive = json.loads(found["Test"]["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == found["Test-dead"]["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 24
    assert "RedrivePolicy" not in found["Test-dead"]

    groups = logs.describe_log_groups()["logGroups"]
    assert [(g["logGroupName"], g["retentionInDays"]) for g in groups] == [
        ("Test", 60),
        ("Test_records", 60),
    ]

    answer = ecs.describe_task_definition(taskDefinition="Test", include=["TAGS"])
    definition = answer["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert {tag["key"]: tag["value"] for tag in answer["tags"]} == tags
    assert definition["taskRoleArn"] == f"arn:aws:iam::{NUMBER}:role/ds-task"
    assert definition["executionRoleArn"] == f"arn:aws:iam::{NUMBER}:role/ds-execution"
    assert (container["image"], container["memory"], container["cpu"]) == (IMAGE, 900, 1024)
    assert container["linuxParameters"]["initProcessEnabled"] is True
    assert container["stopTimeout"] == 120
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert container["secrets"] == [
        {"name": "KEY", "valueFrom": "arn:aws:ssm:us-east-1:1:parameter/k"}
    ]
    assert not container.get("privileged")
    environment = {item["name"]: item["value"] for item in container["environment"]}
    assert environment["SQS_QUEUE_URL"] == sqs.get_queue_url(QueueName="Test")["QueueUrl"]
    assert environment["DS_RUN"] == tags["ds:run"]

    (service,) = ecs.describe_services(cluster="Test", services=["Test"])["services"]
    assert (service["status"], service["desiredCount"]) == ("ACTIVE", 0)
    assert service["taskDefinition"] == definition["taskDefinitionArn"]
    deployment = service["deploymentConfiguration"]
    assert (deployment["minimumHealthyPercent"], deployment["maximumPercent"]) == (0, 100)


def test_a_dry_run_reports_the_steps_and_changes_nothing(account: Account) -> None:
    account.control.forget_calls()
    said = account.ok("setup", "--dry-run")
    assert (
        "would create queue Test: retention 14 days, dead-letter queue Test-dead after 23 receives"
        in said
    )
    assert said.endswith("9 steps; nothing was done.\n")
    asked = {call["operation"] for call in account.control.calls()}
    assert all(name.startswith(("Get", "List", "Describe")) for name in asked), asked
    assert account.ok("setup").replace("would ", "").count("\n") == said.count("\n")


def test_setup_again_updates_only_what_changed(account: Account) -> None:
    account.ok("setup")
    assert "nothing to do" in account.ok("setup")
    account.configure(JOB_RETRIES=7)
    account.control.forget_calls()
    assert account.ok("setup").splitlines()[:-1] == [
        "update queue Test: RedrivePolicy, dead-letter queue Test-dead after 27 receives",
        f"register task definition Test: {IMAGE}, 1 vCPU, 4000 MB",
        "update service Test to the newest task definition",
    ]
    changing = ("Create", "Set", "Put", "Register", "Update", "Tag", "Delete")
    done = [c["operation"] for c in account.control.calls() if c["operation"].startswith(changing)]
    assert done == ["SetQueueAttributes", "RegisterTaskDefinition", "UpdateService"]
    assert "nothing to do" in account.ok("setup")
    (service,) = account.client("ecs").describe_services(cluster="Test", services=["Test"])[
        "services"
    ]
    assert service["taskDefinition"].endswith(":2")


def test_setup_during_a_run_keeps_its_tasks(account: Account) -> None:
    account.ok("setup")
    account.client("ecs").update_service(cluster="Test", service="Test", desiredCount=3)
    account.configure(MEMORY=500)
    account.ok("setup")
    (service,) = account.client("ecs").describe_services(cluster="Test", services=["Test"])[
        "services"
    ]
    assert service["desiredCount"] == 3


def test_a_name_that_contains_ours_is_another_name(account: Account) -> None:
    account.configure(APP_NAME="Test2")
    account.ok("setup")
    account.configure(APP_NAME="Tes")
    account.ok("setup")
    account.configure()
    assert "create service Test with" in account.ok("setup")
    arns = account.client("ecs").list_clusters()["clusterArns"]
    assert sorted(arn.rpartition("/")[2] for arn in arns) == ["Tes", "Test", "Test2"]


@pytest.mark.parametrize("kind", ["queue", "cluster", "log group"])
def test_a_resource_of_somebody_else_is_refused_and_nothing_is_done(
    account: Account, kind: str
) -> None:
    if kind == "queue":
        account.client("sqs").create_queue(QueueName="Test")
    elif kind == "cluster":
        account.client("ecs").create_cluster(clusterName="Test")
    else:
        account.client("logs").create_log_group(logGroupName="Test_records")
    ended = account.run("setup")
    assert ended.code == 2
    assert ended.output.startswith(f"{kind} Test")
    assert "already exists without the tag ds:app=Test, so it is not changed" in ended.output
    assert ended.output.count("\n") == 1
    assert not account.client("ecs").list_task_definitions()["taskDefinitionArns"]


def test_a_blocked_name_and_a_draining_service_are_reported_and_waited_for(
    account: Account,
) -> None:
    account.ok("setup")
    sqs, ecs = account.client("sqs"), account.client("ecs")
    account.control.settings(queue_name_blocked=600, service_drains=600)
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="Test")["QueueUrl"])
    ecs.delete_service(cluster="Test", service="Test", force=True)
    account.control.forget_calls()

    def end_the_waits(_: int) -> None:
        # The second call of each follows a refusal.
        account.wait_for_calls("sqs:CreateQueue", 2)
        account.control.settings(queue_name_blocked=0)
        account.wait_for_calls("ecs:CreateService", 2)
        account.control.settings(service_drains=0)

    ended = account.run("setup", meanwhile=end_the_waits)
    assert ended.code == 0, ended.output
    assert "waiting, 0 s: SQS blocks the name of deleted queue Test for 60 s" in ended.output
    assert "waiting, 0 s: the tasks of deleted service Test are stopping" in ended.output
    (service,) = ecs.describe_services(cluster="Test", services=["Test"])["services"]
    assert service["status"] == "ACTIVE"
    # The queue has its old URL, so the containers need no change.
    assert "register" not in ended.output


def test_a_new_dead_letter_queue_that_is_not_known_yet_is_waited_for(account: Account) -> None:
    account.control.fault(
        "sqs:CreateQueue",
        "refused",
        containing="RedrivePolicy",
        times=2,
        code="InvalidParameterValue",
        message="Value {...} for parameter RedrivePolicy is invalid. "
        "Reason: Dead letter target does not exist.",
    )
    said = account.ok("setup")
    assert "waiting, 0 s: SQS does not know the new dead-letter queue yet" in said
    assert account.client("sqs").get_queue_url(QueueName="Test")


def test_without_roles_it_reports_what_to_do(bare_account: Account) -> None:
    ended = bare_account.run("setup")
    assert ended.code == 2
    assert "role ds-task: does not exist; run python setup_AWS.py once" in ended.output
    assert not bare_account.client("ecs").list_clusters()["clusterArns"]


KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}

REFUSALS = [
    ({}, {"AWS_PROFILE": "lab"}, "profile (lab) could not be found"),
    (KEYS, {}, "Profile default has no complete credentials"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {}, "AWS cannot be reached"),
]


@pytest.mark.parametrize(("env", "settings", "expected"), REFUSALS)
def test_each_reason_why_aws_cannot_be_reached_is_one_line_and_exit_code_3(
    account: Account, env: dict[str, str], settings: dict[str, object], expected: str
) -> None:
    account.configure(**settings)
    ended = account.run("setup", env={**env, "AWS_MAX_ATTEMPTS": "1"})
    assert ended.code == 3
    assert expected in ended.output
    assert ended.output.count("\n") == 1


CODES = [
    (
        "AccessDeniedException",
        "run setup_AWS.py and use its role",
    ),
    ("ExpiredTokenException", "the credentials have expired; log in again"),
    ("UnrecognizedClientException", "the keys of profile default are not valid"),
    ("ClusterNotFoundException", "run the same command again"),
]


@pytest.mark.parametrize(("code", "expected"), CODES)
def test_each_refusal_is_one_line_and_exit_code_3(
    account: Account, code: str, expected: str
) -> None:
    account.control.fault("ecs:CreateCluster", "refused", code=code, status=400)
    ended = account.run("setup")
    assert ended.code == 3
    *_, last = ended.output.splitlines()
    assert last.startswith("AWS refused CreateCluster: ")
    assert expected in last
    assert "Traceback" not in ended.output
