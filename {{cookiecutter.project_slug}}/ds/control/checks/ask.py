"""The questions of `check` to AWS, one function for each; nothing is created or changed.

If AWS refuses a question, its answer is unknown, and `check` reports why.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from ds.cloud.client import Aws, code_of, explain
from ds.cloud.names import ECR_IMAGE
from ds.cloud.rights import PROBE
from ds.control.checks.rules import (
    QUOTAS,
    AwsFacts,
    Bucket,
    Given,
    Image,
    Machine,
    Place,
    Unknown,
    quota_kind,
)
from ds.control.files.fleet_file import Fleet
from ds.jobs.placeholders import is_placeholder
from ds.jobs.resolve import Input

T = TypeVar("T")

ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64", "386": "i386"}
"""Architectures in EC2's terms, by Docker's terms."""

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

THREADS = 8
MOST_PAGES = 10
"""The maximum number of listing pages searched for a file that matches a folder's pattern."""


@dataclass
class Questions:
    """Questions to one account; `unknown` contains the questions without an answer."""

    aws: Aws
    unknown: list[Unknown] = field(default_factory=list)

    def ask(self, message: str, question: Callable[..., T], *details: object) -> T | None:
        """Return the answer; if there is none, add `message` to `unknown` and return None."""
        try:
            return question(self.aws, *details)
        except (BotoCoreError, ClientError) as error:
            self.unknown.append(Unknown(message, str(explain(error, self.aws.profile))))
            return None


def ask_aws(
    aws: Aws, given: Given, inputs: Mapping[int, Iterable[Input]]
) -> tuple[AwsFacts, list[Unknown]]:
    """Ask everything that the rules need, but skip placeholders.

    Args:
        aws: the account, with valid credentials.
        given: the content of the owner's files.
        inputs: the inputs of the groups to check, by group number.
    """
    questions, facts = Questions(aws), AwsFacts(enabled=True)
    settings = given.settings
    bucket, tag = settings.AWS_BUCKET, settings.DOCKERHUB_TAG
    facts.machines = questions.ask("the machine types", instance_types, settings.MACHINE_TYPE)
    if given.fleet:
        _ask_fleet(questions, given.fleet, facts)
    if not is_placeholder(bucket):
        facts.bucket = questions.ask("the bucket", describe_bucket, bucket)
        if facts.bucket and facts.bucket.state == "exists" and facts.bucket.writable is None:
            why = "S3 did not give a clear answer"
            questions.unknown.append(Unknown("whether the bucket is writable", why))
    if tag and not is_placeholder(tag):
        facts.image = _image(questions, tag)
    known = {name: machine for name, machine in (facts.machines or {}).items() if machine}
    if kinds := {kind for name in known if (kind := quota_kind(name))}:
        facts.quotas = questions.ask("the spot quota", spot_quotas, kinds)
    if settings.MACHINE_PRICE is not None and known:
        zones = {place.zone for place in (facts.subnets or {}).values() if place}
        facts.prices = questions.ask("the spot prices", spot_prices, sorted(known), zones)
        for name in sorted(known.keys() - (known if facts.prices is None else facts.prices)):
            questions.unknown.append(Unknown(f"the spot price of {name}", "EC2 does not have one"))
    variant = ami_variant(settings.GPUS, known.values())
    facts.snapshot_gb = questions.ask("the machine image's size", snapshot_size, variant)
    facts.missing = _missing(questions, inputs, bucket, facts.bucket)
    return facts, questions.unknown


def _ask_fleet(questions: Questions, fleet: Fleet, facts: AwsFacts) -> None:
    subnets = [name for name in fleet.subnets if not is_placeholder(name)]
    facts.subnets = questions.ask("the subnets", find_subnets, subnets)
    groups = [name for name in fleet.security_groups if not is_placeholder(name)]
    facts.groups = questions.ask("the security groups", find_groups, groups)
    if fleet.key_name and not is_placeholder(fleet.key_name):
        facts.key = questions.ask("the key pair", has_key, fleet.key_name)
    if not is_placeholder(fleet.instance_profile):
        name = fleet.instance_profile.rpartition("/")[2]
        facts.profile = questions.ask("the instance profile", has_profile, name)


def is_enabled(aws: Aws) -> bool:
    """Return whether the region is enabled in the account.

    This asks the partition's first region, because a disabled region does not accept credentials.
    """
    home = {"cn": "cn-north-1", "us-gov": "us-gov-west-1"}
    asked_in = next((home[start] for start in home if aws.region.startswith(f"{start}-")), "")
    client = aws.client("ec2", asked_in or "us-east-1")
    found = client.describe_regions(RegionNames=[aws.region], AllRegions=True)
    return all(region.get("OptInStatus") != "not-opted-in" for region in found["Regions"])


def instance_types(aws: Aws, names: Iterable[str]) -> dict[str, Machine | None]:
    """Return the machine types; None for a type that does not exist in the region."""
    ask = aws.client("ec2").describe_instance_types
    machines: dict[str, Machine | None] = {}
    for name in names:
        # One by one, because one unknown type makes the whole request fail.
        found = none_if(ask, "InvalidInstanceType", InstanceTypes=[name])
        machines[name] = _machine(found["InstanceTypes"][0]) if found else None
    return machines


def _machine(found: Mapping[str, Any]) -> Machine:
    gpus = found.get("GpuInfo", {}).get("Gpus", [])
    return Machine(
        memory_mib=found["MemoryInfo"]["SizeInMiB"],
        vcpus=found["VCpuInfo"]["DefaultVCpus"],
        gpus=sum(gpu.get("Count", 0) for gpu in gpus),
        architectures=tuple(
            name for name in found["ProcessorInfo"]["SupportedArchitectures"] if name != "i386"
        ),
    )


def find_subnets(aws: Aws, ids: Iterable[str]) -> dict[str, Place | None]:
    """Return the VPC and zone of each subnet; None for a subnet that does not exist."""
    ask = aws.client("ec2").describe_subnets
    return {name: _place(none_if(ask, "InvalidSubnet", SubnetIds=[name])) for name in ids}


def find_groups(aws: Aws, ids: Iterable[str]) -> dict[str, Place | None]:
    """Return the VPC of each security group; None for a group that does not exist."""
    ask = aws.client("ec2").describe_security_groups
    return {name: _place(none_if(ask, "InvalidGroup", GroupIds=[name])) for name in ids}


def _place(answer: Mapping[str, Any] | None) -> Place | None:
    if answer is None:
        return None
    (found,) = answer.get("Subnets") or answer["SecurityGroups"]
    return Place(found["VpcId"], found.get("AvailabilityZone", ""))


def has_key(aws: Aws, name: str) -> bool:
    """Return whether the key pair exists."""
    ask = aws.client("ec2").describe_key_pairs
    return none_if(ask, "InvalidKeyPair", KeyNames=[name]) is not None


def has_profile(aws: Aws, name: str) -> bool:
    """Return whether the instance profile exists."""
    ask = aws.client("iam").get_instance_profile
    return none_if(ask, "NoSuchEntity", InstanceProfileName=name) is not None


def describe_bucket(aws: Aws, name: str) -> Bucket:
    """Return whether the bucket exists, its region, and whether it is writable.

    This starts and aborts a multipart upload, which needs s3:PutObject but creates no object.
    """
    client = aws.client("s3")
    try:
        head = client.head_bucket(Bucket=name)
    except ClientError as error:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region")
        if code_of(error) in ("404", "NoSuchBucket"):
            return Bucket("missing")
        if code_of(error) in ("403", "AccessDenied", "Forbidden"):
            return Bucket("denied", region)
        raise
    region = head.get("BucketRegion")
    try:
        begun = client.create_multipart_upload(Bucket=name, Key=PROBE)
    except ClientError as error:
        denied = code_of(error) in ("403", "AccessDenied")
        return Bucket("exists", region, False if denied else None)
    client.abort_multipart_upload(Bucket=name, Key=PROBE, UploadId=begun["UploadId"])
    return Bucket("exists", region, True)


def _image(questions: Questions, tag: str) -> Image | None:
    place = ECR_IMAGE.match(tag)
    if place is None:
        why = f"check queries only ECR; run docker manifest inspect {tag}"
        questions.unknown.append(Unknown(f"whether {tag} exists in its registry", why))
        return None
    image = questions.ask("the image", ecr_image, place)
    if image and image.exists and image.architectures is None:
        why = "its registry does not report it"
        questions.unknown.append(Unknown("the image's architecture", why))
    return image


def ecr_image(aws: Aws, place: re.Match[str]) -> Image:
    """Return whether the image exists in its registry, and its architectures."""
    client = aws.client("ecr", place["region"])
    digest, tag = place["digest"], place["tag"] or "latest"
    image_id = {"imageDigest": digest} if digest else {"imageTag": tag}
    repository = {"registryId": place["account"], "repositoryName": place["name"]}
    found = none_if(
        client.batch_get_image,
        "RepositoryNotFound",
        **repository,
        imageIds=[image_id],
        acceptedMediaTypes=list(MANIFESTS),
    )
    if not found or not found.get("images"):
        return Image(exists=False)
    manifest = json.loads(found["images"][0]["imageManifest"])
    if "manifests" in manifest:
        names = [part.get("platform", {}).get("architecture", "") for part in manifest["manifests"]]
        # buildx lists attestations too; their architecture is "unknown".
        return Image(True, _architectures(name for name in names if name != "unknown"))
    layer = manifest.get("config", {}).get("digest", "")
    try:
        link = client.get_download_url_for_layer(**repository, layerDigest=layer)["downloadUrl"]
        with urllib.request.urlopen(link, timeout=20) as answer:
            config = json.load(answer)
    except (ClientError, OSError, ValueError):
        return Image(True)
    return Image(True, _architectures([config.get("architecture", "")]))


def _architectures(names: Iterable[str]) -> tuple[str, ...] | None:
    known = tuple(dict.fromkeys(ARCHITECTURES.get(name, name) for name in names if name))
    return known or None


def spot_quotas(aws: Aws, kinds: Iterable[str]) -> dict[str, float]:
    """Return the vCPU limits of running spot machines, by kind."""
    ask = aws.client("service-quotas").get_service_quota
    quotas = {}
    for kind in kinds:
        code = QUOTAS[kind]
        if found := none_if(ask, "NoSuchResource", ServiceCode="ec2", QuotaCode=code):
            quotas[kind] = float(found["Quota"]["Value"])
    return quotas


def spot_prices(aws: Aws, types: list[str], zones: Iterable[str]) -> dict[str, float]:
    """Return the lowest current price of each type in these zones (if none, in the region)."""
    pages = aws.client("ec2").get_paginator("describe_spot_price_history")
    prices: dict[str, float] = {}
    for page in pages.paginate(
        InstanceTypes=types,
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),  # without it, EC2 returns earlier prices too
        Filters=[{"Name": "availability-zone", "Values": sorted(zones)}] if zones else [],
    ):
        for found in page["SpotPriceHistory"]:
            name, price = found["InstanceType"], float(found["SpotPrice"])
            prices[name] = min(price, prices.get(name, price))
    return {name: prices[name] for name in types if name in prices}


def ami_variant(gpus: int, machines: Iterable[Machine]) -> str:
    """Return the variant of the ECS-optimized Amazon Linux 2023 image for these machines."""
    kinds = [machine.architectures for machine in machines]
    if kinds and all(kind == ("arm64",) for kind in kinds):
        return "arm64/"
    return "gpu/" if gpus else ""


def snapshot_size(aws: Aws, variant: str) -> int:
    """Return the root disk size of the ECS-optimized image, in GB; EC2 refuses to start machines
    with a smaller disk."""
    name = f"/aws/service/ecs/optimized-ami/amazon-linux-2023/{variant}recommended/image_id"
    ami = aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    image = aws.client("ec2").describe_images(ImageIds=[ami])["Images"][0]
    root = image["RootDeviceName"]
    disks = {disk.get("DeviceName"): disk for disk in image["BlockDeviceMappings"]}
    return int(disks[root]["Ebs"]["VolumeSize"])


def _missing(
    questions: Questions, inputs: Mapping[int, Iterable[Input]], own: str, bucket: Bucket | None
) -> dict[str, int]:
    """Return the URIs of inputs that do not exist, each with the first group that needs it."""
    first: dict[str, tuple[int, Input]] = {}
    for number, needed in inputs.items():
        for one in needed:
            # If AWS_BUCKET is a placeholder or does not exist, that problem is enough.
            if one.bucket != own or (bucket and bucket.state == "exists"):
                first.setdefault(f"s3://{one.bucket}/{one.key}{one.pattern}", (number, one))
    client = questions.aws.client("s3")

    def exists(one: Input) -> bool | str:
        try:
            return input_exists(client, one)
        except (BotoCoreError, ClientError) as error:
            return str(explain(error, questions.aws.profile))

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(exists, (one for _, one in first.values())))
    missing = {}
    for (uri, (number, _)), answer in zip(first.items(), answers, strict=True):
        if answer is False:
            missing[uri] = number
        elif answer is not True:
            questions.unknown.append(Unknown(uri, answer))
    return missing


def input_exists(client: Any, one: Input) -> bool | str:
    """Return whether an object or any file of a folder exists, or why this is unknown."""
    if not one.folder:
        return _object_exists(client, one)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=one.bucket, Prefix=one.key)
    for number, page in enumerate(pages, 1):
        keys = [found["Key"] for found in page.get("Contents", [])]
        if any(one.takes(key) and not key.endswith("/") for key in keys):
            return True
        if number == MOST_PAGES and page.get("IsTruncated"):
            return f"its folder has more than the {number * 1000} files that were checked"
    return False


def _object_exists(client: Any, one: Input) -> bool:
    """Return whether an object exists: use HEAD, which public buckets allow, then a listing."""
    try:
        return none_if(client.head_object, "404", Bucket=one.bucket, Key=one.key) is not None
    except ClientError as error:
        if code_of(error) not in ("403", "AccessDenied"):
            raise
    found = client.list_objects_v2(Bucket=one.bucket, Prefix=one.key, MaxKeys=1)
    return any(listed["Key"] == one.key for listed in found.get("Contents", []))


def none_if(question: Callable[..., Any], code: str, **words: Any) -> Any | None:
    """Call an operation of a client; return None if the resource or its bucket does not exist.

    `code` is the beginning of AWS's error code in that case, such as InvalidSubnet for
    InvalidSubnetID.NotFound and InvalidSubnetID.Malformed.
    """
    try:
        return question(**words)
    except ClientError as error:
        if str(error.response["Error"].get("Code", "")).startswith((code, "NoSuchBucket")):
            return None
        raise
