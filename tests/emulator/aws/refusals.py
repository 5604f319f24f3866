"""What AWS refuses and moto accepts: one table.

A row's `when` looks at the call and at what there is, and returns the message of the refusal, or
None. The rows of an operation are asked in order, after IAM and before the work. What messages
of SQS are refused for stands in `sqs`, which reads them anyway; `MESSAGES` names it for the docs.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from moto.core.utils import camelcase_to_underscores
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.logs.responses import LogsResponse
from moto.sqs.models import sqs_backends
from moto.sqs.responses import SQSResponse

from tests.emulator.aws import ecs as services
from tests.emulator.aws.access import denied, enforcing
from tests.emulator.aws.call import Call, Refused
from tests.emulator.aws.state import STATE

SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
SQS_GUIDE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"
EC2_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/"
ECS = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_"
ECS_GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/"
IAM = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_"
IAM_GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
LOGS = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_"

Rule = Callable[[Call], str | None]


@dataclass(frozen=True)
class Refusal:
    """One row.

    Attributes:
        operations: "service:Operation", one or more.
        what: what is refused, for a reader.
        code: the error code that the client sees.
        page: where AWS says so.
        when: the message if it is to be refused.
    """

    operations: tuple[str, ...]
    what: str
    code: str
    page: str
    when: Rule
    status: int = 400


# SQS

ATTRIBUTES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
OTHER_ATTRIBUTES = (
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "SqsManagedSseEnabled",
)


def _queue_deleted_recently(call: Call) -> str | None:
    key = (call.account, call.region, call.parameters["QueueName"])
    deleted = STATE.deleted_queues.get(key, 0.0)
    blocked = STATE.settings.queue_name_blocked
    if time.time() - deleted >= blocked:
        return None
    return f"You must wait {blocked:g} seconds after deleting a queue before you can create another with the same name."  # noqa: E501


def _other_attributes(call: Call) -> str | None:
    queue = sqs_backends[call.account][call.region].queues.get(call.parameters["QueueName"])
    if queue is None:
        return None
    has = queue.attributes
    for name, value in (call.parameters.get("Attributes") or {}).items():
        if _plain(value) != _plain(has.get(name, "")):
            return (
                "A queue already exists with the same name and a different value for attribute "
                f"{name}"
            )
    return None


def _plain(value: Any) -> Any:
    """An attribute's value, however it is spelled: JSON by its content, numbers by their value."""
    text = str(value)
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        return {k: str(v) for k, v in found.items()}
    return str(found)


def _unknown_attribute(call: Call) -> str | None:
    for name in call.parameters.get("Attributes") or {}:
        if name not in ATTRIBUTES and name not in OTHER_ATTRIBUTES:
            return f"Unknown Attribute {name}."
    return None


def _attribute_value(call: Call) -> str | None:
    for name, value in (call.parameters.get("Attributes") or {}).items():
        if name not in ATTRIBUTES:
            continue
        low, high = ATTRIBUTES[name]
        if not re.fullmatch(r"\d+", str(value)) or not low <= int(value) <= high:
            return f"Invalid value for the parameter {name}."
    return None


def _redrive(call: Call) -> str | None:
    text = (call.parameters.get("Attributes") or {}).get("RedrivePolicy")
    if not text:
        return None
    try:
        policy = json.loads(text)
        count = int(policy["maxReceiveCount"])
        arn = policy["deadLetterTargetArn"]
    except (ValueError, KeyError, TypeError):
        return f"Value {text} for parameter RedrivePolicy is invalid. Reason: Invalid value."
    if not 1 <= count <= 1000:
        return (
            f"Value {text} for parameter RedrivePolicy is invalid. Reason: Invalid value for "
            f"maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive."
        )
    queues = sqs_backends[call.account][call.region].queues.values()
    if arn not in [queue.queue_arn for queue in queues]:
        return (
            f"Value {text} for parameter RedrivePolicy is invalid. Reason: Dead letter target "
            "does not exist."
        )
    return None


def _fifo(call: Call) -> str | None:
    fifo = "FifoQueue" in (call.parameters.get("Attributes") or {})
    return "This emulator has standard queues only." if fifo else None


def _queue_tags(call: Call) -> str | None:
    tags = call.parameters.get("Tags") or call.parameters.get("tags") or {}
    return _tags(tags)


# EC2


def _launches(call: Call) -> list[dict[str, Any]]:
    """What machines a call would make: template and overrides put together."""
    backend = ec2_backends[call.account][call.region]
    given = dict(call.parameters)
    if call.operation in ("CreateLaunchTemplate", "CreateLaunchTemplateVersion"):
        return [dict(given.get("LaunchTemplateData") or {})]
    if call.operation == "RunInstances":
        template = given.get("LaunchTemplate")
        return [{**(_template(backend, template) if template else {}), **given}]
    found = []
    for config in given.get("LaunchTemplateConfigs") or []:
        data = _template(backend, config.get("LaunchTemplateSpecification") or {})
        for override in config.get("Overrides") or [{}]:
            found.append({**data, **override})
    return found


def _template(backend: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """A template's data; empty if there is none of that name (another row says so)."""
    identity = named.get("LaunchTemplateId") or backend.launch_template_name_to_ids.get(
        named.get("LaunchTemplateName")
    )
    template = backend.launch_templates.get(identity)
    if template is None:
        return {}
    version = named.get("Version") or template.default_version_number
    try:
        return dict(template.get_version(version).data)
    except Exception:
        return {}


def _each_launch(check: Callable[[Call, dict[str, Any]], str | None]) -> Rule:
    def rule(call: Call) -> str | None:
        return next(filter(None, (check(call, data) for data in _launches(call))), None)

    return rule


def _interface_and_groups(_: Call, data: dict[str, Any]) -> str | None:
    if not data.get("NetworkInterfaces"):
        return None
    if data.get("SecurityGroupIds") or data.get("SecurityGroups"):
        return (
            "Network interfaces and an instance-level security groups may not be specified on the "
            "same request"
        )
    return None


def _interface_and_subnet(_: Call, data: dict[str, Any]) -> str | None:
    if data.get("NetworkInterfaces") and data.get("SubnetId"):
        inside = any(i.get("SubnetId") for i in data["NetworkInterfaces"])
        if inside:
            return (
                "Network interfaces and an instance-level subnet ID may not be specified on the "
                "same request"
            )
    return None


def _groups_of(data: dict[str, Any]) -> list[str]:
    found = list(data.get("SecurityGroupIds") or [])
    for interface in data.get("NetworkInterfaces") or []:
        found += interface.get("Groups") or []
    return found


def _unknown_group(call: Call, data: dict[str, Any]) -> str | None:
    backend = ec2_backends[call.account][call.region]
    for group in _groups_of(data):
        if backend.get_security_group_from_id(group) is None:
            return f"The security group '{group}' does not exist"
    return None


def _unknown_subnet(call: Call, data: dict[str, Any]) -> str | None:
    for subnet in _subnets_of(data):
        if _subnet(call, subnet) is None:
            return f"The subnet ID '{subnet}' does not exist"
    return None


def _other_network(call: Call, data: dict[str, Any]) -> str | None:
    backend = ec2_backends[call.account][call.region]
    subnets = [_subnet(call, subnet) for subnet in _subnets_of(data)]
    networks = {subnet.vpc_id for subnet in subnets if subnet}
    for identity in _groups_of(data):
        group = backend.get_security_group_from_id(identity)
        if group and networks and group.vpc_id not in networks:
            return (
                f"Security group {identity} and subnet {subnets[0].id} belong to different "
                "networks."
            )
    return None


def _subnets_of(data: dict[str, Any]) -> list[str]:
    inside = [i.get("SubnetId") for i in data.get("NetworkInterfaces") or []]
    named = [*str(data.get("SubnetId") or "").split(","), *inside]
    return [subnet.strip() for subnet in named if subnet]


def _subnet(call: Call, identity: str) -> Any | None:
    for zone in ec2_backends[call.account][call.region].subnets.values():
        if identity in zone:
            return zone[identity]
    return None


def _unknown_key(call: Call, data: dict[str, Any]) -> str | None:
    key = data.get("KeyName")
    pairs = ec2_backends[call.account][call.region].keypairs
    return f"The key pair '{key}' does not exist" if key and key not in pairs else None


def _unknown_profile(call: Call, data: dict[str, Any]) -> str | None:
    profile = data.get("IamInstanceProfile") or {}
    named = profile.get("Name") or profile.get("Arn")
    if not named:
        return None
    for known in iam_backends[call.account]["aws"].instance_profiles.values():
        if named in (known.name, known.arn):
            return None
    kind = "name" if profile.get("Name") else "ARN"
    return f"Value ({named}) for parameter iamInstanceProfile.{kind.lower()} is invalid. Invalid IAM Instance Profile {kind}"  # noqa: E501


def _image(call: Call, data: dict[str, Any]) -> Any | None:
    image = str(data.get("ImageId") or "")
    return ec2_backends[call.account][call.region].amis.get(image)


def _unknown_image(call: Call, data: dict[str, Any]) -> str | None:
    image = str(data.get("ImageId") or "")
    if image.startswith("resolve:ssm:") or not image or _image(call, data):
        return None
    if not re.fullmatch(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", image):
        return f"The image id '[{image}]' is not valid"
    return f"The image id '[{image}]' does not exist"


def _no_image(call: Call, data: dict[str, Any]) -> str | None:
    return None if data.get("ImageId") else "The request must contain the parameter ImageId"


def _small_root(call: Call, data: dict[str, Any]) -> str | None:
    image = _image(call, data)
    for device in data.get("BlockDeviceMappings") or []:
        size = (device.get("Ebs") or {}).get("VolumeSize")
        if size is None:
            continue
        need, snapshot = _snapshot(image, device.get("DeviceName"))
        if int(size) < need:
            return (
                f"Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= "
                f"{need}GB"
            )
    return None


def _snapshot(image: Any | None, device: str | None) -> tuple[int, str]:
    """Size in GB and name of what a device of an image is made from; (1, "") if of nothing."""
    for mapping in image.block_device_mappings if image else []:
        if mapping["DeviceName"] == device:
            return mapping["Ebs"]["VolumeSize"], mapping["Ebs"]["SnapshotId"]
    return 1, ""


def _unknown_type(call: Call, data: dict[str, Any]) -> str | None:
    kind = data.get("InstanceType")
    if not kind or kind in INSTANCE_TYPES:
        return None
    return f"The following supplied instance types do not exist: [{kind}]"


def _architecture(call: Call, data: dict[str, Any]) -> str | None:
    image, kind = _image(call, data), INSTANCE_TYPES.get(str(data.get("InstanceType")))
    if image is None or kind is None:
        return None
    supported = kind.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if supported and image.architecture not in supported:
        return (
            f"The architecture '{','.join(supported)}' of the specified instance type does not "
            f"match the architecture '{image.architecture}' of the specified AMI."
        )
    return None


def _unknown_template(call: Call) -> str | None:
    backend = ec2_backends[call.account][call.region]
    for config in call.parameters.get("LaunchTemplateConfigs") or []:
        named = config.get("LaunchTemplateSpecification") or {}
        if named and not _template(backend, named):
            which = named.get("LaunchTemplateId") or named.get("LaunchTemplateName")
            return f"The specified launch template or version, {which}, does not exist."
    return None


def _no_version(call: Call) -> str | None:
    for config in call.parameters.get("LaunchTemplateConfigs") or []:
        if not (config.get("LaunchTemplateSpecification") or {}).get("Version"):
            return "LaunchTemplateSpecification.Version is required."
    return None


def _two_subnets_of_a_zone(call: Call) -> str | None:
    for config in call.parameters.get("LaunchTemplateConfigs") or []:
        zones: dict[str, str] = {}
        for override in config.get("Overrides") or []:
            for identity in _subnets_of({"SubnetId": override.get("SubnetId")}):
                subnet = _subnet(call, identity)
                zone = subnet.availability_zone if subnet else ""
                if zone and zones.setdefault(zone, identity) != identity:
                    return (
                        "The fleet configuration contains duplicate availability zones: "
                        f"{zones[zone]} and {identity} are both in {zone}."
                    )
    return None


def _fleet_tags(call: Call) -> str | None:
    if call.parameters.get("Type", "maintain") == "instant":
        return None
    for spec in call.parameters.get("TagSpecifications") or []:
        if spec.get("ResourceType") != "fleet":
            return (
                f"'{spec.get('ResourceType')}' is not a valid taggable resource type for this "
                "operation."
            )
    return None


def _fleet_numbers(call: Call) -> str | None:
    target = call.parameters.get("TargetCapacitySpecification") or {}
    total = int(target.get("TotalTargetCapacity", 0))
    parts = [int(target[k]) for k in ("OnDemandTargetCapacity", "SpotTargetCapacity") if k in target]
    if total < 0 or sum(parts) > total:
        return "The on-demand and spot target capacities cannot exceed the total target capacity."
    return None


# ECS


def _cluster_of(call: Call) -> Any | None:
    name = str(call.parameters.get("cluster") or "default").rpartition("/")[2]
    return ecs_backends[call.account][call.region].clusters.get(name)


def _no_cluster(call: Call) -> str | None:
    cluster = _cluster_of(call)
    if cluster is None:
        return "Cluster not found."
    return None if cluster.status == "ACTIVE" else "The referenced cluster was inactive."


def _cluster_services(call: Call) -> str | None:
    cluster = _cluster_of(call)
    for _, service in services.services():
        if cluster and service.cluster_arn == cluster.arn:
            return "The Cluster cannot be deleted while Services are active."
    return None


def _cluster_machines(call: Call) -> str | None:
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    if cluster and backend.container_instances.get(cluster.name):
        return "The Cluster cannot be deleted while Container Instances are active or draining."
    return None


def _cluster_tasks(call: Call) -> str | None:
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    tasks = backend.tasks.get(cluster.name, {}).values() if cluster else []
    if any(task._status != "STOPPED" for task in tasks):
        return "The Cluster cannot be deleted while Tasks are active."
    return None


def _service_of(call: Call) -> Any | None:
    cluster = _cluster_of(call)
    name = call.parameters.get("serviceName") or call.parameters.get("service") or ""
    backend = ecs_backends[call.account][call.region]
    name = str(name).rpartition("/")[2]
    return backend.services.get(f"{cluster.name}:{name}") if cluster else None


def _service_draining(call: Call) -> str | None:
    service = _service_of(call)
    draining = service is not None and service.status == "DRAINING"
    return "Unable to Start a service that is still Draining." if draining else None


def _service_exists(call: Call) -> str | None:
    """The same again is answered with what there is (`_create_service`); another is refused."""
    service = _service_of(call)
    if service is None or service.status != "ACTIVE":
        return None
    return "Creation of service was not idempotent."


def _service_not_active(call: Call) -> str | None:
    service = _service_of(call)
    inactive = service is not None and service.status != "ACTIVE"
    return "Service was not ACTIVE." if inactive else None


def _no_service(call: Call) -> str | None:
    service = _service_of(call)
    gone = service is None or service.status == "INACTIVE"
    return "Service not found." if gone else None


def _scaled(call: Call) -> str | None:
    service = _service_of(call)
    running = service is not None and service.status == "ACTIVE" and service.desired_count > 0
    if running and str(call.parameters.get("force", False)).lower() != "true":
        return "The service cannot be stopped while it is scaled above 0."
    return None


def _definition_gone(call: Call) -> str | None:
    named = str(call.parameters.get("taskDefinition") or "").rpartition("/")[2]
    family, _, revision = named.partition(":")
    revisions = ecs_backends[call.account][call.region].task_definitions.get(family) or {}
    if not named:
        return None
    active = [number for number, found in revisions.items() if found.status == "ACTIVE"]
    if not active:
        return "TaskDefinition not found."
    if revision and (not revision.isdigit() or int(revision) not in revisions):
        return "TaskDefinition not found."
    return None if not revision or int(revision) in active else "TaskDefinition is inactive"


def _deployment(call: Call) -> str | None:
    given = call.parameters.get("deploymentConfiguration") or {}
    low, high = given.get("minimumHealthyPercent", 100), given.get("maximumPercent", 200)
    if high <= low or (high < 100):
        return "maximumPercent must be over 100 or over minimumHealthyPercent."
    return None


def _containers(call: Call) -> list[dict[str, Any]]:
    return list(call.parameters.get("containerDefinitions") or [])


def _family(call: Call) -> str | None:
    family = str(call.parameters.get("family", ""))
    if re.fullmatch(r"[A-Za-z0-9_-]{1,255}", family):
        return None
    return "Family contains invalid characters."


def _container_cpu(call: Call) -> str | None:
    for container in _containers(call):
        cpu = container.get("cpu", 0)
        if cpu < 0 or cpu > 196_608:
            return f"Invalid setting for container '{container.get('name')}'. 'cpu' is invalid."
    return None


def _container_memory(call: Call) -> str | None:
    for container in _containers(call):
        name = container.get("name")
        hard, soft = container.get("memory"), container.get("memoryReservation")
        for value in (hard, soft):
            if value is not None and value < 6:
                return (
                    f"Invalid setting for container '{name}'. The memory or memoryReservation must "
                    "be at least 6 MiB."
                )
        if hard is not None and soft is not None and soft > hard:
            return (
                f"Invalid setting for container '{name}'. 'memory' must be greater than or equal "
                "to 'memoryReservation'."
            )
    return None


def _stop_timeout(call: Call) -> str | None:
    for container in _containers(call):
        if container.get("stopTimeout", 30) > 120 and _fargate(call):
            return "stopTimeout must be at most 120."
        if container.get("stopTimeout", 30) < 2:
            return "stopTimeout must be at least 2 seconds."
    return None


def _fargate(call: Call) -> bool:
    return "FARGATE" in (call.parameters.get("requiresCompatibilities") or [])


def _container_name(call: Call) -> str | None:
    names = [str(container.get("name", "")) for container in _containers(call)]
    if not names:
        return "Container list cannot be empty."
    if any(not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) for name in names):
        return "Invalid container name."
    if len(set(names)) < len(names):
        return "Container names must be unique."
    return None


def _environment(call: Call) -> str | None:
    for container in _containers(call):
        names = [entry.get("name") for entry in container.get("environment") or []]
        secret = [entry.get("name") for entry in container.get("secrets") or []]
        if not all([*names, *secret]):
            return "Environment variable name should not be empty."
        if both := set(names) & set(secret):
            return f"The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{both.pop()}'."  # noqa: E501
    return None


def _definition_size(call: Call) -> str | None:
    return "Actual length exceeds max allowed length: 65536" if len(call.body) > 65_536 else None


def _roles(call: Call) -> str | None:
    known = {role.arn for role in iam_backends[call.account]["aws"].roles.values()}
    names = {role.name for role in iam_backends[call.account]["aws"].roles.values()}
    for name in ("taskRoleArn", "executionRoleArn"):
        role = call.parameters.get(name)
        if role and role not in known and role not in names:
            return "Role is not valid"
    return None


def _execution_role(call: Call) -> str | None:
    secret = any(container.get("secrets") for container in _containers(call))
    if secret and not call.parameters.get("executionRoleArn"):
        return "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."  # noqa: E501
    return None


def _ecs_tags(call: Call) -> str | None:
    tags = call.parameters.get("tags") or []
    return _tags({tag.get("key", ""): tag.get("value", "") for tag in tags})


def _instance_tasks(call: Call) -> str | None:
    named = str(call.parameters.get("containerInstance", "")).rpartition("/")[2]
    forced = str(call.parameters.get("force", False)).lower() == "true"
    cluster = _cluster_of(call)
    tasks = ecs_backends[call.account][call.region].tasks
    running = [
        task
        for task in (tasks.get(cluster.name, {}).values() if cluster else [])
        if task._status != "STOPPED" and str(task.container_instance_arn).endswith(named)
    ]
    return "Found running tasks on the instance." if running and not forced else None


def _no_instance(call: Call) -> str | None:
    named = str(call.parameters.get("containerInstance", "")).rpartition("/")[2]
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    there = cluster is not None and named in backend.container_instances.get(cluster.name, {})
    return None if there else "The specified container instance does not exist."


# IAM, Logs, all


def _pass_role(call: Call, parameters: tuple[str, ...]) -> str | None:
    """Whoever hands a role to a service must be allowed iam:PassRole on it."""
    if not enforcing():
        return None
    for name in parameters:
        role = call.parameters.get(name)
        if role and (why := denied("iam:PassRole", role, call.region, call.environ, call.body)):
            return f"{why} on resource: {role}"
    return None


def _policy_size(call: Call) -> str | None:
    limits = {"PutUserPolicy": 2048, "PutGroupPolicy": 5120, "PutRolePolicy": 10_240}
    limit = limits.get(call.operation, 6144)
    text = re.sub(r"\s", "", str(call.parameters.get("PolicyDocument", "")))
    if len(text) <= limit:
        return None
    return f"Maximum policy size of {limit} bytes exceeded"


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
    if re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,512}", name):
        return None
    return f"1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"  # noqa: E501


def _tags(tags: Mapping[str, str]) -> str | None:
    if len(tags) > 50:
        return "At most 50 tags can be set."
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value or "") > 256:
            return f"The tag '{key[:40]}' is too long or has no name."
        if key.lower().startswith("aws:"):
            return "Tag keys starting with 'aws:' are reserved for system use."
        if not all(re.fullmatch(r"[\w\s.:/=+\-@]*", text) for text in (key, value or "")):
            return f"The tag '{key}' has characters that are not allowed."
    return None


LAUNCH = ("ec2:RunInstances", "ec2:CreateFleet")
QUEUE = ("sqs:CreateQueue", "sqs:SetQueueAttributes")
IN_CLUSTER = tuple(
    f"ecs:{operation}"
    for operation in (
        "CreateService", "UpdateService", "DeleteService", "ListServices", "DescribeServices",
        "ListTasks", "DescribeTasks", "RunTask", "StartTask", "StopTask",
        "ListContainerInstances", "DescribeContainerInstances", "RegisterContainerInstance",
        "DeregisterContainerInstance", "UpdateContainerInstancesState", "DeleteCluster",
        "UpdateTaskProtection", "GetTaskProtection", "UpdateCluster",
    )
)  # fmt: skip
DEFINE = ("ecs:RegisterTaskDefinition",)
RESTRICTIONS = EC2_GUIDE + "launch-template-restrictions.html"
CODES = EC2 + "errors-overview.html"

TABLE: tuple[Refusal, ...] = (
    Refusal(
        ("sqs:CreateQueue",),
        "a queue of a name that was deleted less than 60 s ago",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        SQS + "CreateQueue.html",
        _queue_deleted_recently,
    ),
    Refusal(
        ("sqs:CreateQueue",),
        "a queue that exists with other attributes",
        "QueueAlreadyExists",
        SQS + "CreateQueue.html",
        _other_attributes,
    ),
    Refusal(
        QUEUE,
        "a FIFO queue (the emulator's own limit)",
        "AWS.SimpleQueueService.UnsupportedOperation",
        SQS_GUIDE + "FIFO-queues.html",
        _fifo,
    ),
    Refusal(
        QUEUE,
        "an unknown attribute of a queue",
        "InvalidAttributeName",
        SQS + "SetQueueAttributes.html",
        _unknown_attribute,
    ),
    Refusal(
        QUEUE,
        "an attribute out of its range",
        "InvalidAttributeValue",
        SQS + "SetQueueAttributes.html",
        _attribute_value,
    ),
    Refusal(
        QUEUE,
        "a redrive policy without an existing target, or with a count out of 1 to 1,000",
        "InvalidParameterValue",
        SQS_GUIDE + "sqs-dead-letter-queues.html",
        _redrive,
    ),
    Refusal(
        ("sqs:CreateQueue", "sqs:TagQueue"),
        "tags that are too many, too long, reserved, or have other characters",
        "InvalidParameterValue",
        SQS_GUIDE + "sqs-queue-tags.html",
        _queue_tags,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template or version that is not there",
        "InvalidLaunchTemplateId.NotFound",
        CODES,
        _unknown_template,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template without its version",
        "MissingParameter",
        EC2 + "API_FleetLaunchTemplateSpecificationRequest.html",
        _no_version,
    ),
    Refusal(
        LAUNCH,
        "a network interface and security groups at top level at once",
        "InvalidParameterCombination",
        RESTRICTIONS,
        _each_launch(_interface_and_groups),
    ),
    Refusal(
        LAUNCH,
        "a subnet in a network interface and another at top level or in an override",
        "InvalidParameterCombination",
        RESTRICTIONS,
        _each_launch(_interface_and_subnet),
    ),
    Refusal(
        LAUNCH,
        "a security group that is not there",
        "InvalidGroup.NotFound",
        CODES,
        _each_launch(_unknown_group),
    ),
    Refusal(
        LAUNCH,
        "a subnet that is not there",
        "InvalidSubnetID.NotFound",
        CODES,
        _each_launch(_unknown_subnet),
    ),
    Refusal(
        LAUNCH,
        "a security group of another network than the subnet's",
        "InvalidParameter",
        CODES,
        _each_launch(_other_network),
    ),
    Refusal(
        LAUNCH,
        "a key pair that is not there",
        "InvalidKeyPair.NotFound",
        CODES,
        _each_launch(_unknown_key),
    ),
    Refusal(
        LAUNCH,
        "an instance profile that is not there",
        "InvalidParameterValue",
        IAM_GUIDE + "id_roles_use_switch-role-ec2_instance-profiles.html",
        _each_launch(_unknown_profile),
    ),
    Refusal(LAUNCH, "no image", "MissingParameter", RESTRICTIONS, _each_launch(_no_image)),
    Refusal(
        LAUNCH,
        "an image that is not there",
        "InvalidAMIID.NotFound",
        CODES,
        _each_launch(_unknown_image),
    ),
    Refusal(
        LAUNCH,
        "a root volume that is smaller than the image's snapshot",
        "InvalidBlockDeviceMapping",
        CODES,
        _each_launch(_small_root),
    ),
    Refusal(
        LAUNCH,
        "a type of machine that is not there",
        "InvalidInstanceType",
        CODES,
        _each_launch(_unknown_type),
    ),
    Refusal(
        LAUNCH,
        "an image of another architecture than the machine's",
        "InvalidParameterValue",
        CODES,
        _each_launch(_architecture),
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "overrides with two subnets of one zone",
        "InvalidFleetConfig",
        EC2_GUIDE + "create-ec2-fleet.html",
        _two_subnets_of_a_zone,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "tags for anything but the fleet, unless it is of type instant",
        "InvalidTagSpecification",
        EC2 + "API_CreateFleet.html",
        _fleet_tags,
    ),
    Refusal(
        ("ec2:CreateFleet", "ec2:ModifyFleet"),
        "parts of the target that are more than the total",
        "InvalidTargetCapacitySpecification",
        EC2 + "API_TargetCapacitySpecificationRequest.html",
        _fleet_numbers,
    ),
    Refusal(
        IN_CLUSTER,
        "anything in a cluster that is not there, or deleted",
        "ClusterNotFoundException",
        ECS + "DescribeClusters.html",
        _no_cluster,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with services",
        "ClusterContainsServicesException",
        ECS + "DeleteCluster.html",
        _cluster_services,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with machines",
        "ClusterContainsContainerInstancesException",
        ECS + "DeleteCluster.html",
        _cluster_machines,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with tasks",
        "ClusterContainsTasksException",
        ECS + "DeleteCluster.html",
        _cluster_tasks,
    ),
    Refusal(
        ("ecs:CreateService",),
        "a service of the name of one that is draining",
        "InvalidParameterException",
        ECS + "DeleteService.html",
        _service_draining,
    ),
    Refusal(
        ("ecs:CreateService",),
        "a service that there is",
        "InvalidParameterException",
        ECS + "CreateService.html",
        _service_exists,
    ),
    Refusal(
        ("ecs:UpdateService",),
        "changing a service that is not there",
        "ServiceNotFoundException",
        ECS + "UpdateService.html",
        lambda call: None if _service_of(call) else "Service not found.",
    ),
    Refusal(
        ("ecs:UpdateService",),
        "changing a service that is deleted",
        "ServiceNotActiveException",
        ECS + "UpdateService.html",
        _service_not_active,
    ),
    Refusal(
        ("ecs:DeleteService",),
        "deleting a service that is not there",
        "ServiceNotFoundException",
        ECS + "DeleteService.html",
        _no_service,
    ),
    Refusal(
        ("ecs:DeleteService",),
        "deleting a service that is to have tasks, without force",
        "InvalidParameterException",
        ECS + "DeleteService.html",
        _scaled,
    ),
    Refusal(
        ("ecs:CreateService", "ecs:UpdateService"),
        "a deployment that could neither stop nor start a task (0/100 can)",
        "InvalidParameterException",
        ECS + "DeploymentConfiguration.html",
        _deployment,
    ),
    Refusal(
        ("ecs:CreateService", "ecs:UpdateService", "ecs:RunTask"),
        "a task definition that is not there, or inactive",
        "ClientException",
        ECS + "DeregisterTaskDefinition.html",
        _definition_gone,
    ),
    Refusal(
        ("ecs:DeregisterContainerInstance",),
        "removing a machine that is not there",
        "InvalidParameterException",
        ECS + "DeregisterContainerInstance.html",
        _no_instance,
    ),
    Refusal(
        ("ecs:DeregisterContainerInstance",),
        "removing a machine with tasks, without force",
        "InvalidParameterException",
        ECS + "DeregisterContainerInstance.html",
        _instance_tasks,
    ),
    Refusal(
        DEFINE,
        "a family with other characters than A-Z a-z 0-9 _ -",
        "ClientException",
        ECS + "RegisterTaskDefinition.html",
        _family,
    ),
    Refusal(
        DEFINE,
        "containers without, or with the same, or with an invalid name",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _container_name,
    ),
    Refusal(
        DEFINE,
        "a container's cpu that is negative or over 192 cores",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _container_cpu,
    ),
    Refusal(
        DEFINE,
        "a container's memory under 6 MiB, or under its reservation",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _container_memory,
    ),
    Refusal(
        DEFINE,
        "a stopTimeout under 2 s (on Fargate over 120 s, too)",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _stop_timeout,
    ),
    Refusal(
        DEFINE,
        "environment variables without a name, or of the name of a secret",
        "ClientException",
        ECS + "Secret.html",
        _environment,
    ),
    Refusal(
        DEFINE,
        "secrets without an execution role",
        "ClientException",
        ECS_GUIDE + "specifying-sensitive-data.html",
        _execution_role,
    ),
    Refusal(
        DEFINE,
        "a task or execution role that is not there",
        "ClientException",
        ECS_GUIDE + "task-iam-roles.html",
        _roles,
    ),
    Refusal(
        DEFINE,
        "a task definition over 64 KiB",
        "ClientException",
        ECS_GUIDE + "service-quotas.html",
        _definition_size,
    ),
    Refusal(
        (*DEFINE, "ecs:CreateService", "ecs:CreateCluster", "ecs:TagResource"),
        "tags that are too many, too long, reserved, or have other characters",
        "InvalidParameterException",
        ECS + "Tag.html",
        _ecs_tags,
    ),
    Refusal(
        DEFINE,
        "handing over a role without the right to pass it (only with IAM on)",
        "AccessDeniedException",
        IAM_GUIDE + "id_roles_use_passrole.html",
        partial(_pass_role, parameters=("taskRoleArn", "executionRoleArn")),
    ),
    Refusal(
        ("iam:PutRolePolicy", "iam:PutUserPolicy", "iam:CreatePolicy"),
        "a policy that is too long",
        "LimitExceeded",
        IAM_GUIDE + "reference_iam-quotas.html",
        _policy_size,
        409,
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
        "a retention of other than AWS's numbers of days",
        "InvalidParameterException",
        LOGS + "PutRetentionPolicy.html",
        _retention,
    ),
    Refusal(
        ("logs:CreateLogGroup",),
        "a log group's name with other characters than A-Z a-z 0-9 _ - / . #",
        "InvalidParameterException",
        LOGS + "CreateLogGroup.html",
        _log_group_name,
    ),
)

MESSAGES: tuple[tuple[str, str, str], ...] = (
    ("a message with characters that XML 1.0 lacks", "InvalidMessageContents", "SendMessage.html"),
    ("a message over the queue's MaximumMessageSize", "InvalidParameterValue", "SendMessage.html"),
    ("an empty message", "MissingParameter", "SendMessage.html"),
    ("more than 10 attributes of a message", "InvalidParameterValue", "SendMessage.html"),
    ("an attribute that is empty", "InvalidParameterValue", "MessageAttributeValue.html"),
    (
        "an attribute's value with characters that XML 1.0 lacks",
        "InvalidParameterValue",
        "MessageAttributeValue.html",
    ),
    ("an attribute's name or type of another form", "InvalidParameterValue", "SendMessage.html"),
    ("a delay over 900 s", "InvalidParameterValue", "SendMessage.html"),
    (
        "a batch of more than 10",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "SendMessageBatch.html",
    ),
    ("a batch of none", "AWS.SimpleQueueService.EmptyBatchRequest", "SendMessageBatch.html"),
    (
        "a batch over 1 MiB",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "SendMessageBatch.html",
    ),
    (
        "an Id of a batch twice",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "SendMessageBatch.html",
    ),
    (
        "an Id of a batch of another form",
        "AWS.SimpleQueueService.InvalidBatchEntryId",
        "SendMessageBatch.html",
    ),
    (
        "changing the visibility of a message that is visible again",
        "AWS.SimpleQueueService.MessageNotInflight",
        "ChangeMessageVisibility.html",
    ),
    (
        "changing the visibility of a message that is deleted, or beyond 12 h from its receipt",
        "InvalidParameterValue",
        "ChangeMessageVisibility.html",
    ),
    ("a receipt that is none", "ReceiptHandleIsInvalid", "ChangeMessageVisibility.html"),
    (
        "purging twice in 60 s",
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        "PurgeQueue.html",
    ),
)
"""What is refused, code, page: of messages (`sqs.message_problem`, `queue`)."""

RESPONSES: Mapping[str, type] = {
    "sqs": SQSResponse,
    "ec2": EC2Response,
    "ecs": EC2ContainerServiceResponse,
    "iam": IamResponse,
    "logs": LogsResponse,
}


def check(call: Call) -> None:
    """Raise Refused if a row of the table says so."""
    for row in TABLE:
        if call.name in row.operations and (message := row.when(call)):
            raise Refused(row.code, message, row.status)


def warnings(call: Call) -> list[dict[str, str]]:
    """What AWS says of a launch template that it takes all the same (ValidationWarning)."""
    return [
        {"Code": row.code, "Message": message}
        for row in TABLE
        if "ec2:RunInstances" in row.operations
        and row.what != "no image"
        and (message := row.when(call))
    ]


def install() -> None:
    """Ask the table before moto does what a row names, and after IAM has allowed it."""
    for name in {operation for row in TABLE for operation in row.operations}:
        service, _, operation = name.partition(":")
        method = camelcase_to_underscores(operation)
        kind = RESPONSES[service]
        setattr(kind, method, _guarded(getattr(kind, method)))
    for method in ("create_launch_template", "create_launch_template_version"):
        setattr(EC2Response, method, _warned(getattr(EC2Response, method)))
    SQSResponse.delete_queue = _remembered(SQSResponse.delete_queue)


def _guarded(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def guarded(response: Any) -> Any:
        check(response.normalized_request.environ["emulator.call"])
        return do(response)

    return guarded


def _warned(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def warned(response: Any) -> Any:
        found = warnings(response.normalized_request.environ["emulator.call"])
        result = do(response)
        if found:
            result.result["Warning"] = {"Errors": found}
        return result

    return warned


def _remembered(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The moment of a queue's deletion, for QueueDeletedRecently; who waits for it is told."""

    def remembered(response: Any) -> Any:
        call = response.normalized_request.environ["emulator.call"]
        name = str(call.parameters.get("QueueUrl", "")).rpartition("/")[2]
        queue = sqs_backends[call.account][call.region].queues.get(name)
        result = do(response)
        STATE.deleted_queues[call.account, call.region, name] = time.time()
        if queue is not None:
            queue.line.gone = True
            with queue.line.changed:
                queue.line.changed.notify_all()
        return result

    return remembered
