"""The fleet file: where in the account machines are started, and as what.

    {
      "subnets": ["subnet-0123456789abcdef0"],
      "security_groups": ["sg-0123456789abcdef0"],
      "instance_profile": "ecsInstanceRole",
      "key_name": "",
      "public_address": false
    }

What is the account's is here, because colleagues of one account share it between repositories; what
is the run's (types, number, price, disk) is in config.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds.jobs.problems import BadInput, Problem, closest

EXAMPLE = Path("files") / "exampleFleet.json"

KEYS = {
    "subnets": 'write a list such as ["subnet-0123456789abcdef0"], one of each zone',
    "security_groups": 'write a list such as ["sg-0123456789abcdef0"]',
    "instance_profile": 'write the name of an instance profile, such as "ecsInstanceRole"',
    "key_name": 'write the name of a key pair, or "" for none',
    "public_address": "write true or false",
}
"""What the file can hold, and what to write."""

NEEDED = ("subnets", "security_groups", "instance_profile")


@dataclass(frozen=True)
class Fleet:
    """A fleet file.

    Attributes:
        subnets: ids, at most one of each zone.
        security_groups: ids, of the same VPC.
        instance_profile: name or ARN; the rights of the machines, not of the jobs.
        key_name: of a key pair, for ssh; "" for none.
        public_address: whether machines get one, at $0.005 an hour each.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    instance_profile: str
    key_name: str = ""
    public_address: bool = False


def read(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        BadInput: with every problem.
    """
    name = path.name
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BadInput([Problem(str(path), "is not there", f"copy {EXAMPLE}")]) from None
    except json.JSONDecodeError as error:
        where = f"{name} line {error.lineno}, column {error.colno}"
        raise BadInput([Problem(where, f"is not JSON: {error.msg}", "correct it")]) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        message = f"cannot be read: {error}"
        raise BadInput([Problem(str(path), message, "save it as UTF-8")]) from None
    if not isinstance(document, dict):
        raise BadInput([Problem(name, "is no JSON object", f"copy {EXAMPLE}")])
    if "LaunchSpecifications" in document:
        message = "is a spot fleet request, as Distributed-Something had it"
        try:
            hint = f"write instead {json.dumps(of_request(document))}"
        except (AttributeError, TypeError):
            hint = f"copy {EXAMPLE}"
        raise BadInput([Problem(name, message, hint)])
    given = {key: value for key, value in document.items() if "_comment" not in key}
    problems = [
        Problem(f"{name}, {key}", "means nothing", f"did you mean {near}?" if near else "remove it")
        for key in given
        if key not in KEYS
        for near in (closest(key, KEYS),)
    ]
    problems += [
        Problem(f"{name}, {key}", "is missing", KEYS[key]) for key in NEEDED if key not in given
    ]
    problems += [
        Problem(f"{name}, {key}", f"is {value!r:.60}", KEYS[key])
        for key, value in given.items()
        if key in KEYS and not _fits(key, value)
    ]
    if problems:
        raise BadInput(problems)
    lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    return Fleet(**{**given, **lists})


def of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a spot fleet request of Distributed-Something says, in this file's form."""
    specifications = [spec for spec in request["LaunchSpecifications"] if isinstance(spec, dict)]
    faces = [face for spec in specifications for face in spec.get("NetworkInterfaces", [])]
    first = specifications[0] if specifications else {}
    profile = first.get("IamInstanceProfile", {})
    return {
        "subnets": list(dict.fromkeys(face["SubnetId"] for face in faces if "SubnetId" in face)),
        "security_groups": list(
            dict.fromkeys(group for face in faces for group in face.get("Groups", []))
        ),
        "instance_profile": profile.get("Arn", profile.get("Name", "")).rpartition("/")[2],
        "key_name": first.get("KeyName", ""),
        "public_address": any(face.get("AssociatePublicIpAddress") is True for face in faces),
    }


def _fits(key: str, value: object) -> bool:
    if key == "public_address":
        return isinstance(value, bool)
    if key in ("subnets", "security_groups"):
        start = "subnet-" if key == "subnets" else "sg-"
        return (
            isinstance(value, list)
            and bool(value)
            and all(isinstance(item, str) and item.startswith(start) for item in value)
        )
    return isinstance(value, str) and (bool(value) or key == "key_name")
