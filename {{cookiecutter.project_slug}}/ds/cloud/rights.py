"""The minimum permissions of a run: the source of the roles' policies and of docs/roles.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ds.cloud.names import APP_TAG

CONTROL_ROLE = "ds-control"
TASK_ROLE = "ds-task"
EXECUTION_ROLE = "ds-execution"

MADE_TAG = "ds:made-by"
MADE_BY = "setup_AWS.py"
"""A role without this tag was created by somebody else."""

ROLES = {
    CONTROL_ROLE: "for people who run `python run.py ...`, through a profile with role_arn",
    TASK_ROLE: "for the worker, in its container",
    EXECUTION_ROLE: "for ECS, to start a container: fetch image and secrets, store its output",
}

PROBE = "logs/check-writes-nothing"
"""The key in the bucket for which `check` starts and aborts an upload."""

BASE = "ds"
"""Name of the common policy. Each bucket and each APP_NAME has a separate policy."""


@dataclass(frozen=True)
class Right:
    """What a role may do, on which resource, and why.

    Attributes:
        actions: separated by spaces.
        resource: ARN with {aws}, {account} and {bucket} for partition, account id and bucket.
        why: which command needs the permission, and for what.
        star: why the resource is "*".
    """

    actions: str
    resource: str
    why: str
    condition: dict[str, dict[str, str]] = field(default_factory=dict)
    star: str = ""


HAS_APP_TAG = {"Null": {f"aws:ResourceTag/{APP_TAG}": "false"}}
"""The resource must have the tag of an APP_NAME."""

SETS_APP_TAG = {"Null": {f"aws:RequestTag/{APP_TAG}": "false"}}
"""The request must set the tag of an APP_NAME."""

QUEUES = "arn:{aws}:sqs:*:{account}:*"
LOG_GROUPS = "arn:{aws}:logs:*:{account}:log-group:*"
SERVICES = "arn:{aws}:ecs:*:{account}:service/*"
CLUSTERS = "arn:{aws}:ecs:*:{account}:cluster/*"
REPOSITORIES = "arn:{aws}:ecr:*:{account}:repository/*"
BUCKET = "arn:{aws}:s3:::{bucket}"

SETUP_AND_SUBMIT = (
    Right(
        "sqs:GetQueueUrl sqs:GetQueueAttributes sqs:ListQueueTags",
        QUEUES,
        "setup, submitJob: read the queues and their tags",
    ),
    Right(
        "sqs:CreateQueue sqs:TagQueue",
        QUEUES,
        "setup: create the queues with their tags; submitJob: tag the queue while it sends",
        SETS_APP_TAG,
    ),
    Right(
        "sqs:SetQueueAttributes",
        QUEUES,
        "setup: update the queues after a change of settings",
        HAS_APP_TAG,
    ),
    Right(
        "sqs:SendMessage sqs:UntagQueue",
        QUEUES,
        "submitJob: send the jobs, then remove its tag",
        HAS_APP_TAG,
    ),
    Right(
        "logs:DescribeLogGroups",
        "*",
        "setup: find the log groups",
        star="CloudWatch Logs does not support resource-level permissions for this action",
    ),
    Right("logs:ListTagsForResource", LOG_GROUPS, "setup: read the tags of the log groups"),
    Right(
        "logs:CreateLogGroup logs:TagResource",
        LOG_GROUPS,
        "setup: create the log groups with their tags",
        SETS_APP_TAG,
    ),
    Right(
        "logs:PutRetentionPolicy",
        LOG_GROUPS,
        "setup: set the retention of the log groups",
        HAS_APP_TAG,
    ),
    Right("ecs:DescribeClusters", CLUSTERS, "setup: read the cluster and its tags"),
    Right("ecs:CreateCluster", CLUSTERS, "setup: create the cluster with its tags", SETS_APP_TAG),
    Right(
        "ecs:ListTaskDefinitions ecs:DescribeTaskDefinition",
        "*",
        "setup: read the newest task definition",
        star="ECS does not support resource-level permissions for these actions",
    ),
    Right(
        "ecs:RegisterTaskDefinition",
        "arn:{aws}:ecs:*:{account}:task-definition/*",
        "setup: register the task definition with its tags",
        SETS_APP_TAG,
    ),
    Right("ecs:DescribeServices", SERVICES, "setup: read the service and its tags"),
    Right("ecs:CreateService", SERVICES, "setup: create the service with its tags", SETS_APP_TAG),
    Right(
        "ecs:UpdateService",
        SERVICES,
        "setup: update the service to the newest task definition",
        HAS_APP_TAG,
    ),
    Right(
        "ecs:TagResource",
        "arn:{aws}:ecs:*:{account}:*",
        "setup: tag cluster, task definition and service",
        SETS_APP_TAG,
    ),
    Right(
        "iam:GetRole", "arn:{aws}:iam::{account}:role/ds-*", "setup: find the roles of setup_AWS.py"
    ),
    Right(
        "iam:PassRole",
        f"arn:{{aws}}:iam::{{account}}:role/{TASK_ROLE}",
        "setup: pass the worker its role",
        {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    ),
    Right(
        "iam:PassRole",
        f"arn:{{aws}}:iam::{{account}}:role/{EXECUTION_ROLE}",
        "setup: pass ECS the role that starts containers",
        {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    ),
    Right("s3:ListBucket", BUCKET, "submitJob --skip-done: list outputs; check: list inputs"),
)

WORKER = (
    Right(
        "sqs:GetQueueAttributes sqs:ReceiveMessage sqs:ChangeMessageVisibility sqs:DeleteMessage",
        QUEUES,
        "read the queues, receive jobs, hide them while they run, delete them when done",
        HAS_APP_TAG,
    ),
    Right("sqs:SendMessage", QUEUES, "send dead jobs to the dead-letter queue", HAS_APP_TAG),
    Right(
        "logs:CreateLogStream logs:PutLogEvents",
        LOG_GROUPS,
        "write lines and records of jobs, never delete them (log streams have no tags)",
    ),
    Right("s3:ListBucket", BUCKET, "list inputs and existing outputs"),
    Right(
        "s3:GetObject s3:PutObject s3:DeleteObject s3:AbortMultipartUpload",
        f"{BUCKET}/*",
        "download inputs, upload outputs and logs, delete the marker of an unfinished upload",
    ),
)

CONTAINER_START = (
    Right(
        "ecr:GetAuthorizationToken",
        "*",
        "pull an image from ECR",
        star="the token is for the whole registry",
    ),
    Right(
        "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
        REPOSITORIES,
        "pull an image from ECR",
    ),
    Right(
        "logs:CreateLogStream logs:PutLogEvents",
        LOG_GROUPS,
        "write what a container prints, never delete it (log streams have no tags)",
    ),
)

CHECK = (
    Right(
        "ec2:DescribeImages ec2:DescribeInstanceTypes ec2:DescribeKeyPairs "
        "ec2:DescribeSecurityGroups ec2:DescribeSpotPriceHistory ec2:DescribeSubnets",
        "*",
        "check: read what machines are started with, and its price",
        star="EC2 does not support resource-level permissions for these actions",
    ),
    Right(
        "servicequotas:GetServiceQuota",
        "arn:{aws}:servicequotas:*:{account}:ec2/*",
        "check: read the quota of spot machines",
    ),
    Right(
        "ssm:GetParameter",
        "arn:{aws}:ssm:*::parameter/aws/service/ecs/*",
        "check: read the id of the newest machine image",
    ),
    Right(
        "iam:GetInstanceProfile",
        "arn:{aws}:iam::{account}:instance-profile/*",
        "check: find the machines' instance profile",
    ),
    Right(
        "ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
        REPOSITORIES,
        "check: read the image and its architectures",
    ),
    Right(
        "s3:PutObject s3:AbortMultipartUpload",
        f"{BUCKET}/{PROBE}",
        "check: start an upload and abort it, to see whether the bucket accepts uploads",
    ),
)
"""The permissions of `check`. Without one of them, it reports that the answer is unknown."""

PUSH = (
    Right(
        "ecr:GetAuthorizationToken",
        "*",
        "push: log in to ECR",
        star="the token is for the whole registry",
    ),
    Right(
        "ecr:BatchCheckLayerAvailability ecr:CompleteLayerUpload ecr:InitiateLayerUpload "
        "ecr:PutImage ecr:UploadLayerPart",
        REPOSITORIES,
        "push: push the image to an existing repository",
    ),
)
"""See "Pushing a Docker image to an Amazon ECR private repository"."""

RIGHTS = {
    CONTROL_ROLE: (*SETUP_AND_SUBMIT, *CHECK, *PUSH),
    TASK_ROLE: WORKER,
    EXECUTION_ROLE: CONTAINER_START,
}
"""For actions, resources and conditions see the "Service Authorization Reference": its tables list
the condition keys of an action and of its resource (aws:ResourceTag is one of the latter). For
queues see also "ABAC condition keys for Amazon SQS". AWS's own policies have the same conditions:
AmazonRDSCustomServiceRolePolicy (queues), AWSTransformApplicationECSDeploymentPolicy (log groups,
ECS). An action on a queue or log group that may not exist yet, or may belong to somebody else,
cannot require a tag."""


@dataclass(frozen=True)
class RoleTarget:
    """The account of the roles, and the resources that they give access to.

    Attributes:
        bucket: AWS_BUCKET.
        app: APP_NAME, used in the name of the policy for secrets.
        secrets: the ARNs in SECRETS.
    """

    partition: str
    account: str
    bucket: str
    app: str
    secrets: tuple[str, ...] = ()


def policies(target: RoleTarget) -> dict[str, dict[str, Any]]:
    """Return the inline policies of each role, keyed by policy name."""
    found: dict[str, dict[str, Any]] = {role: {} for role in ROLES}

    def allow(role: str, policy: str, statement: dict[str, Any]) -> None:
        document = found[role].setdefault(policy, {"Version": "2012-10-17", "Statement": []})
        document["Statement"].append({"Effect": "Allow", **statement})

    for role, rights in RIGHTS.items():
        for right in rights:
            resource = right.resource.format(
                aws=target.partition, account=target.account, bucket=target.bucket
            )
            statement: dict[str, Any] = {"Action": right.actions.split(), "Resource": resource}
            if right.condition:
                statement["Condition"] = right.condition
            in_bucket = "{bucket}" in right.resource
            allow(role, f"bucket-{target.bucket}" if in_bucket else BASE, statement)
    for arn in target.secrets:
        action = "ssm:GetParameters" if ":ssm:" in arn else "secretsmanager:GetSecretValue"
        allow(EXECUTION_ROLE, f"secrets-{target.app}", {"Action": [action], "Resource": arn})
    return found


def trust(role: str, target: RoleTarget) -> dict[str, Any]:
    """Return the trust policy of a role: who can assume it.

    Everybody in the account who has sts:AssumeRole can assume the control role.
    """
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    if role == CONTROL_ROLE:
        root = f"arn:{target.partition}:iam::{target.account}:root"
        statement["Principal"] = {"AWS": root}
    else:
        statement["Principal"] = {"Service": "ecs-tasks.amazonaws.com"}
        # Excludes tasks in other accounts ("the confused deputy problem"). aws:SourceArn would not
        # add anything: ECS puts the account there, but not the cluster ("Task IAM role").
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": target.account}}
    return {"Version": "2012-10-17", "Statement": [statement]}
