"""The roles that runs need, with the least rights that do: one table, from which the policy
documents and docs/roles.md are made.

`python -m control.roles` prints docs/roles.md; `make reference` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ds.cloud.client import Aws
from ds.cloud.errors import CommandError, Interrupted

CONTROL_ROLE = "ds-control"
TASK_ROLE = "ds-task"
EXECUTION_ROLE = "ds-execution"

MADE_TAG = "ds:made-by"
MADE_BY = "setup_AWS.py"
"""A role without this tag is somebody else's."""

ECS_LINKED_ROLE = "AWSServiceRoleForECS"

ROLES = {
    CONTROL_ROLE: "for who types `python run.py ...`: take it by a profile with role_arn",
    TASK_ROLE: "what a worker may do, in the container",
    EXECUTION_ROLE: "what ECS may do to start a container: fetch image and secrets, keep output",
}

PROBE = "logs/check-writes-nothing"
"""A key of the bucket that `check` begins an upload for, and gives it up."""

BASE = "ds"
"""Name of the policy that is the same for all; those of a bucket or an APP_NAME have their own."""


@dataclass(frozen=True)
class Right:
    """A row of the table: what a role may do, on what, and why.

    Attributes:
        resource: ARN in which {aws}, {account}, {bucket} stand for partition, account, bucket.
        why: for whom or for which command.
        star: why the resource cannot be named, where it is "*".
        policy: "ds" or "bucket": the inline policy that it belongs to.
    """

    role: str
    actions: tuple[str, ...]
    resource: str
    why: str
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    star: str = ""
    policy: str = BASE


HAS_APP_TAG = {"Null": {"aws:ResourceTag/ds:app": "false"}}
"""Only what carries the tag ds:app."""

SETS_APP_TAG = {"Null": {"aws:RequestTag/ds:app": "false"}}
"""Only while the tag ds:app is given."""

QUEUES = "arn:{aws}:sqs:*:{account}:*"
LOG_GROUPS = "arn:{aws}:logs:*:{account}:log-group:*"
SERVICES = "arn:{aws}:ecs:*:{account}:service/*"
CLUSTERS = "arn:{aws}:ecs:*:{account}:cluster/*"
DEFINITIONS = "arn:{aws}:ecs:*:{account}:task-definition/*"
BUCKET = "arn:{aws}:s3:::{bucket}"
NO_LEVEL = "ECS knows no resource for this action"

RIGHTS: tuple[Right, ...] = (
    Right(
        CONTROL_ROLE,
        ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags"),
        QUEUES,
        "setup, submitJob: look whether the queues are there, and whose they are",
    ),
    Right(
        CONTROL_ROLE,
        ("sqs:CreateQueue", "sqs:TagQueue"),
        QUEUES,
        "setup: make the queues with their tags; submitJob: mark the queue while it sends",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("sqs:SetQueueAttributes",),
        QUEUES,
        "setup: change the queues when settings have changed",
        HAS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("sqs:SendMessage", "sqs:UntagQueue"),
        QUEUES,
        "submitJob: send the jobs, then take the mark off",
        HAS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("logs:DescribeLogGroups",),
        "*",
        "setup: look whether the log groups are there",
        star="CloudWatch Logs knows no resource for this action",
    ),
    Right(
        CONTROL_ROLE,
        ("logs:ListTagsForResource",),
        LOG_GROUPS,
        "setup: look whose the log groups are",
    ),
    Right(
        CONTROL_ROLE,
        ("logs:CreateLogGroup", "logs:TagResource"),
        LOG_GROUPS,
        "setup: make the log groups with their tags",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("logs:PutRetentionPolicy",),
        LOG_GROUPS,
        "setup: let the log groups forget after a time",
        HAS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:DescribeClusters",),
        CLUSTERS,
        "setup: look whether the cluster is there, and whose it is",
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:CreateCluster",),
        CLUSTERS,
        "setup: make the cluster with its tags",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"),
        "*",
        "setup: look what containers are to be",
        star=NO_LEVEL,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:RegisterTaskDefinition",),
        DEFINITIONS,
        "setup: say what containers are to be",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:DescribeServices",),
        SERVICES,
        "setup: look whether the service is there, and whose it is",
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:CreateService",),
        SERVICES,
        "setup: make the service with its tags",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:UpdateService",),
        SERVICES,
        "setup: let the service use the newest task definition",
        HAS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("ecs:TagResource",),
        "arn:{aws}:ecs:*:{account}:*",
        "setup: tags of cluster, task definition and service",
        SETS_APP_TAG,
    ),
    Right(
        CONTROL_ROLE,
        ("iam:GetRole",),
        "arn:{aws}:iam::{account}:role/ds-*",
        "setup: look whether setup_AWS.py was run",
    ),
    Right(
        CONTROL_ROLE,
        ("iam:PassRole",),
        f"arn:{{aws}}:iam::{{account}}:role/{TASK_ROLE}",
        "setup: give the worker its role",
        {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    ),
    Right(
        CONTROL_ROLE,
        ("iam:PassRole",),
        f"arn:{{aws}}:iam::{{account}}:role/{EXECUTION_ROLE}",
        "setup: give ECS the role to start containers",
        {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    ),
    Right(
        CONTROL_ROLE,
        ("s3:ListBucket",),
        BUCKET,
        "submitJob --skip-done: see which outputs are complete; check: whether inputs are there",
        policy="bucket",
    ),
    Right(
        TASK_ROLE,
        (
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
        ),
        QUEUES,
        "see that the queues are there, take jobs, keep them while they run, finish them",
        HAS_APP_TAG,
    ),
    Right(
        TASK_ROLE,
        ("sqs:SendMessage",),
        QUEUES,
        "move dead jobs to the dead-letter queue",
        HAS_APP_TAG,
    ),
    Right(
        TASK_ROLE,
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        LOG_GROUPS,
        "lines and records of jobs; it can only add to them (streams have no tags)",
    ),
    Right(
        TASK_ROLE,
        ("s3:ListBucket",),
        BUCKET,
        "find inputs, and outputs that are there already",
        policy="bucket",
    ),
    Right(
        TASK_ROLE,
        ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
        f"{BUCKET}/*",
        "fetch inputs, upload outputs and logs, remove the mark of an unfinished upload",
        policy="bucket",
    ),
    Right(
        EXECUTION_ROLE,
        ("ecr:GetAuthorizationToken",),
        "*",
        "fetch an image from ECR",
        star="the token is for the whole registry: ECR knows no resource for this action",
    ),
    Right(
        EXECUTION_ROLE,
        ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        "arn:{aws}:ecr:*:{account}:repository/*",
        "fetch an image from ECR",
    ),
    Right(
        EXECUTION_ROLE,
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        LOG_GROUPS,
        "keep what a container prints; it can only add to it (streams have no tags)",
    ),
)
"""Actions, resources and conditions: "Service Authorization Reference", whose tables name the
condition keys of an action, and those of its resource (aws:ResourceTag is there). For queues see
"ABAC condition keys for Amazon SQS", too. AWS's own policies ask for tags in the same way:
AmazonRDSCustomServiceRolePolicy (queues), AWSTransformApplicationECSDeploymentPolicy (log groups,
ECS). An action on a queue or log group that may not be there yet, or be another's, cannot ask for
a tag."""

CHECK: tuple[Right, ...] = (
    Right(
        CONTROL_ROLE,
        (
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeKeyPairs",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSpotPriceHistory",
            "ec2:DescribeSubnets",
        ),
        "*",
        "check: see whether what machines are to be started with is there, fits, and its price",
        star="EC2 knows no resource for looking",
    ),
    Right(
        CONTROL_ROLE,
        ("servicequotas:GetServiceQuota",),
        "arn:{aws}:servicequotas:*:{account}:ec2/*",
        "check: see how many spot machines the account may have",
    ),
    Right(
        CONTROL_ROLE,
        ("ssm:GetParameter",),
        "arn:{aws}:ssm:*::parameter/aws/service/ecs/*",
        "check: see which machine image is the newest",
    ),
    Right(
        CONTROL_ROLE,
        ("iam:GetInstanceProfile",),
        "arn:{aws}:iam::{account}:instance-profile/*",
        "check: see whether the machines' profile is there",
    ),
    Right(
        CONTROL_ROLE,
        ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        "arn:{aws}:ecr:*:{account}:repository/*",
        "check: see whether the image is there, and for which machines",
    ),
    Right(
        CONTROL_ROLE,
        ("s3:PutObject", "s3:AbortMultipartUpload"),
        f"{BUCKET}/{PROBE}",
        "check: see whether the bucket takes uploads, by one that is begun and given up",
        policy="bucket",
    ),
)
"""What `check` asks. Without one of these it says that the answer is unknown."""

PUSH: tuple[Right, ...] = (
    Right(
        CONTROL_ROLE,
        ("ecr:GetAuthorizationToken",),
        "*",
        "push: log in to ECR",
        star="the token is for the whole registry: ECR knows no resource for this action",
    ),
    Right(
        CONTROL_ROLE,
        (
            "ecr:BatchCheckLayerAvailability",
            "ecr:CompleteLayerUpload",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:UploadLayerPart",
        ),
        "arn:{aws}:ecr:*:{account}:repository/*",
        "push: put the image into a repository that is there",
    ),
)
"""What `push` does ("Pushing a Docker image to an Amazon ECR private repository")."""

EVERY = (*RIGHTS, *CHECK, *PUSH)


@dataclass(frozen=True)
class RoleTarget:
    """Where the roles are.

    Attributes:
        bucket: AWS_BUCKET.
        app: APP_NAME; names the policy of its secrets.
        secrets: ARNs of SECRETS.
    """

    partition: str
    number: str
    bucket: str
    app: str
    secrets: tuple[str, ...] = ()


def policies(account: RoleTarget, rights: Sequence[Right] = EVERY) -> dict[str, dict[str, Any]]:
    """The inline policies of each role, by the policy's name."""
    names = {BASE: BASE, "bucket": f"bucket-{account.bucket}"}
    found: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
    for right in rights:
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(right.actions),
            "Resource": right.resource.format(
                aws=account.partition, account=account.number, bucket=account.bucket
            ),
        }
        if right.condition:
            statement["Condition"] = {key: dict(value) for key, value in right.condition.items()}
        _add(found[right.role], names[right.policy], statement)
    for arn in account.secrets:
        action = "ssm:GetParameters" if ":ssm:" in arn else "secretsmanager:GetSecretValue"
        statement = {"Effect": "Allow", "Action": [action], "Resource": arn}
        _add(found[EXECUTION_ROLE], f"secrets-{account.app}", statement)
    return found


def _add(documents: dict[str, Any], name: str, statement: dict[str, Any]) -> None:
    documents.setdefault(name, {"Version": "2012-10-17", "Statement": []})
    documents[name]["Statement"].append(statement)


def trust(role: str, account: RoleTarget) -> dict[str, Any]:
    """Who may take a role: for the control role anybody of the account who has sts:AssumeRole."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    if role == CONTROL_ROLE:
        root = f"arn:{account.partition}:iam::{account.number}:root"
        statement["Principal"] = {"AWS": root}
    else:
        statement["Principal"] = {"Service": "ecs-tasks.amazonaws.com"}
        # Not for the tasks of another account ("the confused deputy problem"). aws:SourceArn
        # would add nothing to it: ECS can name the account there, no cluster ("Task IAM role").
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account.number}}
    return {"Version": "2012-10-17", "Statement": [statement]}


@dataclass(frozen=True)
class Role:
    """A role that is there."""

    trust: Mapping[str, Any]
    tags: Mapping[str, str]
    policies: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class CreateRole:
    """Make a role."""

    name: str
    trust: Mapping[str, Any]

    def __str__(self) -> str:
        return f"create role {self.name}: {ROLES[self.name]}"

    @property
    def document(self) -> Mapping[str, Any]:
        return self.trust


@dataclass(frozen=True)
class ChangeTrust:
    """Say again who may take a role."""

    name: str
    trust: Mapping[str, Any]

    def __str__(self) -> str:
        return f"change who may take role {self.name}"

    @property
    def document(self) -> Mapping[str, Any]:
        return self.trust


@dataclass(frozen=True)
class PutPolicy:
    """Write an inline policy of a role, anew where there is one."""

    role: str
    name: str
    document: Mapping[str, Any]

    def __str__(self) -> str:
        return f"write policy {self.name} of role {self.role}"


@dataclass(frozen=True)
class DeletePolicy:
    """Remove an inline policy."""

    role: str
    name: str

    def __str__(self) -> str:
        return f"remove policy {self.name} of role {self.role}"


@dataclass(frozen=True)
class DeleteRole:
    """Remove a role."""

    name: str

    def __str__(self) -> str:
        return f"remove role {self.name}"


@dataclass(frozen=True)
class LinkService:
    """Make ECS's own role; it is the account's, and never removed here."""

    def __str__(self) -> str:
        return f"create ECS's own role, {ECS_LINKED_ROLE}: all of the account share it"


Action = CreateRole | ChangeTrust | PutPolicy | DeletePolicy | DeleteRole | LinkService
Observed = Mapping[str, Role | None]


def foreign(observed: Observed) -> list[str]:
    """Roles of these names that setup_AWS.py did not make."""
    return [name for name, role in observed.items() if role and role.tags.get(MADE_TAG) != MADE_BY]


def plan(account: RoleTarget, observed: Observed, linked: bool) -> list[Action]:
    """What makes the roles as they must be.

    Args:
        account: where.
        observed: the roles that are there.
        linked: whether ECS has its own role.
    """
    actions: list[Action] = [] if linked else [LinkService()]
    for name, wanted in policies(account).items():
        role = observed.get(name)
        who = trust(name, account)
        if role is None:
            actions.append(CreateRole(name, who))
        elif role.trust != who:
            actions.append(ChangeTrust(name, who))
        there = role.policies if role else {}
        actions += [
            PutPolicy(name, policy, document)
            for policy, document in wanted.items()
            if there.get(policy) != document
        ]
    return actions


def plan_removal(observed: Observed) -> list[Action]:
    """What removes the roles, those of other buckets and APP_NAMEs with them."""
    actions: list[Action] = []
    for name, role in observed.items():
        if role is not None:
            actions += [DeletePolicy(name, policy) for policy in role.policies if _is_own(policy)]
            actions.append(DeleteRole(name))
    return actions


def _is_own(policy: str) -> bool:
    return policy == BASE or policy.startswith(("bucket-", "secrets-"))


def observe(aws: Aws) -> dict[str, Role | None]:
    """Ask which roles are there."""
    return {name: _observe(aws.client("iam"), name) for name in ROLES}


def _observe(iam: Any, name: str) -> Role | None:
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=name)
    listed = [policy for page in pages for policy in page["PolicyNames"]]
    documents = {
        policy: _document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in listed
    }
    found = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
    return Role(_document(role["AssumeRolePolicyDocument"]), found, documents)


def _document(value: Any) -> Mapping[str, Any]:
    """boto3 decodes documents; IAM itself writes them percent-encoded."""
    found: Mapping[str, Any] = json.loads(unquote(value)) if isinstance(value, str) else value
    return found


def act(aws: Aws, action: Action) -> None:
    """Carry one action out."""
    iam = aws.client("iam")
    match action:
        case CreateRole(name, who):
            iam.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(who),
                Description=f"DS: {ROLES[name]}",
                Tags=[{"Key": MADE_TAG, "Value": MADE_BY}],
            )
        case ChangeTrust(name, who):
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(who))
        case PutPolicy(role, name, document):
            iam.put_role_policy(
                RoleName=role,
                PolicyName=name,
                PolicyDocument=json.dumps(document, separators=(",", ":")),
            )
        case DeletePolicy(role, name):
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        case DeleteRole(name):
            iam.delete_role(RoleName=name)
        case LinkService():
            iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


def setup_aws(
    aws: Aws,
    account: RoleTarget,
    say: Callable[[str], None],
    *,
    dry_run: bool = False,
    remove: bool = False,
) -> list[Action]:
    """Make the roles, or remove them; returns what was (or would be) done.

    Args:
        aws: the session.
        account: where.
        say: told each action before it is done; in a dry run its document, too.
        dry_run: only say.
        remove: remove what this made.

    Raises:
        Stopped: a role of such a name is somebody else's.
        Interrupted: by Ctrl-C.
        botocore's errors: AWS refused.
    """
    observed = observe(aws)
    if others := foreign(observed):
        raise CommandError(
            f"The role {' and '.join(others)} is there already and lacks the tag "
            f"{MADE_TAG}={MADE_BY}, so it is not touched; rename or remove it if it is nobody's"
        )
    actions = plan_removal(observed) if remove else plan(account, observed, _is_linked(aws))
    if not actions:
        say("Nothing is there." if remove else "All is there already; nothing to do.")
    done = 0
    try:
        for action in actions:
            say(f"{'would ' if dry_run else ''}{action}")
            if dry_run:
                if isinstance(action, (CreateRole, ChangeTrust, PutPolicy)):
                    say(json.dumps(action.document, indent=2))
            else:
                act(aws, action)
            done += 1
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted: {done} of {len(actions)} steps are done, the last one named may be, "
            "too. The same command completes it."
        ) from None
    return actions


def _is_linked(aws: Aws) -> bool:
    """Whether ECS has its own role; it is the only one of its path."""
    path = "/aws-service-role/ecs.amazonaws.com/"
    return bool(aws.client("iam").list_roles(PathPrefix=path)["Roles"])


HEAD = """\
# Roles and rights

<!-- Written by `make reference` from control/roles.py: edit that. -->

`python setup_AWS.py`, once in an account by somebody who may make roles, makes the roles below.
`--dry-run` shows every document and does nothing, `--remove` removes the roles again. Each has the
tag `ds:made-by=setup_AWS.py`; a role of the same name without it is never touched. Run it again
after a change of `AWS_BUCKET` or `SECRETS` in config.py: the policy `bucket-NAME` is added for the
new bucket, and those of other buckets stay, so that several implementations share the roles.
"ECS's own role" (`AWSServiceRoleForECS`) is made where it is missing, and never removed.

`{aws}`, `{account}` and `{bucket}` stand for the partition (`aws`), the account's number and
`AWS_BUCKET`. *Marked* is the condition that the resource carries the tag `ds:app`, *marking* that
the request gives it. Somebody who may mark any queue or log group of the account can make it
reachable by the other rights: AWS has no condition that says "only while it is created" for them.

Secrets: for each ARN in `SECRETS` the role `ds-execution` may do `secretsmanager:GetSecretValue`
or `ssm:GetParameters` on it, in a policy `secrets-APP_NAME`. A secret with a KMS key of its own
needs `kms:Decrypt` on that key besides, which you give yourself. Inputs in buckets other than
`AWS_BUCKET` (`s3://other/key`) need `s3:GetObject` and `s3:ListBucket` there for `ds-task`: run
`setup_AWS.py --bucket other`, which gives the same rights as on `AWS_BUCKET`, or write a narrower
policy of your own.
"""


def page(rights: Iterable[Right] = EVERY) -> str:
    """docs/roles.md."""
    words = {str(HAS_APP_TAG): "marked", str(SETS_APP_TAG): "marking"}
    parts = [HEAD]
    for role, what in ROLES.items():
        parts.append(f"\n## {role}\n\n{what[0].upper()}{what[1:]}.\n")
        if role == CONTROL_ROLE:
            parts.append("\nWho may take it: everybody of the account who has `sts:AssumeRole`.\n")
        else:
            parts.append("\nWho may take it: ECS tasks of this account (`aws:SourceAccount`).\n")
        parts.append("\n| action | resource | condition | why |\n|---|---|---|---|\n")
        for right in rights:
            if right.role != role:
                continue
            actions = ", ".join(f"`{action}`" for action in right.actions)
            condition = words.get(str(right.condition)) or ", ".join(
                f"`{key}` = `{value}`"
                for test in right.condition.values()
                for key, value in test.items()
            )
            why = f"{right.why} (`*`: {right.star})" if right.star else right.why
            parts.append(f"| {actions} | `{right.resource}` | {condition} | {why} |\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
