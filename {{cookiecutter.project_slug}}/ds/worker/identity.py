"""Where a worker runs: its EC2 instance and its ECS task."""

import contextlib
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class HostIdentity:
    """The id and type of an EC2 instance and the id of an ECS task; "" if unknown."""

    machine: str = ""
    machine_type: str = ""
    task: str = ""


def host_identity(environment: Mapping[str, str]) -> HostIdentity:
    """Query ECS and EC2; leave a value empty if the service does not answer in time.

    Source: ECS developer guide, "task metadata endpoint version 4"; EC2 user guide, "IMDSv2".
    """
    task = machine = machine_type = ""
    with contextlib.suppress(OSError, ValueError, KeyError):
        document = json.loads(_request(f"{environment['ECS_CONTAINER_METADATA_URI_V4']}/task"))
        task = document["TaskARN"].rpartition("/")[2]
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        service = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
        latest = f"{service.rstrip('/')}/latest"
        with contextlib.suppress(OSError, ValueError):
            seconds = {"token-ttl-seconds": "60"}
            token = {"token": _request(f"{latest}/api/token", "PUT", **seconds)}
            machine = _request(f"{latest}/meta-data/instance-id", **token)
            machine_type = _request(f"{latest}/meta-data/instance-type", **token)
    return HostIdentity(machine, machine_type, task)


def _request(url: str, method: str = "GET", **metadata: str) -> str:
    if not url.startswith("http"):
        raise ValueError(url)
    headers = {f"X-aws-ec2-metadata-{name}": text for name, text in metadata.items()}
    request = urllib.request.Request(url, method=method, headers=headers)
    # The program's proxy cannot reach the metadata services, so do not use it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
        text: str = response.read().decode()
    return text
