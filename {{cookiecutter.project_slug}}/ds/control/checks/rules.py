"""The rules of `check`: each is a pure function of the owner's files and AWS's answers.

An unknown fact is None, and no rule reports it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ds.control.files.fleet_file import Fleet
from ds.jobs.placeholders import NO_IMAGE, is_placeholder, placeholder_problem
from ds.jobs.problems import Problem
from ds.jobs.settings import Settings

BAD_INPUT = ("DS-CONFIG", "DS-JOBS", "DS-FLEET")
NOT_ASKED = ("DS-CREDENTIALS", "DS-UNREACHABLE")

USABLE = 0.92
KEPT_BACK_MIB = 256
"""Containers can use USABLE of a machine's memory, less KEPT_BACK_MIB; kernel, Docker and ECS agent
use the rest. A machine of 8,192 MiB registers 7,985 with ECS, and larger ones lose more."""

TYPES = "config.py, MACHINE_TYPE"

QUOTAS = {
    "standard": "L-34B43A08",
    "G and VT": "L-3819A6DF",
    "P": "L-7212CCBC",
    "P5": "L-C4BD4855",
    "F": "L-88CF9481",
    "X": "L-E3A00192",
    "Inf": "L-B5D1601B",
    "Trn": "L-6B0D517C",
    "DL": "L-85EED4F7",
}
"""Service Quotas codes of the vCPU limits of running spot machines, by kind of machine
("Amazon EC2 instance type quotas", EC2 Instance Types guide)."""


@dataclass(frozen=True)
class Unknown:
    """Something that could not be determined, and why."""

    message: str
    why: str


@dataclass(frozen=True)
class Machine:
    """An EC2 instance type; architectures in EC2's terms ("x86_64", "arm64")."""

    memory_mib: int
    vcpus: int
    gpus: int = 0
    architectures: tuple[str, ...] = ("x86_64",)


@dataclass(frozen=True)
class Place:
    """A subnet or a security group (which has no zone)."""

    vpc: str
    zone: str = ""


@dataclass(frozen=True)
class Bucket:
    """The state of AWS_BUCKET: "exists", "missing" or "denied". Unknown facts are None."""

    state: str
    region: str | None = None
    writable: bool | None = None


@dataclass(frozen=True)
class Image:
    """A registry's facts about the image; architectures in EC2's terms, None if unknown."""

    exists: bool
    architectures: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Given:
    """The content of the owner's files.

    Attributes:
        settings: config.py.
        fleet: the fleet file; None if there is none.
        answers: the template's answers in .cruft.json; empty if there is no such file.
        base: the base image in the Dockerfile; "" if there is none.
        regions: all regions that boto3 knows.
    """

    settings: Settings
    fleet: Fleet | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    regions: frozenset[str] = frozenset()


@dataclass
class AwsFacts:
    """Facts that AWS reports; None if AWS was not asked or did not answer.

    Attributes:
        enabled: whether AWS_REGION is enabled in the account.
        machines: machines by type; None for a type that does not exist in the region.
        subnets, groups: places by ID; None for an ID that does not exist.
        key, profile: whether the key pair or the instance profile exists.
        quotas: vCPU limits by kind, as in QUOTAS.
        prices: the lowest spot price of each type in the subnets' zones, $/hour.
        snapshot_gb: the size of the machine image's root disk.
        missing: URIs of inputs that do not exist, and the first checked group that needs each.
    """

    enabled: bool | None = None
    machines: Mapping[str, Machine | None] | None = None
    bucket: Bucket | None = None
    image: Image | None = None
    subnets: Mapping[str, Place | None] | None = None
    groups: Mapping[str, Place | None] | None = None
    key: bool | None = None
    profile: bool | None = None
    quotas: Mapping[str, float] | None = None
    prices: Mapping[str, float] | None = None
    snapshot_gb: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)


def find_problems(given: Given, facts: AwsFacts) -> list[Problem]:
    """Apply every rule."""
    return [
        replace(problem, code=code)
        for code, rule in RULES.items()
        for problem in rule(given, facts)
    ]


def fitting_memory(machine: Machine, tasks: int) -> int:
    """Return the largest MEMORY, in MB, with which `tasks` containers fit on a machine."""
    return max(0, math.floor((USABLE * machine.memory_mib - KEPT_BACK_MIB) / tasks))


def quota_kind(machine_type: str) -> str | None:
    """Return the kind in QUOTAS that a machine type counts toward, or None."""
    family = machine_type.partition(".")[0]
    letters = re.match(r"[a-z]*", family)
    name = letters[0] if letters else ""
    special = {"inf": "Inf", "trn": "Trn", "dl": "DL", "vt": "G and VT"}
    if name in special:
        return special[name]
    if name in ("hpc", "mac", "u", ""):
        return None
    if name == "p":
        return "P5" if family.startswith("p5") else "P" if family[1:2] in "234" else None
    kinds = {**dict.fromkeys("acdhimrtz", "standard"), "g": "G and VT", "f": "F", "x": "X"}
    return kinds.get(name[0])


def _region(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    where, region = "config.py, AWS_REGION", given.settings.AWS_REGION
    if given.regions and region not in given.regions:
        hint = "correct it, or update boto3 if the region is new"
        yield Problem(where, f"{region} is not a region that boto3 knows", hint)
    elif facts.enabled is False:
        hint = "enable it in the account settings, or use another region"
        yield Problem(where, f"{region} is not enabled in this account", hint)


def _placeholders(given: Given, _: AwsFacts) -> Iterator[Problem]:
    settings, fleet = given.settings, given.fleet
    values: dict[str, object] = {
        "config.py, AWS_BUCKET": settings.AWS_BUCKET,
        "config.py, DOCKERHUB_TAG": settings.DOCKERHUB_TAG,
    }
    values |= {f"config.py, {name}": value for name, value in settings.program.items()}
    if fleet:
        values |= {f"fleet file, {name}": value for name, value in vars(fleet).items()}
    for where, value in values.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and (problem := placeholder_problem(where, text)):
                yield problem


def _answers(given: Given, _: AwsFacts) -> Iterator[Problem]:
    hint = "use the same value in both, or the next update of the template reports a conflict"
    base = given.answers.get("docker_base_image", "")
    if base and given.base and base != given.base:
        message = f"FROM is {given.base}, but docker_base_image in .cruft.json is {base}"
        yield Problem("Dockerfile", message, hint)
    image, tag = given.answers.get("docker_image", ""), given.settings.DOCKERHUB_TAG
    # A new tag of the same image is normal; the owner must replace a placeholder.
    if image and not is_placeholder(image) and _without_tag(image) != _without_tag(tag):
        message = f"is {tag!r}, but docker_image in .cruft.json is {image}"
        yield Problem("config.py, DOCKERHUB_TAG", message, hint)


def _absent(where: str, found: Mapping[str, object] | None, given: Given) -> Iterator[Problem]:
    """Report the names of `found` that have no value."""
    for name, value in (found or {}).items():
        if value is None:
            message = f"{name} does not exist in {given.settings.AWS_REGION}"
            yield Problem(where, message, "correct or remove it")


def _memory(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    memory, tasks = given.settings.MEMORY, given.settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        largest = fitting_memory(machine, tasks)
        if largest < memory:
            message = (
                f"{memory} MB x {_count(tasks, 'container')} does not fit {name} "
                f"({machine.memory_mib} MB, about {fitting_memory(machine, 1)} MB usable)"
            )
            hint = f"set MEMORY = {largest} or less, use a larger type, or lower TASKS_PER_MACHINE"
            yield Problem("config.py, MEMORY", message, hint)


def _cpu(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    settings = given.settings
    needed = settings.DOCKER_CORES * settings.CPUS_PER_JOB * settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        if needed > machine.vcpus:
            message = (
                f"{name} has {_count(machine.vcpus, 'vCPU')}, but DOCKER_CORES x CPUS_PER_JOB x "
                f"TASKS_PER_MACHINE is {needed}"
            )
            yield Problem(TYPES, message, "lower one of the three, or use a larger type")


def _gpu(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    needed = given.settings.GPUS * given.settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        if needed > machine.gpus:
            gpus = _count(machine.gpus, "GPU")
            message = f"{name} has {gpus}, but GPUS x TASKS_PER_MACHINE is {needed}"
            yield Problem(TYPES, message, "lower one of the two, or use a type with more GPUs")


def _architecture(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    types = dict(_known(facts))
    image = facts.image.architectures if facts.image else None
    if image:
        for name, machine in types.items():
            if not set(machine.architectures) & set(image):
                message = (
                    f"{name} is {' or '.join(machine.architectures)}, but the image "
                    f"{given.settings.DOCKERHUB_TAG} is {' and '.join(image)}"
                )
                hint = f"use types of the image's architecture, or build the image for {name}"
                yield Problem(TYPES, message, hint)
    elif types and not set.intersection(*(set(m.architectures) for m in types.values())):
        kinds = ", ".join(f"{name} {'/'.join(m.architectures)}" for name, m in types.items())
        message = f"the types have different architectures: {kinds}"
        yield Problem(TYPES, message, "use types of one architecture")


def _image(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    tag = given.settings.DOCKERHUB_TAG
    if not tag:
        yield NO_IMAGE
    elif facts.image and not facts.image.exists:
        message = f"{tag} does not exist in its registry"
        yield Problem("config.py, DOCKERHUB_TAG", message, "push it, or correct the name")


def _bucket(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    where, name, bucket = "config.py, AWS_BUCKET", given.settings.AWS_BUCKET, facts.bucket
    if bucket is None:
        return
    if bucket.state == "missing":
        yield Problem(where, f"bucket {name} does not exist", "create it, or correct the name")
    elif bucket.state == "denied":
        hint = "use a bucket of your own, or ask its owner for the s3:ListBucket permission"
        yield Problem(where, f"you are not allowed to list bucket {name}", hint)
    elif bucket.writable is False:
        hint = "ask its owner for the s3:PutObject permission, or use another bucket"
        yield Problem(where, f"you are not allowed to write to bucket {name}", hint)


def _bucket_region(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    bucket, region = facts.bucket, given.settings.AWS_REGION
    if bucket and bucket.region and bucket.region != region:
        message = (
            f"bucket {given.settings.AWS_BUCKET} is in {bucket.region}, but AWS_REGION is {region}"
        )
        hint = f"set AWS_REGION = {bucket.region!r}: AWS charges for each GB between regions"
        yield Problem("config.py, AWS_BUCKET", message, hint)


def _inputs(_: Given, facts: AwsFacts) -> Iterator[Problem]:
    for uri, group in facts.missing.items():
        where, message = f"job file, group {group}", f"its input {uri} does not exist"
        yield Problem(where, message, "upload it, or correct the job file")


def _zones(_: Given, facts: AwsFacts) -> Iterator[Problem]:
    zones: dict[str, list[str]] = {}
    for name, subnet in (facts.subnets or {}).items():
        if subnet:
            zones.setdefault(subnet.zone, []).append(name)
    for zone, names in zones.items():
        if len(names) > 1:
            message = f"{', '.join(names)} are all in {zone}"
            hint = "keep one of them: a fleet can have one subnet in each availability zone"
            yield Problem("fleet file, subnets", message, hint)


def _vpc(_: Given, facts: AwsFacts) -> Iterator[Problem]:
    places = {**(facts.subnets or {}), **(facts.groups or {})}
    vpcs = {name: place.vpc for name, place in places.items() if place}
    if len(set(vpcs.values())) > 1:
        each = ", ".join(f"{name} in {vpc}" for name, vpc in vpcs.items())
        message = f"subnets and security groups are in different VPCs: {each}"
        yield Problem("fleet file", message, "use subnets and security groups in the same VPC")


def _key(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    if given.fleet and facts.key is False:
        message = f"key pair {given.fleet.key_name} does not exist in {given.settings.AWS_REGION}"
        hint = 'correct the name (without .pem), or use "" for no key pair'
        yield Problem("fleet file, key_name", message, hint)


def _profile(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    if given.fleet and facts.profile is False:
        message = f"instance profile {given.fleet.instance_profile} does not exist"
        hint = "correct the name, or create it in IAM"
        yield Problem("fleet file, instance_profile", message, hint)


def _quota(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    machines, quotas = given.settings.CLUSTER_MACHINES, facts.quotas
    smallest: dict[str, int] = {}
    for name, machine in _known(facts):
        kind = quota_kind(name)
        if kind is None or quotas is None or kind not in quotas:
            return  # a type without a known limit may provide all machines
        smallest[kind] = min(machine.vcpus, smallest.get(kind, machine.vcpus))
    if not smallest or quotas is None:
        return
    most = sum(int(quotas[kind] // vcpus) for kind, vcpus in smallest.items())
    if most < machines:
        limits = ", ".join(f"{quotas[kind]:g} vCPUs of {kind} machines" for kind in smallest)
        message = f"is {machines}, but the account's spot quota ({limits}) is enough for {most}"
        codes = ", ".join(QUOTAS[kind] for kind in smallest)
        hint = f"lower it, or request a higher quota (Service Quotas, EC2, {codes})"
        yield Problem("config.py, CLUSTER_MACHINES", message, hint)


def _price(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    most = given.settings.MACHINE_PRICE
    for name, price in (facts.prices or {}).items():
        if most is not None and most < price:
            message = f"{most:g} is less than the current spot price of {name}, {price:g}"
            hint = "raise it, set None to pay at most the on-demand price, or remove the type"
            yield Problem("config.py, MACHINE_PRICE", message, hint)


def _disk(given: Given, facts: AwsFacts) -> Iterator[Problem]:
    size, least = given.settings.EBS_VOL_SIZE, facts.snapshot_gb
    if least is not None and size < least:
        message = f"{size} GB is smaller than the machine image ({least} GB)"
        hint = f"set at least {least}, plus what your own image and data need"
        yield Problem("config.py, EBS_VOL_SIZE", message, hint)


RULES: Mapping[str, Callable[[Given, AwsFacts], Iterable[Problem]]] = {
    "DS-REGION": _region,
    "DS-PLACEHOLDER": _placeholders,
    "DS-ANSWERS": _answers,
    "DS-MACHINE": lambda given, facts: _absent(TYPES, facts.machines, given),
    "DS-MEMORY": _memory,
    "DS-CPU": _cpu,
    "DS-GPU": _gpu,
    "DS-ARCHITECTURE": _architecture,
    "DS-IMAGE": _image,
    "DS-BUCKET": _bucket,
    "DS-BUCKET-REGION": _bucket_region,
    "DS-INPUT": _inputs,
    "DS-SUBNET": lambda given, facts: _absent("fleet file, subnets", facts.subnets, given),
    "DS-ZONE": _zones,
    "DS-GROUP": lambda given, facts: _absent("fleet file, security_groups", facts.groups, given),
    "DS-VPC": _vpc,
    "DS-KEY": _key,
    "DS-PROFILE": _profile,
    "DS-QUOTA": _quota,
    "DS-PRICE": _price,
    "DS-DISK": _disk,
}
"""The rules, by the codes of the problems that they report."""

CODES = (*BAD_INPUT, *NOT_ASKED, "DS-BUILT", *RULES)
"""Every code that `check` reports; each code has a section in the documentation."""


def _known(facts: AwsFacts) -> list[tuple[str, Machine]]:
    return [(name, machine) for name, machine in (facts.machines or {}).items() if machine]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _without_tag(image: str) -> str:
    """Return an image's name without its tag and digest; keep the port of its registry."""
    name = image.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
