"""The emulator enforces IAM: by user, by role, by action and by queue."""

import json
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.emulator.aws.client import Control

ROLE = "arn:aws:iam::123456789012:role/task"


def allowing(*actions: str, resource: str = "*") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def code(do: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as refused:
        do(**given)
    return str(refused.value.response["Error"]["Code"])


def test_made_up_keys_are_refused_and_an_administrators_are_not(aws: Control) -> None:
    admin = aws.user()
    aws.enforce()
    for service, operation in (("sqs", "list_queues"), ("ecs", "list_clusters")):
        with pytest.raises(ClientError):
            getattr(aws.client(service), operation)()
        getattr(aws.client(service, **admin), operation)()
    aws.enforce(False)
    aws.client("sqs").list_queues()


def test_a_user_may_do_what_its_policy_says(aws: Control) -> None:
    keys = aws.user("ann", allowing("sqs:CreateQueue", "sqs:SendMessage", "ecs:CreateCluster"))
    aws.enforce()
    sqs, ecs = aws.client("sqs", **keys), aws.client("ecs", **keys)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "b"}])
    assert code(sqs.receive_message, QueueUrl=url) == "AccessDenied"
    assert code(sqs.delete_queue, QueueUrl=url) == "AccessDenied"
    ecs.create_cluster(clusterName="c")
    assert code(ecs.delete_cluster, cluster="c") == "AccessDeniedException"
    assert code(aws.client("ec2", **keys).describe_vpcs) == "UnauthorizedOperation"
    assert code(aws.client("iam", **keys).list_roles) == "AccessDenied"


def test_rights_on_one_queue_are_not_rights_on_another(aws: Control) -> None:
    sqs = aws.client("sqs")
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("mine", "yours")]
    arn = "arn:aws:sqs:us-east-1:123456789012:mine"
    keys = aws.user("ann", allowing("sqs:SendMessage", resource=arn))
    aws.enforce()
    sqs = aws.client("sqs", **keys)
    sqs.send_message(QueueUrl=urls[0], MessageBody="b")
    assert code(sqs.send_message, QueueUrl=urls[1], MessageBody="b") == "AccessDenied"


def test_iam_refuses_before_anything_else_is_checked(aws: Control) -> None:
    keys = aws.user("ann", allowing("sqs:CreateQueue"))
    aws.enforce()
    ecs = aws.client("ecs", **keys)
    assert code(ecs.list_tasks, cluster="nowhere") == "AccessDeniedException"


def test_a_role_can_be_passed_only_with_the_right_to_pass_it(aws: Control) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    aws.client("iam").create_role(RoleName="task", AssumeRolePolicyDocument=trust)
    given = {
        "family": "f",
        "taskRoleArn": ROLE,
        "containerDefinitions": [{"name": "c", "image": "i", "memory": 100}],
    }
    define = "ecs:RegisterTaskDefinition"
    without = aws.user("ann", allowing(define))
    another = aws.user("bob", allowing(define, "iam:PassRole", resource=ROLE.replace("task", "x")))
    right = aws.user("eve", allowing(define, "iam:PassRole"))
    aws.enforce()
    for keys in (without, another):
        ecs = aws.client("ecs", **keys)
        assert code(ecs.register_task_definition, **given) == "AccessDeniedException"
    aws.client("ecs", **right).register_task_definition(**given)


QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:g"
CONTAINERS = [{"name": "c", "image": "i", "memory": 100}]
ECS_TAGS = [{"key": "a", "value": "b"}]
IAM_TAGS = [{"Key": "a", "Value": "b"}]
NOBODY = json.dumps({"Version": "2012-10-17", "Statement": []})

# Operation, right to tag, the resource that is created, and the parameters.
TAGGED = [
    (
        "ecs:CreateCluster",
        "ecs:TagResource",
        "arn:aws:ecs:us-east-1:123456789012:cluster/c",
        {"clusterName": "c", "tags": ECS_TAGS},
    ),
    (
        "ecs:CreateService",
        "ecs:TagResource",
        "arn:aws:ecs:us-east-1:123456789012:service/there/s",
        {"cluster": "there", "serviceName": "s", "taskDefinition": "there", "tags": ECS_TAGS},
    ),
    (
        "ecs:RegisterTaskDefinition",
        "ecs:TagResource",
        "arn:aws:ecs:us-east-1:123456789012:task-definition/f:*",
        {"family": "f", "containerDefinitions": CONTAINERS, "tags": ECS_TAGS},
    ),
    ("logs:CreateLogGroup", "logs:TagResource", GROUP, {"logGroupName": "g", "tags": {"a": "b"}}),
    ("sqs:CreateQueue", "sqs:TagQueue", QUEUE, {"QueueName": "q", "tags": {"a": "b"}}),
    (
        "iam:CreateRole",
        "iam:TagRole",
        "arn:aws:iam::123456789012:role/r",
        {"RoleName": "r", "AssumeRolePolicyDocument": NOBODY, "Tags": IAM_TAGS},
    ),
    (
        "iam:CreateInstanceProfile",
        "iam:TagInstanceProfile",
        "arn:aws:iam::123456789012:instance-profile/p",
        {"InstanceProfileName": "p", "Tags": IAM_TAGS},
    ),
]


@pytest.mark.parametrize(
    ("operation", "right", "made", "given"), TAGGED, ids=[case[0] for case in TAGGED]
)
def test_creating_something_with_tags_needs_the_right_to_tag_it(
    aws: Control, operation: str, right: str, made: str, given: dict[str, Any]
) -> None:
    aws.client("ecs").create_cluster(clusterName="there")
    aws.client("ecs").register_task_definition(family="there", containerDefinitions=CONTAINERS)
    service, _, name = operation.partition(":")
    make = {"Version": "2012-10-17", "Statement": allowing(operation)["Statement"]}
    tag = allowing(right, resource=made)["Statement"]
    another = allowing(right, resource=made.replace("123456789012", "210987654321"))["Statement"]
    users = {
        "without": aws.user("without", make),
        "another": aws.user("another", {**make, "Statement": make["Statement"] + another}),
        "right": aws.user("right", {**make, "Statement": make["Statement"] + tag}),
    }
    aws.enforce()

    def do(user: str, given: dict[str, Any]) -> None:
        client = aws.client(service, **users[user])
        getattr(client, xform_name(name))(**given)

    for user in ("without", "another"):
        refused = code(do, user=user, given=given)
        assert refused == ("AccessDenied" if service in ("sqs", "iam") else "AccessDeniedException")
    do("right", given)
    aws.enforce(False)
    aws.reset()
    aws.client("ecs").create_cluster(clusterName="there")
    aws.client("ecs").register_task_definition(family="there", containerDefinitions=CONTAINERS)
    plain = {key: value for key, value in given.items() if key.lower() != "tags"}
    keys = aws.user("without", make)
    aws.enforce()
    getattr(aws.client(service, **keys), xform_name(name))(**plain)


def test_a_role_by_its_name(aws: Control) -> None:
    iam = aws.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=json.dumps(allowing("sqs:ListQueues"))
    )
    keys = aws.role("r")
    aws.enforce()
    aws.client("sqs", **keys).list_queues()
    assert code(aws.client("sqs", **keys).create_queue, QueueName="q") == "AccessDenied"
    identity = aws.client("sts", **keys).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/r/session"
