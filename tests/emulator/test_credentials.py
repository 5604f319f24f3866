"""No key, secret or token is stored anywhere: the test searches a whole run for those it used."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ds.cloud.rights import CONTROL_ROLE, TASK_ROLE
from tests.emulator.account import Account, allow, make_account, start_machines, until
from tests.emulator.aws.client import Control

SUBMIT = ["submitJob", "files/exampleJob.json"]

# The program prints its whole environment, then one job fails.
SCRIPT = """
env; cat "$job_json"; echo
case "$name" in bad) echo "$AWS_SECRET_ACCESS_KEY$AWS_SESSION_TOKEN end" >&2; exit 3 ;; esac
env > "$output_dir/out.txt"
"""

Places = dict[str, str]
"""Text by its place."""


@pytest.fixture
def account(aws: Control, tmp_path: Path) -> Account:
    groups = [{"name": name} for name in ("a", "b", "bad")]
    account = make_account(aws, tmp_path, command=f"bash -c '{SCRIPT}'", groups=groups)
    account.configure(JOB_RETRIES=1)
    return account


class Searched:
    """A run, its credentials, and everything that it stored.

    Attributes:
        said: what each command printed.
        home: of commands and workers.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.control = account.control
        self.said: Places = {}
        self.home = account.root.parent / "home"
        self.temporary = account.root.parent / "tmp"
        for folder in (self.home, self.temporary, account.root.parent / "tasks"):
            folder.mkdir()

    def run(self, keys: dict[str, str], code: int, *words: str, setup_aws: bool = False) -> str:
        """Run a command with keys; it must exit with that code."""
        env = {**keys, "HOME": str(self.home), "TMPDIR": str(self.temporary)}
        ended = self.account.run(*words, env=env, setup_aws=setup_aws)
        assert ended.code == code, f"{words}: {ended.output}"
        assert ended.output
        self.said[f"command {len(self.said)}: {' '.join(words)}"] = ended.output
        return ended.output

    def work(self) -> None:
        """Start a worker, wait until the jobs are done, and end it."""
        given = self.control.environment
        machine = {name: text for name, text in given.items() if "ACCESS_KEY" not in name}
        machine |= {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        self.control.play(
            self.account.root, environment=machine, output=self.account.root.parent / "tasks"
        )
        self.control.enforce(on=False)
        start_machines(self.control, 1)
        self.control.client("ecs").update_service(cluster="Test", service="Test", desiredCount=1)
        self.control.enforce()
        until(lambda: len(self.control.calls("sqs:DeleteMessage")) == 3, 60)
        self.control.enforce(on=False)
        self.control.client("ecs").update_service(cluster="Test", service="Test", desiredCount=0)
        until(lambda: not self.control.tasks(), 30)

    def places(self) -> Places:
        """Everything that is stored, by place."""
        found = dict(self.said)
        for where in (self._containers, self._queues, self._logs, self._bucket, self._rights):
            found.update(where())
        for path in self.account.root.parent.rglob("*"):
            if path.is_file():
                found[f"file {path}"] = f"{path.name} {path.read_bytes().decode('latin-1')}"
        for number, call in enumerate(self.control.calls()):
            text = json.dumps(call["parameters"], default=str)
            found[f"request {number}: {call['operation']}"] = text
        return found

    def with_any(self, values: set[str]) -> list[str]:
        """Places that contain one of the values, as it is or percent-encoded."""
        wanted = values | {quote(value, safe="") for value in values}
        texts = self.places().items()
        return sorted(where for where, text in texts if any(value in text for value in wanted))

    def _containers(self) -> Iterator[tuple[str, str]]:
        ecs = self.control.client("ecs")
        for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
            shown = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
            yield f"task definition {arn}", _text(shown)
        for arn in ecs.list_clusters()["clusterArns"]:
            yield "cluster", _text(ecs.describe_clusters(clusters=[arn], include=["TAGS"]))
            for service in ecs.list_services(cluster=arn)["serviceArns"]:
                shown = ecs.describe_services(cluster=arn, services=[service], include=["TAGS"])
                yield "service", _text(shown)
            if tasks := ecs.list_tasks(cluster=arn, desiredStatus="STOPPED")["taskArns"]:
                yield "tasks", _text(ecs.describe_tasks(cluster=arn, tasks=tasks, include=["TAGS"]))

    def _queues(self) -> Iterator[tuple[str, str]]:
        sqs = self.control.client("sqs")
        for url in sqs.list_queues()["QueueUrls"]:
            shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            name = url.rpartition("/")[2]
            yield f"attributes of {name}", _text(shown)
            yield f"tags of {name}", _text(sqs.list_queue_tags(QueueUrl=url).get("Tags"))
            shown = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            yield f"messages of {name}", _text(shown.get("Messages"))

    def _logs(self) -> Iterator[tuple[str, str]]:
        logs = self.control.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            tags = logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))
            yield f"log group {name}", _text([group, tags])
            yield f"log streams of {name}", _text(logs.describe_log_streams(logGroupName=name))
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
            yield f"log events of {name}", _text([page["events"] for page in pages])

    def _bucket(self) -> Iterator[tuple[str, str]]:
        s3 = self.control.client("s3")
        for entry in s3.list_objects_v2(Bucket="test-bucket")["Contents"]:
            key = entry["Key"]
            shown = s3.get_object(Bucket="test-bucket", Key=key)
            body = shown["Body"].read().decode("latin-1")
            tags = s3.get_object_tagging(Bucket="test-bucket", Key=key)["TagSet"]
            yield f"object {key}", f"{key} {shown['Metadata']} {tags} {body}"
        yield "uploads", _text(s3.list_multipart_uploads(Bucket="test-bucket").get("Uploads"))

    def _rights(self) -> Iterator[tuple[str, str]]:
        iam = self.control.client("iam")
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            yield f"role {name}", _text(iam.get_role(RoleName=name)["Role"])
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                shown = iam.get_role_policy(RoleName=name, PolicyName=policy)
                yield f"policy {policy} of {name}", _text(shown)


def _text(shown: Any) -> str:
    return json.dumps(shown, default=str)


def a_run(account: Account) -> Searched:
    """Run all commands and a worker, each with its own credentials."""
    found = Searched(account)
    control = account.control
    admin = control.user("admin")
    control.enforce()
    for words in (["--dry-run"], [], []):
        found.run(admin, 0, *words, setup_aws=True)
    control.enforce(on=False)
    keys = allow(account, CONTROL_ROLE)
    allow(account, TASK_ROLE)
    control.enforce()
    jobs = SUBMIT[1]
    found.run(keys, 0, "show", jobs)
    found.run(keys, 0, "show", jobs, "--json")
    found.run(keys, 0, "check", jobs)
    found.run(keys, 0, "check", jobs, "--json")
    found.run(keys, 0, "setup", "--dry-run")
    found.run(keys, 0, "setup")
    found.run(keys, 0, *SUBMIT, "--dry-run")
    found.run(keys, 0, *SUBMIT, "--skip-done")
    found.work()
    control.enforce()
    found.run(keys, 0, "setup")
    found.run(keys, 2, *SUBMIT)
    # A wrong secret: AWS may quote the request, and in it the token of the session.
    wrong = {**keys, "AWS_SECRET_ACCESS_KEY": "wrong" * 8}
    found.run(wrong, 3, "setup")
    found.run(wrong, 3, "check")
    token = keys["AWS_SESSION_TOKEN"]
    quoted = f"The Canonical String should have been 'GET x-amz-security-token:{token}'"
    for code in ("SignatureDoesNotMatch", "InvalidSignatureException"):
        control.fault("sts:GetCallerIdentity", "refused", code=code, message=quoted, status=403)
        found.run(keys, 3, "setup")
    found.run(admin, 0, "--remove", "--dry-run", setup_aws=True)
    control.enforce(on=False)
    return found


def test_no_key_secret_or_token_is_stored_anywhere(account: Account) -> None:
    found = a_run(account)
    used = account.control.issued()
    assert len(used) >= 3  # an administrator, the control node's role, the worker's
    secrets = {value for keys in used for value in keys.values() if value}
    secrets.add("wrong" * 8)
    places = found.places()
    for name in ("Test", "Test_records"):
        assert len(json.loads(places[f"log events of {name}"])[0]) >= 3
    # The programs printed their environment, and the dead letter has the end of the output.
    assert "DS_ATTEMPT=" in places["log events of Test"]
    assert "DS_ATTEMPT=" in places["object out/a/out.txt"]
    journal = [text for where, text in places.items() if ".submissions" in where]
    assert "finished" in journal[0]
    assert "exit code 3: end" in places["messages of Test-dead"]
    assert found.with_any(secrets) == []


def test_the_search_finds_what_is_planted(account: Account) -> None:
    account.ok(setup_aws=True)
    account.ok("setup")
    planted = "planted/Token+OfATest=="
    sqs, logs, s3, ecs = (account.client(name) for name in ("sqs", "logs", "s3", "ecs"))
    found = Searched(account)
    url = sqs.get_queue_url(QueueName="Test-dead")["QueueUrl"]
    attribute = {"reason": {"DataType": "String", "StringValue": planted}}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attribute)
    sqs.tag_queue(QueueUrl=url, Tags={"a": planted})
    logs.create_log_stream(logGroupName="Test_records", logStreamName="s")
    event = {"timestamp": int(1000 * time.time()), "message": f"x{planted}y"}
    logs.put_log_events(logGroupName="Test_records", logStreamName="s", logEvents=[event])
    s3.put_object(Bucket="test-bucket", Key="k", Body=f"?token={quote(planted, safe='')}")
    container = {
        "name": "c",
        "image": "i",
        "memory": 100,
        "environment": [{"name": "K", "value": planted}],
    }
    ecs.register_task_definition(family="f", containerDefinitions=[container])
    (found.home / ".cache").write_text(planted)
    found.said["a command"] = planted
    account.control.forget_calls()
    task = "task definition arn:aws:ecs:us-east-1:123456789012:task-definition/f:1"
    assert found.with_any({planted}) == sorted(
        [
            "a command",
            f"file {found.home / '.cache'}",
            "log events of Test_records",
            "messages of Test-dead",
            "object k",
            "tags of Test-dead",
            task,
        ]
    )
