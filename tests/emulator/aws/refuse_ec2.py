"""What AWS refuses and moto accepts: machines, launch templates, fleets."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.iam.models import iam_backends

from tests.emulator.aws.call import Call
from tests.emulator.aws.refusal import Refusal, Rule

EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"
EC2_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/"
IAM_GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"

LAUNCH = ("ec2:RunInstances", "ec2:CreateFleet")
RESTRICTIONS = EC2_GUIDE + "launch-template-restrictions.html"
CODES = EC2 + "errors-overview.html"


def _launches(call: Call) -> list[dict[str, Any]]:
    """Return the machines that a call would start: template and overrides combined."""
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
    """Return a template's data; empty if it does not exist, which other rows refuse."""
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
    subnets = list(filter(None, (_subnet(call, subnet) for subnet in _subnets_of(data))))
    networks = {subnet.vpc_id for subnet in subnets}
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
    pairs = ec2_backends[call.account][call.region].key_pairs
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
    """Return size in GB and ID of the snapshot of an image's device; (1, "") without one."""
    for mapping in image.block_device_mappings if image else []:
        if mapping["DeviceName"] == device:
            return mapping["Ebs"]["VolumeSize"], mapping["Ebs"]["SnapshotId"]
    return 1, ""


def _unknown_type(call: Call, data: dict[str, Any]) -> str | None:
    kind = data.get("InstanceType")
    if not kind or kind in INSTANCE_TYPES:
        return None
    return f"Invalid value '{kind}' for InstanceType."


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


def _unknown_id(call: Call) -> str | None:
    templates = ec2_backends[call.account][call.region].launch_templates
    for named in _templates_named(call):
        identity = named.get("LaunchTemplateId")
        if identity and identity not in templates:
            return f"The specified launch template, with template ID {identity}, does not exist."
    return None


def _unknown_name(call: Call) -> str | None:
    names = ec2_backends[call.account][call.region].launch_template_name_to_ids
    for named in _templates_named(call):
        name = named.get("LaunchTemplateName")
        if name and name not in names:
            return "At least one of the launch templates specified in the request does not exist."
    return None


def _unknown_version(call: Call) -> str | None:
    backend = ec2_backends[call.account][call.region]
    for named in _templates_named(call):
        if named.get("Version") and not _template(backend, named):
            return (
                f"Could not find the specified version {named['Version']} for the launch template."
            )
    return None


def _templates_named(call: Call) -> list[Mapping[str, Any]]:
    configs = call.parameters.get("LaunchTemplateConfigs") or []
    return [config.get("LaunchTemplateSpecification") or {} for config in configs]


def _no_version(call: Call) -> str | None:
    for named in _templates_named(call):
        if not named.get("Version"):
            return "LaunchTemplateSpecification.Version is required."
    return None


def _two_subnets_of_a_zone(call: Call) -> str | None:
    for config in call.parameters.get("LaunchTemplateConfigs") or []:
        zones: dict[str, str] = {}
        pools: set[tuple[str, str]] = set()
        for override in config.get("Overrides") or []:
            for identity in _subnets_of({"SubnetId": override.get("SubnetId")}):
                subnet = _subnet(call, identity)
                if subnet is None:
                    continue
                pool = (override.get("InstanceType", ""), identity)
                first = zones.setdefault(subnet.availability_zone, identity)
                if pool in pools or first != identity:
                    return "The fleet configuration contains duplicate instance pools."
                pools.add(pool)
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
    parts = [
        int(target[k]) for k in ("OnDemandTargetCapacity", "SpotTargetCapacity") if k in target
    ]
    if total < 0 or sum(parts) > total:
        return "The on-demand and spot target capacities cannot exceed the total target capacity."
    return None


ROWS = (
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template ID that does not exist",
        "InvalidLaunchTemplateId.NotFound",
        CODES,
        _unknown_id,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template name that does not exist",
        "InvalidLaunchTemplateName.NotFoundException",
        CODES,
        _unknown_name,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template version that does not exist",
        "InvalidLaunchTemplateId.VersionNotFound",
        CODES,
        _unknown_version,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "a launch template without a version",
        "MissingParameter",
        EC2 + "API_FleetLaunchTemplateSpecificationRequest.html",
        _no_version,
        assumed=True,
    ),
    Refusal(
        LAUNCH,
        "both a network interface and top-level security groups",
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
        "a security group that does not exist",
        "InvalidGroup.NotFound",
        CODES,
        _each_launch(_unknown_group),
    ),
    Refusal(
        LAUNCH,
        "a subnet that does not exist",
        "InvalidSubnetID.NotFound",
        CODES,
        _each_launch(_unknown_subnet),
    ),
    Refusal(
        LAUNCH,
        "a security group in another VPC than the subnet",
        "InvalidParameter",
        CODES,
        _each_launch(_other_network),
    ),
    Refusal(
        LAUNCH,
        "a key pair that does not exist",
        "InvalidKeyPair.NotFound",
        CODES,
        _each_launch(_unknown_key),
    ),
    Refusal(
        LAUNCH,
        "an instance profile that does not exist",
        "InvalidParameterValue",
        IAM_GUIDE + "id_roles_use_switch-role-ec2_instance-profiles.html",
        _each_launch(_unknown_profile),
    ),
    Refusal(LAUNCH, "no image", "MissingParameter", RESTRICTIONS, _each_launch(_no_image)),
    Refusal(
        LAUNCH,
        "an image that does not exist",
        "InvalidAMIID.NotFound",
        CODES,
        _each_launch(_unknown_image),
    ),
    Refusal(
        LAUNCH,
        "a root volume smaller than the image's snapshot",
        "InvalidBlockDeviceMapping",
        CODES,
        _each_launch(_small_root),
    ),
    Refusal(
        LAUNCH,
        # Only DescribeInstanceTypes answers InvalidInstanceType.
        "an instance type that does not exist",
        "InvalidParameterValue",
        CODES,
        _each_launch(_unknown_type),
    ),
    Refusal(
        LAUNCH,
        "an image for another architecture than the instance type's",
        "InvalidParameterValue",
        CODES,
        _each_launch(_architecture),
    ),
    Refusal(
        ("ec2:CreateFleet",),
        "overrides with two subnets in one zone, or with one type and subnet twice",
        "InvalidFleetConfig",
        EC2_GUIDE + "create-ec2-fleet.html",
        _two_subnets_of_a_zone,
    ),
    Refusal(
        ("ec2:CreateFleet",),
        # The code is that of RunInstances (aws/aws-cli#2865).
        "tags for resources other than the fleet, unless its type is instant",
        "InvalidParameterValue",
        EC2 + "API_CreateFleet.html",
        _fleet_tags,
        assumed=True,
    ),
    Refusal(
        ("ec2:CreateFleet", "ec2:ModifyFleet"),
        # The code was seen with ModifyFleet, for other errors (Terraform's aws_ec2_fleet).
        "on-demand and spot targets above the total target",
        "InvalidTargetCapacitySpecification",
        EC2 + "API_TargetCapacitySpecificationRequest.html",
        _fleet_numbers,
        assumed=True,
    ),
)
