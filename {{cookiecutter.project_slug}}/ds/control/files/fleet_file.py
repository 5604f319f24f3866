"""The fleet file: the network, the instance profile and the key pair of the machines.

    {
      "subnets": ["subnet-0123456789abcdef0"],
      "security_groups": ["sg-0123456789abcdef0"],
      "instance_profile": "ecsInstanceRole",
      "key_name": "",
      "public_address": false
    }

It describes the account, so colleagues can share it between repositories. The types, number, price
and disk of the machines belong to a run and are in config.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds.jobs.problems import BadInput, Problem, did_you_mean
from ds.jobs.text_file import read_json

EXAMPLE = Path("files") / "exampleFleet.json"

KEYS = {
    "subnets": 'a list such as ["subnet-0123456789abcdef0"], at most one in each availability zone',
    "security_groups": 'a list such as ["sg-0123456789abcdef0"]',
    "instance_profile": 'the name of an instance profile, such as "ecsInstanceRole"',
    "key_name": 'the name of a key pair, or "" for no key pair',
    "public_address": "true or false",
}
"""The keys of the file, and the value that each must have."""

REQUIRED = ("subnets", "security_groups", "instance_profile")


@dataclass(frozen=True)
class Fleet:
    """A fleet file.

    Attributes:
        subnets: subnet IDs, at most one in each availability zone.
        security_groups: security group IDs, in the same VPC.
        instance_profile: a name or ARN, for the permissions of the machines, not of the jobs.
        key_name: a key pair for SSH; "" for no key pair.
        public_address: whether each machine gets a public IPv4 address, at $0.005 per hour.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    instance_profile: str
    key_name: str = ""
    public_address: bool = False


def read_fleet_file(path: Path) -> Fleet:
    """Read a fleet file, or raise BadInput with every problem."""
    name = path.name
    document = read_json(path, f"copy {EXAMPLE}", f"copy {EXAMPLE}")
    if "LaunchSpecifications" in document:
        try:
            hint = f"replace it with {json.dumps(from_spot_fleet_request(document))}"
        except (AttributeError, TypeError):
            hint = f"copy {EXAMPLE}"
        message = "is a spot fleet request of Distributed-Something"
        raise BadInput([Problem(name, message, hint)])
    given = {key: value for key, value in document.items() if "_comment" not in key}
    problems = [
        Problem(f"{name}, {key}", "has no value", f"must be {KEYS[key]}")
        for key in REQUIRED
        if key not in given
    ]
    for key, value in given.items():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, "remove it")
            problems.append(Problem(f"{name}, {key}", "unknown key", hint))
        elif not _is_valid(key, value):
            message = f"is {value!r:.60}"
            problems.append(Problem(f"{name}, {key}", message, f"must be {KEYS[key]}"))
    if problems:
        raise BadInput(problems)
    lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    return Fleet(**{**given, **lists})


def from_spot_fleet_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a spot fleet request of Distributed-Something into a fleet file."""
    specifications = [spec for spec in request["LaunchSpecifications"] if isinstance(spec, dict)]
    faces = [face for spec in specifications for face in spec.get("NetworkInterfaces", [])]
    first = specifications[0] if specifications else {}
    profile = first.get("IamInstanceProfile", {})
    return {
        "subnets": list(dict.fromkeys(face["SubnetId"] for face in faces if "SubnetId" in face)),
        "security_groups": list(dict.fromkeys(g for face in faces for g in face.get("Groups", []))),
        "instance_profile": profile.get("Arn", profile.get("Name", "")).rpartition("/")[2],
        "key_name": first.get("KeyName", ""),
        "public_address": any(face.get("AssociatePublicIpAddress") is True for face in faces),
    }


def _is_valid(key: str, value: object) -> bool:
    if key == "public_address":
        return isinstance(value, bool)
    if start := {"subnets": "subnet-", "security_groups": "sg-"}.get(key):
        items = value if isinstance(value, list) else []
        return bool(items) and all(isinstance(i, str) and i.startswith(start) for i in items)
    return isinstance(value, str) and (bool(value) or key == "key_name")
