"""`setup_AWS.py`: its roles, and that a run needs exactly their rights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ds.cloud.rights import (
    CONTROL_ROLE,
    EXECUTION_ROLE,
    ROLES,
    SETUP_AND_SUBMIT,
    TASK_ROLE,
    policies,
)
from tests.emulator.account import WHERE, Account, allow, start_machines, until
from tests.implementation import write_jobs

SUBMIT = ["submitJob", "files/exampleJob.json", "--again", "--skip-done"]


def documents(account: Account, role: str) -> dict[str, Any]:
    iam = account.client("iam")
    return {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }


def roles_of(account: Account) -> set[str]:
    found = account.client("iam").list_roles()["Roles"]
    return {role["RoleName"] for role in found if role["RoleName"] in ROLES}


def test_the_roles_match_the_table_and_can_be_created_again(bare_account: Account) -> None:
    assert "create role ds-task" in bare_account.ok(setup_aws=True)
    for role in ROLES:
        assert documents(bare_account, role) == policies(WHERE)[role]
    assert "nothing to do" in bare_account.ok(setup_aws=True)


def test_a_dry_run_prints_every_document_and_creates_nothing(bare_account: Account) -> None:
    said = bare_account.ok("--dry-run", setup_aws=True)
    for wanted in policies(WHERE).values():
        for document in wanted.values():
            assert json.dumps(document, indent=2) in said
    assert roles_of(bare_account) == set()


def test_a_bucket_and_secrets_of_another_implementation_are_added(account: Account) -> None:
    secret = "arn:aws:ssm:us-east-1:123456789012:parameter/k"
    account.configure(APP_NAME="Second", AWS_BUCKET="second", SECRETS={"KEY": secret})
    account.ok(setup_aws=True)
    assert set(documents(account, TASK_ROLE)) == {"ds", "bucket-test-bucket", "bucket-second"}
    assert set(documents(account, EXECUTION_ROLE)) == {"ds", "secrets-Second"}
    account.ok("--bucket", "third", setup_aws=True)
    assert "bucket-third" in documents(account, CONTROL_ROLE)


def test_only_what_it_created_is_removed(account: Account) -> None:
    iam = account.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="ds-tasks", AssumeRolePolicyDocument=trust)
    account.ok("--remove", setup_aws=True)
    assert roles_of(account) == set()
    assert iam.get_role(RoleName="ds-tasks")
    assert "No roles exist; nothing to do" in account.ok("--remove", setup_aws=True)


@pytest.mark.parametrize("words", [[], ["--remove"]])
def test_a_role_of_somebody_else_is_not_changed(bare_account: Account, words: list[str]) -> None:
    iam = bare_account.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName=TASK_ROLE, AssumeRolePolicyDocument=trust)
    ended = bare_account.run(*words, setup_aws=True)
    assert ended.code == 2
    assert "role ds-task: already exists without the tag" in ended.output
    assert roles_of(bare_account) == {TASK_ROLE}


@pytest.fixture
def ruled(account: Account) -> Iterator[Account]:
    """An account in which IAM is enforced."""
    yield account
    account.control.enforce(on=False)


ACTIONS = sorted({action for right in SETUP_AND_SUBMIT for action in right.actions.split()})


def use_everything(account: Account, keys: dict[str, str]) -> str:
    """Run everything that the control node does; return the output of the first failure."""
    steps: list[tuple[Callable[[], None] | None, list[str]]] = [
        (None, ["setup"]),
        (None, ["setup"]),
        (lambda: account.configure(JOB_RETRIES=9), ["setup"]),
        (None, SUBMIT),
        (lambda: end_run(account), ["setup"]),
    ]
    for before, words in steps:
        if before:
            account.control.enforce(on=False)
            before()
        account.control.enforce()
        ended = account.run(*words, env=keys)
        if ended.code:
            assert ended.code == 3, ended.output
            return ended.output
    return ""


def end_run(account: Account) -> None:
    ecs = account.client("ecs")
    ecs.delete_service(cluster="Test", service="Test", force=True)
    ecs.delete_cluster(cluster="Test")
    time.sleep(1.1)  # runs are named by the second


def test_setup_and_submit_pass_under_the_control_role(ruled: Account) -> None:
    assert use_everything(ruled, allow(ruled, CONTROL_ROLE)) == ""


@pytest.mark.parametrize("action", ACTIONS)
def test_without_this_right_they_fail(ruled: Account, action: str) -> None:
    said = use_everything(ruled, allow(ruled, CONTROL_ROLE, without=action))
    assert said, f"nothing needs {action}"
    assert "run setup_AWS.py and use its role" in said
    assert "Traceback" not in said


def counts(account: Account, queue: str) -> int:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kinds = ("", "NotVisible", "Delayed")
    return sum(int(found[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)


def test_two_hundred_jobs_some_failing_under_exactly_the_roles(ruled: Account) -> None:
    script = 'case "$name" in bad*) exit 3;; esac; echo "$name" > "$output_dir/out.txt"'
    command = f"bash -c '{script}'"
    text = (ruled.root / "job.py").read_text()
    first = text.splitlines()[0]
    (ruled.root / "job.py").write_text(text.replace(first, f"COMMAND = {command!r}"))
    good = [f"n{number}" for number in range(190)]
    bad = [f"bad{number}" for number in range(10)]
    write_jobs(ruled.root, [{"name": name} for name in (*good, *bad)])
    ruled.configure(JOB_RETRIES=1, DOCKER_CORES=4, MEMORY=3000)
    control = allow(ruled, CONTROL_ROLE)
    allow(ruled, TASK_ROLE)
    output = ruled.root.parent / "tasks"
    output.mkdir()
    start_machines(ruled.control, 1)
    # Without keys: the worker takes its task's role, as in a container.
    machine = {k: v for k, v in ruled.control.environment.items() if "ACCESS_KEY" not in k}
    ruled.control.play(ruled.root, environment=machine, output=output)
    # As on AWS: what is written while a log stream is made must not be lost.
    ruled.control.latency(250, "logs:CreateLogStream")
    ruled.control.enforce()
    for words in (["setup"], SUBMIT):
        ended = ruled.run(*words, env=control)
        assert ended.code == 0, ended.output
    ruled.control.enforce(on=False)
    ruled.client("ecs").update_service(cluster="Test", service="Test", desiredCount=1)
    ruled.control.enforce()
    admin = ruled.control.user()
    watcher = Account(_As(ruled.control, admin), ruled.root)  # type: ignore[arg-type]
    try:
        until(lambda: counts(watcher, "Test") == 0, 200)
        assert counts(watcher, "Test-dead") == 10
    except AssertionError:
        for path in output.iterdir():
            print(path.read_text()[-3000:])
        raise
    ruled.control.enforce(on=False)
    s3, sqs = ruled.client("s3"), ruled.client("sqs")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="test-bucket", Prefix="out/")
    keys = {entry["Key"] for page in pages for entry in page["Contents"]}
    assert keys == {f"out/{name}/out.txt" for name in good}
    dead = {}
    url = sqs.get_queue_url(QueueName="Test-dead")["QueueUrl"]
    while batch := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        for message in batch:
            attributes = message["MessageAttributes"]
            dead[json.loads(message["Body"])["group"]["name"]] = (
                attributes["exit_code"]["StringValue"],
                attributes["reason"]["StringValue"],
            )
    assert set(dead) == set(bad)
    assert all(code == "3" and reason for code, reason in dead.values()), dead
    until(lambda: len(records(ruled)) >= 200, 30)  # sent every few seconds
    outcomes = {record["group"]["name"]: record["outcome"] for record in records(ruled)}
    assert outcomes == {**dict.fromkeys(good, "done"), **dict.fromkeys(bad, "dead")}
    assert len(records(ruled)) == 200


def records(account: Account) -> list[dict[str, Any]]:
    """The records of the whole run."""
    pages = account.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName="Test_records")
    return [json.loads(event["message"]) for page in found for event in page["events"]]


class _As:
    """The emulator's control with other keys for its clients."""

    def __init__(self, control: Any, keys: dict[str, str]) -> None:
        self._control = control
        self._keys = keys

    def client(self, service: str) -> Any:
        return self._control.client(service, **self._keys)
