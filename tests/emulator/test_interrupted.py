"""Each operation of `setup`, `submitJob` and `setup_AWS.py` is refused, its response lost, and the
process killed after it. The same command again completes, and doubles only what it reports."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ds.control.submission import submission
from ds.control.submission.journal import FOLDER
from tests.emulator.account import NO_RETRIES, Account, make_roles
from tests.implementation import write_jobs

SETUP = ["setup"]
SUBMIT = ["submitJob", "files/exampleJob.json"]
MAKE_ROLES = ["--bucket", "test-bucket"]
REMOVE_ROLES = ["--remove"]
JOBS = 35


def again(account: Account) -> None:
    """Something for `setup` to change."""
    account.ok("setup")
    account.configure(JOB_RETRIES=9)


def next_run(account: Account) -> None:
    """What an earlier run leaves: everything but cluster and service."""
    account.ok("setup")
    ecs = account.client("ecs")
    ecs.delete_service(cluster="Test", service="Test", force=True)
    ecs.delete_cluster(cluster="Test")
    time.sleep(1.1)  # runs are named by the second


def jobs(account: Account) -> None:
    account.ok("setup")
    write_jobs(account.root, [{"name": f"n{number}"} for number in range(JOBS)])


def no_roles(account: Account) -> None:
    account.ok("--remove", setup_aws=True)
    # The service-linked role, which is never removed; the emulator gives it another name.
    path = "/aws-service-role/ecs.amazonaws.com/"
    iam = account.client("iam")
    for role in iam.list_roles(PathPrefix=path)["Roles"]:
        iam.delete_role(RoleName=role["RoleName"])


def other_trust(account: Account) -> None:
    principal = {"Service": "ec2.amazonaws.com"}
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    account.client("iam").update_assume_role_policy(
        RoleName="ds-task", PolicyDocument=json.dumps(document)
    )


def as_it_is(account: Account) -> None:
    """Everything exists already."""


Prepare = Callable[[Account], None]

# The state before, the command, and the operations whose failure it must survive.
PLAN: list[tuple[Prepare, list[str], list[str]]] = [
    (
        as_it_is,
        SETUP,
        [
            "sts:GetCallerIdentity",
            "iam:GetRole",
            "sqs:GetQueueUrl",
            "logs:DescribeLogGroups",
            "ecs:DescribeClusters",
            "ecs:ListTaskDefinitions",
            "ecs:CreateCluster",
            "sqs:CreateQueue",
            "logs:CreateLogGroup",
            "logs:PutRetentionPolicy",
            "ecs:RegisterTaskDefinition",
            "ecs:CreateService",
        ],
    ),
    (
        again,
        SETUP,
        [
            "sqs:GetQueueAttributes",
            "sqs:ListQueueTags",
            "logs:ListTagsForResource",
            "ecs:DescribeTaskDefinition",
            "ecs:DescribeServices",
            "sqs:SetQueueAttributes",
            "ecs:UpdateService",
        ],
    ),
    (next_run, SETUP, ["sqs:TagQueue", "logs:TagResource"]),
    (
        jobs,
        SUBMIT,
        ["sqs:TagQueue", "sqs:SendMessageBatch", "sqs:UntagQueue"],
    ),
    (jobs, [*SUBMIT, "--skip-done"], ["s3:ListObjectsV2"]),
    (
        no_roles,
        MAKE_ROLES,
        [
            "iam:ListRoles",
            "iam:CreateServiceLinkedRole",
            "iam:CreateRole",
            "iam:PutRolePolicy",
        ],
    ),
    (other_trust, MAKE_ROLES, ["iam:UpdateAssumeRolePolicy"]),
    (
        as_it_is,
        REMOVE_ROLES,
        [
            "iam:ListRolePolicies",
            "iam:GetRolePolicy",
            "iam:DeleteRolePolicy",
            "iam:DeleteRole",
        ],
    ),
]
CASES = [
    pytest.param(prepare, words, operation, id=f"{prepare.__name__}-{words[0]}-{operation}")
    for prepare, words, operations in PLAN
    for operation in operations
]


def is_roles(words: list[str]) -> bool:
    return words in (MAKE_ROLES, REMOVE_ROLES)


def state(account: Account) -> dict[str, Any]:
    """Everything that exists, except for times and the run's id."""
    sqs, logs, ecs, iam = (account.client(name) for name in ("sqs", "logs", "ecs", "iam"))
    names = ("RedrivePolicy", "MessageRetentionPeriod", "MaximumMessageSize")
    queues = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        queues[url] = {name: found.get(name) for name in names}, sorted(tags)
    groups = [
        (group["logGroupName"], group.get("retentionInDays"))
        for group in logs.describe_log_groups()["logGroups"]
    ]
    services = []
    if ecs.list_clusters()["clusterArns"]:
        services = ecs.describe_services(cluster="Test", services=["Test"])["services"]
    roles = {
        role["RoleName"]: {
            name: iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        }
        for role in iam.list_roles()["Roles"]
    }
    definitions = [
        arn.rpartition("/")[2]
        for arn in ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    ]
    return {
        "queues": queues,
        "groups": groups,
        "clusters": ecs.list_clusters()["clusterArns"],
        "services": [
            (service["serviceName"], service["status"], service["taskDefinition"])
            for service in services
            if service["status"] != "INACTIVE"
        ],
        "definitions": definitions,
        "roles": roles,
    }


def messages(account: Account) -> Counter[str]:
    """Count the messages in the queue by the name of their job."""
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="Test")["QueueUrl"]
    found: Counter[str] = Counter()
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found.update(json.loads(message["Body"])["group"]["name"] for message in batch)
    return found


_undisturbed: dict[tuple[str, ...], dict[str, Any]] = {}


def undisturbed(account: Account, prepare: Prepare, words: list[str]) -> dict[str, Any]:
    """The state after a command in which nothing fails; cached."""
    key = (prepare.__name__, *words)
    if key not in _undisturbed:
        prepare(account)
        account.ok(*words, setup_aws=is_roles(words))
        _undisturbed[key] = state(account)
    return _undisturbed[key]


def check(account: Account, words: list[str], expected: dict[str, Any], doubled: int) -> None:
    assert state(account) == expected
    if words[0] == "submitJob":
        found = messages(account)
        assert set(found) == {f"n{number}" for number in range(JOBS)}
        assert sum(found.values()) - JOBS <= doubled


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the commands, too: they are forked from this process."""
    monkeypatch.setattr(submission, "THREADS", 1)


Fresh = Callable[[], Account]


@pytest.fixture
def fresh(bare_account: Account) -> Fresh:
    """Returns the account, empty but for the roles; may be called again."""

    def make() -> Account:
        bare_account.client("s3").delete_bucket(Bucket="test-bucket")
        bare_account.control.reset()
        bare_account.configure()
        for journal in bare_account.root.glob(f"{FOLDER}/*"):
            journal.unlink()
        bare_account.client("s3").create_bucket(Bucket="test-bucket")
        make_roles(bare_account)
        return bare_account

    return make


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("prepare", "words", "operation"), CASES)
def test_a_command_completes_after_a_failure_at(
    fresh: Fresh, prepare: Prepare, words: list[str], operation: str
) -> None:
    roles = is_roles(words)
    expected = undisturbed(fresh(), prepare, words)

    # Refused, then done with the answer lost, and then again.
    account = fresh()
    prepare(account)
    for kind in ("refused", "lost"):
        account.control.fault(operation, kind, **({"code": "Nope"} if kind == "refused" else {}))
        ended = account.run(*words, env=NO_RETRIES, setup_aws=roles)
        assert ended.code == 3, ended.output
        last = ended.output.splitlines()[-1]
        assert last.startswith(("AWS refused", "AWS cannot be reached")), ended.output
        assert "Traceback" not in ended.output
        account.control.clear_faults()
    account.ok(*words, setup_aws=roles)
    check(account, words, expected, 10 if operation == "sqs:SendMessageBatch" else 0)

    # Killed after it.
    account = fresh()
    prepare(account)
    account.control.fault(operation, "killed")
    assert account.run(*words, env=NO_RETRIES, setup_aws=roles).code == -9
    account.control.clear_faults()
    said = account.ok(*words, setup_aws=roles)
    if operation == "sqs:SendMessageBatch":
        assert "Up to 10 jobs that were in flight at the interruption may run twice" in said
    check(account, words, expected, 10 if operation == "sqs:SendMessageBatch" else 0)


READING = ("Get", "List", "Describe")
CHANGING = [case for case in CASES if not str(case.values[2]).split(":")[1].startswith(READING)]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("prepare", "words", "operation"), CHANGING)
def test_a_command_completes_although_a_response_was_lost(
    fresh: Fresh, prepare: Prepare, words: list[str], operation: str
) -> None:
    expected = undisturbed(fresh(), prepare, words)
    account = fresh()
    prepare(account)
    account.control.fault(operation, "lost")
    account.ok(*words, setup_aws=is_roles(words))  # botocore sends the request again
    (fault,) = account.control.faults()
    assert fault["happened"] == 1
    account.control.clear_faults()
    if operation == "ecs:RegisterTaskDefinition":
        assert state(account)["definitions"] == ["Test:1", "Test:2"]
        assert "nothing to do" in account.ok(*words)
    else:
        check(account, words, expected, 10 if operation == "sqs:SendMessageBatch" else 0)


# The state before, the command, the operation during which Ctrl-C is pressed, and the report.
CTRL_C = [
    (
        as_it_is,
        SETUP,
        "sqs:CreateQueue",
        "of 9 steps (the last one shown may have completed). Nothing created so far costs money. "
        "Run the same command again to complete it.",
    ),
    (
        jobs,
        SUBMIT,
        "sqs:SendMessageBatch",
        ".submissions/ records them. Run the same command again to send the rest.",
    ),
    (
        no_roles,
        MAKE_ROLES,
        "iam:CreateRole",
        "steps (the last one shown may have completed). Run the same command again to complete it.",
    ),
]


@pytest.mark.parametrize(("prepare", "words", "operation", "expected"), CTRL_C)
def test_ctrl_c_reports_what_exists_and_how_to_continue(
    fresh: Fresh, prepare: Prepare, words: list[str], operation: str, expected: str
) -> None:
    account = fresh()
    prepare(account)
    account.control.forget_calls()
    account.control.latency(2000, operation)

    def interrupt(command: int) -> None:
        account.wait_for_calls(operation)
        os.kill(command, signal.SIGINT)

    ended = account.run(*words, setup_aws=is_roles(words), meanwhile=interrupt)
    account.control.clear_faults()
    assert ended.code == 130, ended.output
    assert expected in ended.output
    assert "Traceback" not in ended.output
    account.ok(*words, setup_aws=is_roles(words))
    if words == SUBMIT:
        assert len(messages(account)) == JOBS  # all of them may be there twice


def test_these_are_all_operations(fresh: Fresh) -> None:
    account = fresh()
    seen = set()
    for prepare, words, _ in PLAN:
        account = fresh()
        prepare(account)
        account.control.forget_calls()
        account.ok(*words, setup_aws=is_roles(words))
        seen |= {f"{call['service']}:{call['operation']}" for call in account.control.calls()}
    listed = set(itertools.chain.from_iterable(operations for *_, operations in PLAN))
    assert seen == listed
