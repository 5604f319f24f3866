"""The GPUs of one slot: its share of those that the worker can use."""

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

CUDA = "CUDA_VISIBLE_DEVICES"
"""What CUDA uses: positions among the GPUs that exist, or UUIDs ("CUDA C++ Programming Guide")."""

NVIDIA = "NVIDIA_VISIBLE_DEVICES"
"""What the container has: UUIDs from ECS, the machine's numbers from Docker, or all ("NVIDIA
Container Toolkit"). CUDA counts from 0 whatever the machine's numbers are."""


def gpu_count(devices: Path = Path("/dev")) -> int:
    """Count the NVIDIA GPUs of this machine or container; WSL 2 has one device for all."""
    return len([*devices.glob("nvidia[0-9]*")] or [*devices.glob("dxg")])


def gpu_share(
    environment: Mapping[str, str], existing: int, slot: int, slots: int
) -> dict[str, str]:
    """Return the variables that limit a slot to its share of the GPUs in the worker's environment
    or, if that lists none, of all that exist. With fewer GPUs than slots, several slots share one.
    """
    numbers = [str(number) for number in range(existing)]
    own = _listed(environment.get(NVIDIA, ""))
    if CUDA in environment:
        cuda = nvidia = _listed(environment[CUDA])
    elif own and not own[0].isdigit():
        cuda = nvidia = own
    else:
        cuda, nvidia = numbers, sorted(own, key=int) if len(own) == existing else numbers
    if slots == 1 or not existing or not cuda:
        return {}
    size = max(1, len(cuda) // slots)
    start = slot * size % len(cuda)
    lists = {CUDA: cuda, NVIDIA: nvidia}
    return {name: ",".join(gpus[start : start + size]) for name, gpus in lists.items()}


def _listed(text: str) -> list[str]:
    """Return the GPUs of a list, which ends at the first that is not valid, such as -1 or void."""
    valid = re.compile(r"\d+|(GPU|MIG)-.+").fullmatch
    return list(takewhile(valid, map(str.strip, text.split(","))))
