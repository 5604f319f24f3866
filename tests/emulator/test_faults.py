"""Injected faults are seen by another process, through boto3."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.aws.client import Control

CREATE = """
import boto3, botocore
try:
    print(boto3.client("sqs").create_queue(QueueName="q")["QueueUrl"])
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
except botocore.exceptions.BotoCoreError as error:
    print(type(error).__name__)
"""


def run(aws: Control, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in another process, as a command of an implementation runs."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **aws.environment, "AWS_MAX_ATTEMPTS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def queues(aws: Control) -> list[str]:
    return list(aws.client("sqs").list_queues().get("QueueUrls", []))


def test_refused_before_it_is_done(aws: Control) -> None:
    aws.fault("sqs:CreateQueue", "refused")
    assert run(aws, CREATE).stdout == "AccessDenied 403\n"
    assert queues(aws) == []
    assert run(aws, CREATE).stdout.startswith("http")  # only once


def test_done_but_the_response_is_lost(aws: Control) -> None:
    aws.fault("sqs:CreateQueue", "lost")
    assert run(aws, CREATE).stdout == "ConnectionClosedError\n"
    assert len(queues(aws)) == 1


def test_botocore_retries_after_a_lost_response(aws: Control) -> None:
    aws.fault("sqs:CreateQueue", "lost")
    assert run(aws, CREATE, AWS_MAX_ATTEMPTS="3").stdout.startswith("http")
    assert len(aws.calls("sqs:CreateQueue")) == 2


def test_the_client_is_killed_after_it_is_done(aws: Control) -> None:
    aws.fault("sqs:CreateQueue", "killed")
    ended = run(aws, CREATE)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "")
    assert len(queues(aws)) == 1
    (call,) = aws.calls("sqs:CreateQueue")
    assert "client killed" in call["outcome"]


def test_the_process_of_the_tests_is_never_killed(aws: Control) -> None:
    aws.fault("sqs:ListQueues", "killed")
    assert queues(aws) == []  # botocore tried again
    (call, _) = aws.calls("sqs:ListQueues")
    assert "client killed: None" in call["outcome"]


def test_only_the_nth_matching_call(aws: Control) -> None:
    sqs = aws.client("sqs")
    aws.fault(
        "sqs:Create*", "refused", skip=1, containing='"b', code="Throttled", message="slow", times=1
    )
    for name in ("a", "b1"):
        sqs.create_queue(QueueName=name)
    with pytest.raises(ClientError, match=r"Throttled.*slow"):
        sqs.create_queue(QueueName="b2")
    sqs.create_queue(QueueName="b3")
    (fault,) = aws.faults()
    assert (fault["seen"], fault["happened"]) == (3, 1)


@pytest.mark.parametrize(
    ("service", "operation", "given", "code"),
    [
        ("ecs", "list_clusters", {}, "AccessDeniedException"),
        ("ec2", "describe_vpcs", {}, "UnauthorizedOperation"),
        ("iam", "list_roles", {}, "AccessDenied"),
        ("logs", "describe_log_groups", {}, "AccessDeniedException"),
        ("ssm", "describe_parameters", {}, "AccessDeniedException"),
        ("s3", "list_buckets", {}, "AccessDenied"),
        ("lambda", "list_functions", {}, "AccessDeniedException"),
        ("events", "list_rules", {}, "AccessDeniedException"),
        ("cloudwatch", "describe_alarms", {}, "AccessDenied"),
        ("service-quotas", "list_services", {}, "AccessDeniedException"),
        ("sts", "get_caller_identity", {}, "AccessDenied"),
        ("ecr", "describe_repositories", {}, "AccessDeniedException"),
    ],
)
def test_each_service_words_its_refusals(
    aws: Control, service: str, operation: str, given: dict[str, Any], code: str
) -> None:
    aws.fault(f"{service}:*", "refused")
    with pytest.raises(ClientError) as refused:
        getattr(aws.client(service), operation)(**given)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_part_of_a_batch_fails(aws: Control) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    aws.fault("sqs:SendMessageBatch", "partial", entries=[0, 2])
    entries = [{"Id": name, "MessageBody": name} for name in "abc"]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Failed"]] == ["a", "c"]
    assert [entry["Id"] for entry in answer["Successful"]] == ["b"]
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert shown["Attributes"]["ApproximateNumberOfMessages"] == "1"


def test_latency_of_an_operation_and_of_all(aws: Control) -> None:
    sqs = aws.client("sqs")

    def seconds() -> float:
        start = time.monotonic()
        sqs.list_queues()
        return time.monotonic() - start

    aws.latency(400, "sqs:List*")
    assert seconds() >= 0.4
    aws.clear_faults()
    aws.latency(300)
    assert seconds() >= 0.3


def test_the_log_has_each_request_and_its_caller(aws: Control) -> None:
    keys = aws.user("ann")
    aws.client("ecs", **keys).create_cluster(clusterName="c")
    aws.client("ec2").describe_instance_types(InstanceTypes=["m5.large"])
    aws.client("s3").create_bucket(Bucket="bucket")
    (ecs,) = aws.calls("ecs:CreateCluster")
    assert ecs["principal"].endswith(":user/ann")
    assert (ecs["parameters"], ecs["outcome"]) == ({"clusterName": "c"}, "200")
    (ec2,) = aws.calls("ec2:DescribeInstanceTypes")
    assert ec2["parameters"]["InstanceTypes"] == ["m5.large"]
    (s3,) = aws.calls("s3:CreateBucket")
    assert s3["parameters"]["Bucket"] == "bucket"
    aws.forget_calls()
    assert aws.calls() == []


def test_a_mistake_in_a_tests_request_is_reported(aws: Control) -> None:
    with pytest.raises(ValueError, match="must be one of refused"):
        aws.fault("sqs:*", "exploded")
    with pytest.raises(ValueError, match="unexpected keyword"):
        aws.settings(no_such=1)


def test_a_request_from_before_a_reset_is_not_carried_out_after_it(aws: Control) -> None:
    """The last call of a killed command must not reach the next test's account."""
    aws.latency(1000, "sqs:CreateQueue")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(run, aws, CREATE)
        while not aws.calls("sqs:CreateQueue"):
            time.sleep(0.05)
        aws.reset()
        assert late.result().stdout == "ConnectionClosedError\n"
    assert queues(aws) == []
