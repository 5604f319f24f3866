"""The worker's role: jobs are done with exactly its rights, and each of them is needed.

A worker for each right that is missing, all at once: each has its own queues, log groups, service
and role, so that the time of one is the time of all.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ds.cloud.rights import TASK_ROLE, WORKER
from ds.jobs.environment import WorkerSettings
from ds.jobs.message import Job
from tests.emulator.account import enforceable, start_machines, until
from tests.emulator.aws.client import Control
from tests.implementation import make_implementation

ACTIONS = sorted({action for right in WORKER for action in right.actions.split()})

# All that a worker does: inputs by name and by folder; outputs of several files; a job that takes
# longer than its message is hidden; one that fails; an upload in parts that S3 refuses at its end.
SCRIPT = """
case "$name" in
    good) cat "$file" "$folder"/* > "$output_dir/a.txt"; echo > "$output_dir/b.txt" ;;
    slow) sleep 9; echo > "$output_dir/a.txt" ;;
    big) head -c 10500000 /dev/zero > "$output_dir/a.txt" ;;
    bad) exit 3 ;;
esac
"""
INPUTS = {"file": "in/a.txt", "folder": "in/more"}
NAMES = ("good", "slow", "big", "bad")
HIDDEN_SECONDS = 6


@dataclass(frozen=True)
class State:
    """What one worker has left behind.

    Attributes:
        outputs: jobs with outputs.
        dead: jobs in the dead-letter queue.
        waiting: messages in the queue.
        recorded: jobs with the record of an attempt that was not interrupted.
        unfinished: multipart uploads that are neither completed nor aborted: they cost money.
    """

    outputs: frozenset[str]
    dead: frozenset[str]
    waiting: int
    recorded: frozenset[str]
    unfinished: int = 0


def some(*names: str) -> frozenset[str]:
    return frozenset(names)


WHOLE = State(some("good", "slow"), some("big", "bad"), 0, some(*NAMES))
NOTHING = State(some(), some(), 4, some())

WITHOUT = {
    "sqs:GetQueueAttributes": NOTHING,
    "sqs:ReceiveMessage": NOTHING,
    "sqs:ChangeMessageVisibility": replace(WHOLE, outputs=some("good"), waiting=1),
    "sqs:DeleteMessage": replace(WHOLE, waiting=4),
    "sqs:SendMessage": replace(WHOLE, dead=some(), waiting=2),
    "logs:CreateLogStream": replace(WHOLE, recorded=some()),
    "logs:PutLogEvents": replace(WHOLE, recorded=some()),
    "s3:ListBucket": replace(WHOLE, outputs=some("slow"), dead=some("good", "big", "bad")),
    "s3:GetObject": replace(WHOLE, outputs=some("slow"), dead=some("good", "big", "bad")),
    "s3:PutObject": replace(WHOLE, outputs=some(), dead=some(*NAMES)),
    "s3:DeleteObject": replace(WHOLE, dead=some("good", "big", "bad")),
    "s3:AbortMultipartUpload": replace(WHOLE, unfinished=1),
}
"""What workers leave behind without a right."""

ASKED = {
    "s3:ListBucket": {"s3:ListObjectsV2"},
    "s3:GetObject": {"s3:GetObject", "s3:HeadObject"},
    "sqs:ChangeMessageVisibility": {"sqs:ChangeMessageVisibilityBatch"},
}
"""Operations that need a right with another name."""


class Workers:
    """The workers, and what they have left behind; `missing` ("" for none) names each."""

    def __init__(self, control: Control, root: Path) -> None:
        self.control = control
        self.root = root
        self.number = {missing: number for number, missing in enumerate(["", *ACTIONS])}
        self.client = functools.cache(control.client)

    def start(self) -> None:
        self.client("s3").create_bucket(Bucket="test-bucket")
        for key in ("in/a.txt", "in/more/b.txt"):
            self.client("s3").put_object(Bucket="test-bucket", Key=key, Body=b"x")
        self.client("ecs").create_cluster(clusterName="c")
        start_machines(self.control, 4, "c")
        self.control.settings(restart_pause=600)  # a worker that cannot start stays away
        self.control.fault("s3:CompleteMultipartUpload", "refused", times=None, code="InvalidPart")
        # Without keys: a worker takes its task's role, as in a container.
        machine = {k: v for k, v in self.control.environment.items() if "ACCESS_KEY" not in k}
        self.control.play(self.root, environment=machine, output=self.root.parent / "tasks")
        for missing in self.number:
            self._prepare(missing)
        admin = self.control.user()
        self.client = functools.cache(functools.partial(self.control.client, **admin))
        self.control.enforce()
        self._scale(1)

    def _prepare(self, missing: str) -> None:
        name = f"w{self.number[missing]}"
        sqs, iam, ecs, logs = (self.client(s) for s in ("sqs", "iam", "ecs", "logs"))
        nobody = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=nobody)["Role"]["Arn"]
        for policy, document in enforceable(TASK_ROLE, missing).items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)
        urls = [sqs.create_queue(QueueName=q)["QueueUrl"] for q in (name, f"{name}-dead")]
        for group in (name, f"{name}_records"):
            logs.create_log_group(logGroupName=group)
        for job in NAMES:
            inputs = INPUTS if job == "good" else dict.fromkeys(INPUTS, "")
            body = Job({}, {"name": job, "worker": name, **inputs}).body()
            sqs.send_message(QueueUrl=urls[0], MessageBody=body)
        settings = WorkerSettings(
            APP_NAME=name,
            run_id="r",
            AWS_BUCKET="test-bucket",
            queue_url=urls[0],
            dead_letter_url=urls[1],
            LOG_GROUP_NAME=name,
            DOCKER_CORES=4,
            JOB_RETRIES=1,
            visibility_seconds=HIDDEN_SECONDS,
            poll_seconds=1,
        )
        environment = [{"name": k, "value": v} for k, v in settings.environment().items()]
        container = {"name": "c", "image": "i", "memory": 1000, "environment": environment}
        ecs.register_task_definition(
            family=name, containerDefinitions=[container], taskRoleArn=role
        )
        ecs.create_service(cluster="c", serviceName=name, taskDefinition=name, desiredCount=0)

    def stop(self) -> None:
        self._scale(0)
        until(lambda: not self.control.tasks(), 60)

    def _scale(self, desired: int) -> None:
        ecs = self.client("ecs")
        for number in self.number.values():
            ecs.update_service(cluster="c", service=f"w{number}", desiredCount=desired)

    def was_refused(self, missing: str) -> bool:
        """Whether AWS has refused a request of the worker."""
        by = f"assumed-role/w{self.number[missing]}/session"
        return any(
            call["outcome"].startswith("403") or "AccessDenied" in call["outcome"]
            for operation in ASKED.get(missing, {missing})
            for call in self.control.calls(operation)
            if call["principal"].endswith(by)
        )

    def state(self, missing: str) -> State:
        name = f"w{self.number[missing]}"
        s3 = self.client("s3")
        found = s3.list_objects_v2(Bucket="test-bucket", Prefix=f"{name}/").get("Contents", [])
        uploads = s3.list_multipart_uploads(Bucket="test-bucket").get("Uploads", [])
        return State(
            outputs=frozenset(entry["Key"].split("/")[1] for entry in found),
            dead=frozenset(self._dead(f"{name}-dead")),
            waiting=self._waiting(name),
            recorded=frozenset(self._recorded(f"{name}_records")),
            unfinished=sum(upload["Key"].startswith(f"{name}/") for upload in uploads),
        )

    def _dead(self, queue: str) -> Iterator[str]:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        while batch := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1
        ).get("Messages"):
            for message in batch:
                yield json.loads(message["Body"])["group"]["name"]

    def _waiting(self, queue: str) -> int:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        return sum(int(found[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)

    def _recorded(self, group: str) -> Iterator[str]:
        for event in self.client("logs").filter_log_events(logGroupName=group)["events"]:
            record = json.loads(event["message"])
            if record["outcome"] != "interrupted":
                yield record["group"]["name"]


@pytest.fixture
def workers(aws: Control, tmp_path: Path) -> Iterator[Workers]:
    root = make_implementation(
        tmp_path,
        command=f"bash -c '{SCRIPT}'",
        variables={"name": "text", "worker": "text", "file": "file", "folder": "folder"},
        output_prefix="{worker}/{name}",
    )
    (tmp_path / "tasks").mkdir()
    workers = Workers(aws, root)
    workers.start()
    yield workers
    aws.enforce(on=False)


def test_all_jobs_are_done_with_the_workers_rights_and_not_with_one_less(workers: Workers) -> None:
    assert sorted(WITHOUT) == ACTIONS
    expected = {"": WHOLE, **WITHOUT}
    left = set(expected)
    end = time.monotonic() + 120
    while left and time.monotonic() < end:
        time.sleep(0.5)
        left -= {
            missing
            for missing in left
            if (not missing or workers.was_refused(missing))
            and workers.state(missing) == expected[missing]
        }
    workers.stop()
    found = {missing: workers.state(missing) for missing in expected}
    wrong = [
        f"without {missing or 'nothing'}: {found[missing]}, not {state}"
        for missing, state in expected.items()
        if found[missing] != state
    ]
    assert not wrong, "\n".join(wrong)
    assert not left, "they never asked for it"
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in os.environ
