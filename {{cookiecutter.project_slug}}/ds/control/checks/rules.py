"""What `check` finds: the rules, each a function of what is given and what AWS said.

Nothing here asks anything. What is not known is None, and no rule speaks of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ds.jobs.problems import Problem
from ds.jobs.settings import Settings

if TYPE_CHECKING:
    from ds.control.files.fleet_file import Fleet

CODES = (
    "DS-CONFIG",
    "DS-JOBS",
    "DS-FLEET",
    "DS-CREDENTIALS",
    "DS-UNREACHABLE",
    "DS-REGION",
    "DS-PLACEHOLDER",
    "DS-ANSWERS",
    "DS-MACHINE",
    "DS-MEMORY",
    "DS-CPU",
    "DS-GPU",
    "DS-ARCHITECTURE",
    "DS-IMAGE",
    "DS-BUILT",
    "DS-BUCKET",
    "DS-BUCKET-REGION",
    "DS-INPUT",
    "DS-SUBNET",
    "DS-ZONE",
    "DS-GROUP",
    "DS-VPC",
    "DS-KEY",
    "DS-PROFILE",
    "DS-QUOTA",
    "DS-PRICE",
    "DS-DISK",
)
"""Each has its section in docs/findings.md."""

BAD_INPUT = frozenset({"DS-CONFIG", "DS-JOBS", "DS-FLEET"})
NOT_ASKED = frozenset({"DS-CREDENTIALS", "DS-UNREACHABLE"})

USABLE = 0.92
KEPT_BACK_MIB = 256
"""Of a machine's memory: its kernel, Docker and the ECS agent have the rest. A machine of 8,192
MiB registers 7,985 with ECS, and larger ones lose more."""

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
"""Service Quotas' codes of EC2's limits of vCPUs of running spot machines, by kind of machine
("Amazon EC2 instance type quotas", EC2 Instance Types guide)."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: of CODES.
        what: is wrong, where.
        todo: what to do about it.
    """

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class Unknown:
    """Something that could not be looked at, and why."""

    message: str
    why: str


@dataclass(frozen=True)
class Machine:
    """An EC2 instance type; architectures in EC2's words ("x86_64", "arm64")."""

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
    """What S3 says of AWS_BUCKET: "there", "missing" or "denied"; None where it is not known."""

    state: str
    region: str | None = None
    writable: bool | None = None


@dataclass(frozen=True)
class Image:
    """What a registry says of the image; architectures are EC2's words, None if not known."""

    exists: bool
    architectures: tuple[str, ...] | None = None


@dataclass(frozen=True)
class MissingInput:
    """An input that is not there: of the first group, counted from 1, that was seen to need it."""

    group: int
    uri: str


@dataclass(frozen=True)
class Given:
    """What the files say.

    Attributes:
        settings: of config.py.
        fleet: of the fleet file; None without one.
        answers: to the template's questions, of .cruft.json; empty without it.
        base: the image that the Dockerfile stands on; "" without one.
        regions: all that boto3 knows.
    """

    settings: Settings
    fleet: Fleet | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    regions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AwsFacts:
    """What AWS says; None where it was not asked or did not answer.

    Attributes:
        enabled: whether the account has AWS_REGION switched on.
        machines: by type; None for a type that the region does not have.
        subnets, groups: by id; None for one that is not there.
        key, profile: whether it is there.
        quotas: vCPUs by kind of QUOTAS.
        prices: cheapest spot price of each type in the subnets' zones, $/hour.
        snapshot_gb: size of the machine image's root disk.
        missing: inputs of the groups that were looked at.
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
    missing: tuple[MissingInput, ...] = ()


def findings(given: Given, facts: AwsFacts) -> list[Finding]:
    """Everything that is wrong, by every rule."""
    return [finding for rule in RULES for finding in rule(given, facts)]


def of_problems(code: str, problems: Iterable[Problem]) -> list[Finding]:
    """What is wrong with a file, as findings."""
    return [
        Finding(code, f"{problem.where}: {problem.message}", problem.hint)
        for problem in problems
        if not problem.warning
    ]


def is_placeholder(value: str) -> bool:
    """Whether a value is still that of the template, or of the family's example files."""
    forms = r"(^|[-_ /.:])your[-_]|^user/|^bucket-name$|^(subnet-W+|sg-Z+)$|X{6,}|:some-region:"
    return bool(re.search(forms, value))


def fitting_memory(machine: Machine, tasks: int) -> int:
    """The largest MEMORY, in MB, with which so many containers fit a machine."""
    return max(0, math.floor((USABLE * machine.memory_mib - KEPT_BACK_MIB) / tasks))


def quota_kind(machine_type: str) -> str | None:
    """The kind of QUOTAS that a type counts towards, or None."""
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


def _placeholders(given: Given, _: AwsFacts) -> Iterator[Finding]:
    settings, fleet = given.settings, given.fleet
    places = {"config.py, AWS_BUCKET": [settings.AWS_BUCKET]}
    places["config.py, DOCKERHUB_TAG"] = [settings.DOCKERHUB_TAG]
    places |= {
        f"config.py, {name}": [value] if isinstance(value, str) else value
        for name, value in settings.program.items()
        if isinstance(value, (str, list))
    }
    if fleet:
        places["fleet file, subnets"] = list(fleet.subnets)
        places["fleet file, security_groups"] = list(fleet.security_groups)
        places["fleet file, instance_profile"] = [fleet.instance_profile]
        places["fleet file, key_name"] = [fleet.key_name]
    for place, values in places.items():
        for value in filter(is_placeholder, values):
            yield Finding("DS-PLACEHOLDER", f"{place}: is still {value!r}", "write your own")


def _answers(given: Given, _: AwsFacts) -> Iterator[Finding]:
    answer = given.answers.get("docker_base_image", "")
    hint = "let both say the same, else the next update of the template mixes them up"
    if answer and given.base and answer != given.base:
        message = (
            f"Dockerfile: is FROM {given.base}, but .cruft.json has docker_base_image {answer}"
        )
        yield Finding("DS-ANSWERS", message, hint)
    image, tag = given.answers.get("docker_image", ""), given.settings.DOCKERHUB_TAG
    # A new tag of the same image is everyday work; the placeholder is there to be replaced.
    if image and not is_placeholder(image) and _without_tag(image) != _without_tag(tag):
        message = f"config.py, DOCKERHUB_TAG: is {tag!r}, but .cruft.json has docker_image {image}"
        yield Finding("DS-ANSWERS", message, hint)


def _region(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    region = given.settings.AWS_REGION
    if given.regions and region not in given.regions:
        hint = "correct it; if it is a new region, update boto3"
        yield Finding("DS-REGION", f"config.py, AWS_REGION: boto3 knows no {region}", hint)
    elif facts.enabled is False:
        message = f"config.py, AWS_REGION: {region} is not enabled in this account"
        yield Finding("DS-REGION", message, "enable it in the account's settings, or take another")


def _machines(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    for name, machine in (facts.machines or {}).items():
        if machine is None:
            message = f"config.py, MACHINE_TYPE: {given.settings.AWS_REGION} has no {name}"
            yield Finding("DS-MACHINE", message, "correct or remove it")


def _memory(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    settings = given.settings
    tasks = settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        largest = fitting_memory(machine, tasks)
        if largest >= settings.MEMORY:
            continue
        message = (
            f"config.py, MEMORY: {settings.MEMORY} MB for each of {tasks} containers do not fit "
            f"{name}, which has {machine.memory_mib} MB and keeps some back"
        )
        hint = f"write at most MEMORY = {largest}, or take a larger type or a smaller {_TASKS}"
        yield Finding("DS-MEMORY", message, hint)


def _cpu(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    settings = given.settings
    needed = settings.DOCKER_CORES * settings.CPUS_PER_JOB * settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        if needed > machine.vcpus:
            message = (
                f"config.py, MACHINE_TYPE: {name} has {machine.vcpus} CPUs, but DOCKER_CORES x "
                f"CPUS_PER_JOB x TASKS_PER_MACHINE is {needed}"
            )
            yield Finding("DS-CPU", message, "lower one of the three, or take a larger type")


def _gpu(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    settings = given.settings
    needed = settings.GPUS * settings.TASKS_PER_MACHINE
    for name, machine in _known(facts):
        if needed > machine.gpus:
            message = (
                f"config.py, MACHINE_TYPE: {name} has {machine.gpus} GPUs, but "
                f"GPUS x TASKS_PER_MACHINE is {needed}"
            )
            yield Finding("DS-GPU", message, "lower one of the two, or take a type with more GPUs")


def _architecture(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    types = dict(_known(facts))
    image = facts.image.architectures if facts.image else None
    if image:
        for name, machine in types.items():
            if not set(machine.architectures) & set(image):
                message = (
                    f"config.py, MACHINE_TYPE: {name} is {' or '.join(machine.architectures)}, "
                    f"but the image {given.settings.DOCKERHUB_TAG} is {' and '.join(image)}"
                )
                hint = "take types of the image's kind, or build the image for this one"
                yield Finding("DS-ARCHITECTURE", message, hint)
    elif types and not set.intersection(*(set(m.architectures) for m in types.values())):
        kinds = ", ".join(f"{name} {'/'.join(m.architectures)}" for name, m in types.items())
        message = f"config.py, MACHINE_TYPE: no image runs on all of these: {kinds}"
        yield Finding("DS-ARCHITECTURE", message, "take types of one kind")


def _image(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    tag = given.settings.DOCKERHUB_TAG
    if not tag:
        hint = "write the name of the image that `make image` builds"
        yield Finding("DS-IMAGE", "config.py, DOCKERHUB_TAG: is empty", hint)
    elif facts.image and not facts.image.exists:
        message = f"config.py, DOCKERHUB_TAG: {tag} is not in its registry"
        yield Finding("DS-IMAGE", message, "build it and push it there, or correct the name")


def _bucket(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    name, bucket = given.settings.AWS_BUCKET, facts.bucket
    if bucket is None:
        return
    where = "config.py, AWS_BUCKET"
    if bucket.state == "missing":
        yield Finding("DS-BUCKET", f"{where}: there is no bucket {name}", "make it, or correct it")
    elif bucket.state == "denied":
        hint = "take a bucket of your own, or ask its owner for the right to list it"
        yield Finding("DS-BUCKET", f"{where}: you may not look into {name}", hint)
    elif bucket.writable is False:
        hint = "ask for the right s3:PutObject, or take another bucket"
        yield Finding("DS-BUCKET", f"{where}: you may not write to {name}", hint)
    region = given.settings.AWS_REGION
    if bucket.region and bucket.region != region:
        message = f"{where}: {name} is in {bucket.region}, the machines are in {region}"
        hint = f"write AWS_REGION = {bucket.region!r}: what goes between regions is paid by the GB"
        yield Finding("DS-BUCKET-REGION", message, hint)


def _inputs(_: Given, facts: AwsFacts) -> Iterator[Finding]:
    for missing in facts.missing:
        message = f"job file, group {missing.group}: its input {missing.uri} is not there"
        yield Finding("DS-INPUT", message, "upload it, or correct the job file")


def _subnets(_: Given, facts: AwsFacts) -> Iterator[Finding]:
    zones: dict[str, list[str]] = {}
    for name, subnet in (facts.subnets or {}).items():
        if subnet is None:
            message = f"fleet file, subnets: there is no {name} in this region"
            yield Finding("DS-SUBNET", message, "correct or remove it")
        else:
            zones.setdefault(subnet.zone, []).append(name)
    for zone, names in zones.items():
        if len(names) > 1:
            message = f"fleet file, subnets: {', '.join(names)} are all in {zone}"
            yield Finding("DS-ZONE", message, "keep one: a fleet can have one subnet in each zone")


def _groups(_: Given, facts: AwsFacts) -> Iterator[Finding]:
    for name, group in (facts.groups or {}).items():
        if group is None:
            message = f"fleet file, security_groups: there is no {name} in this region"
            yield Finding("DS-GROUP", message, "correct or remove it")


def _vpc(_: Given, facts: AwsFacts) -> Iterator[Finding]:
    places = {**(facts.subnets or {}), **(facts.groups or {})}
    vpcs = {name: place.vpc for name, place in places.items() if place}
    if len(set(vpcs.values())) > 1:
        told = ", ".join(f"{name} in {vpc}" for name, vpc in vpcs.items())
        hint = "take subnets and security groups of one VPC"
        yield Finding("DS-VPC", f"fleet file: of different networks: {told}", hint)


def _key(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    if given.fleet and facts.key is False:
        message = (
            f"fleet file, key_name: there is no key pair {given.fleet.key_name} in this region"
        )
        yield Finding("DS-KEY", message, 'correct it (without .pem), or write "" for none')


def _profile(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    if given.fleet and facts.profile is False:
        profile = given.fleet.instance_profile
        message = f"fleet file, instance_profile: there is no instance profile {profile}"
        yield Finding("DS-PROFILE", message, "correct it, or make it in IAM")


def _quota(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    settings, quotas = given.settings, facts.quotas
    smallest: dict[str, int] = {}
    for name, machine in _known(facts):
        kind = quota_kind(name)
        if kind is None or quotas is None or kind not in quotas:
            return  # a type without a known limit may give all the machines
        smallest[kind] = min(machine.vcpus, smallest.get(kind, machine.vcpus))
    if not smallest or quotas is None:
        return
    most = sum(int(quotas[kind] // vcpus) for kind, vcpus in smallest.items())
    if most < settings.CLUSTER_MACHINES:
        limits = ", ".join(f"{quotas[kind]:g} vCPUs of {kind} machines" for kind in smallest)
        message = (
            f"config.py, CLUSTER_MACHINES: is {settings.CLUSTER_MACHINES}, but the account's spot "
            f"quota ({limits}) is enough for {most}"
        )
        codes = ", ".join(QUOTAS[kind] for kind in smallest)
        hint = f"lower it, or ask for a higher quota (Service Quotas, EC2, {codes})"
        yield Finding("DS-QUOTA", message, hint)


def _price(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    most = given.settings.MACHINE_PRICE
    for name, price in (facts.prices or {}).items():
        if most is not None and most < price:
            message = f"config.py, MACHINE_PRICE: {most:g} is less than {name} costs now: {price:g}"
            hint = "raise it, write None for no limit of your own, or remove the type"
            yield Finding("DS-PRICE", message, hint)


def _disk(given: Given, facts: AwsFacts) -> Iterator[Finding]:
    size, least = given.settings.EBS_VOL_SIZE, facts.snapshot_gb
    if least is not None and size < least:
        message = (
            f"config.py, EBS_VOL_SIZE: {size} GB are less than the machine's system, {least} GB"
        )
        hint = f"write at least {least}, and more for your image and data"
        yield Finding("DS-DISK", message, hint)


RULES: tuple[Callable[[Given, AwsFacts], Iterable[Finding]], ...] = (
    _placeholders,
    _answers,
    _region,
    _machines,
    _memory,
    _cpu,
    _gpu,
    _architecture,
    _image,
    _bucket,
    _inputs,
    _subnets,
    _groups,
    _vpc,
    _key,
    _profile,
    _quota,
    _price,
    _disk,
)

_TASKS = "TASKS_PER_MACHINE"


def _known(facts: AwsFacts) -> list[tuple[str, Machine]]:
    return [(name, machine) for name, machine in (facts.machines or {}).items() if machine]


def _without_tag(image: str) -> str:
    """An image's name without tag and digest; a port of its registry stays."""
    name = image.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
