"""What AWS refuses and moto accepts: roles, log groups, creation with tags."""

import re
from dataclasses import dataclass

from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from tests.emulator.aws.access import denied, enforcing
from tests.emulator.aws.call import Call
from tests.emulator.aws.refusal import Refusal

IAM = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_"
IAM_GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
LOGS = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_"
ECS_GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/"
SQS_API = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"


@dataclass(frozen=True)
class _Tagging:
    """The right to tag that creating a resource with tags requires.

    Attributes:
        action: its name in a policy.
        name: the parameter with the name of the resource.
        resource: the ARN of the resource, after the account.
        tags: the parameter with the tags.
    """

    action: str
    name: str
    resource: str
    tags: str = "tags"


TAGGING = {
    "ecs:CreateCluster": _Tagging("ecs:TagResource", "clusterName", "cluster/{}"),
    "ecs:CreateService": _Tagging("ecs:TagResource", "serviceName", "service/{cluster}/{}"),
    "ecs:RegisterTaskDefinition": _Tagging("ecs:TagResource", "family", "task-definition/{}:*"),
    "logs:CreateLogGroup": _Tagging("logs:TagResource", "logGroupName", "log-group:{}"),
    "sqs:CreateQueue": _Tagging("sqs:TagQueue", "QueueName", "{}"),
    "iam:CreateRole": _Tagging("iam:TagRole", "RoleName", "role/{}", "Tags"),
    "iam:CreateInstanceProfile": _Tagging(
        "iam:TagInstanceProfile", "InstanceProfileName", "instance-profile/{}", "Tags"
    ),
}


def _tagging(call: Call) -> str | None:
    """Require the right to tag a resource that a call creates with tags."""
    right = TAGGING[call.name]
    if not enforcing() or not call.parameters.get(right.tags):
        return None
    cluster = str(call.parameters.get("cluster", "")).rpartition("/")[2]
    made = right.resource.format(call.parameters.get(right.name, ""), cluster=cluster)
    region = "" if call.service == "iam" else call.region
    arn = f"arn:{get_partition(call.region)}:{call.service}:{region}:{call.account}:{made}"
    why = denied(right.action, arn, call.region, call.environ, call.body)
    return f"{why} on resource: {arn}" if why else None


def _policy_size(call: Call) -> str | None:
    """Check the size of all inline policies of a role or user together, without white space."""
    limits = {"PutUserPolicy": 2048, "PutRolePolicy": 10_240}
    limit = limits.get(call.operation, 6144)
    given = call.parameters
    backend = iam_backends[call.account]["aws"]
    roles = (role for role in backend.roles.values() if role.name == given.get("RoleName"))
    owner = next(roles, None) or backend.users.get(str(given.get("UserName")))
    inline = dict(owner.policies) if owner else {}
    inline[str(given.get("PolicyName"))] = given.get("PolicyDocument", "")
    if sum(len(re.sub(r"\s", "", str(text))) for text in inline.values()) <= limit:
        return None
    whose = f" for {'role' if 'RoleName' in given else 'user'} {owner.name}" if owner else ""
    return f"Maximum policy size of {limit} bytes exceeded{whose}"


def _role_in_profile(call: Call) -> str | None:
    name = call.parameters.get("RoleName")
    for profile in iam_backends[call.account]["aws"].instance_profiles.values():
        if any(role.name == name for role in profile.roles):
            return "Cannot delete entity, must remove roles from instance profile first."
    return None


def _second_role(call: Call) -> str | None:
    known = iam_backends[call.account]["aws"].instance_profiles.values()
    for profile in known:
        if profile.name == call.parameters.get("InstanceProfileName") and profile.roles:
            return "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
    return None


def _linked_role_exists(call: Call) -> str | None:
    path = f"/aws-service-role/{call.parameters.get('AWSServiceName')}/"
    for role in iam_backends[call.account]["aws"].roles.values():
        if role.path == path:
            return f"Service role name {role.name} has been taken in this account, please try a different suffix."  # noqa: E501
    return None


RETENTIONS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731,
    1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip


def _retention(call: Call) -> str | None:
    days = call.parameters.get("retentionInDays")
    if days in RETENTIONS:
        return None
    return f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint"  # noqa: E501


def _log_group_name(call: Call) -> str | None:
    name = str(call.parameters.get("logGroupName", ""))
    if name.startswith("aws/"):
        return "Log groups starting with aws/ are reserved for AWS."
    if re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,512}", name):
        return None
    return f"1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"  # noqa: E501


ROWS = (
    Refusal(
        ("ecs:CreateCluster", "ecs:CreateService", "ecs:RegisterTaskDefinition"),
        "creating a resource with tags without ecs:TagResource (only with IAM on)",
        "AccessDeniedException",
        ECS_GUIDE + "supported-iam-actions-tagging.html",
        _tagging,
    ),
    Refusal(
        ("logs:CreateLogGroup",),
        "creating a log group with tags without logs:TagResource (only with IAM on)",
        "AccessDeniedException",
        LOGS + "CreateLogGroup.html",
        _tagging,
    ),
    Refusal(
        ("sqs:CreateQueue",),
        "creating a queue with tags without sqs:TagQueue (only with IAM on)",
        "AccessDenied",
        SQS_API + "CreateQueue.html",
        _tagging,
        403,
    ),
    Refusal(
        ("iam:CreateRole", "iam:CreateInstanceProfile"),
        "creating a role or profile with tags without iam:Tag... (only with IAM on)",
        "AccessDenied",
        IAM_GUIDE + "id_tags_roles.html",
        _tagging,
        403,
    ),
    Refusal(
        ("iam:PutRolePolicy", "iam:PutUserPolicy", "iam:CreatePolicy"),
        "a policy that, with the other inline policies of its role or user, is too long",
        "LimitExceeded",
        IAM_GUIDE + "reference_iam-quotas.html",
        _policy_size,
        409,
    ),
    Refusal(
        ("iam:CreateServiceLinkedRole",),
        "a second service-linked role of a service",
        "InvalidInput",
        IAM + "CreateServiceLinkedRole.html",
        _linked_role_exists,
    ),
    Refusal(
        ("iam:DeleteRole",),
        "deleting a role that is in an instance profile",
        "DeleteConflict",
        IAM + "DeleteRole.html",
        _role_in_profile,
        409,
    ),
    Refusal(
        ("iam:AddRoleToInstanceProfile",),
        "a second role in an instance profile",
        "LimitExceeded",
        IAM + "AddRoleToInstanceProfile.html",
        _second_role,
        409,
    ),
    Refusal(
        ("logs:PutRetentionPolicy",),
        "a retention period that AWS does not offer",
        "InvalidParameterException",
        LOGS + "PutRetentionPolicy.html",
        _retention,
    ),
    Refusal(
        ("logs:CreateLogGroup",),
        "a log group name that has characters other than A-Z a-z 0-9 _ - / . # or begins with aws/",
        "InvalidParameterException",
        LOGS + "CreateLogGroup.html",
        _log_group_name,
    ),
)
