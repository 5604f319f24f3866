"""The container and the machine that a worker runs on: which they are, what they have left, and
what a full memory or disk has to do with a command that failed."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

log = logging.getLogger("ds.worker")

INTERVAL_SECONDS = 30

MEMORY_WARNING = 0.9
"""Of the container's memory, and of the machine's."""

DISK_WARNING = 0.9

LOAD_WARNING = 2.0
"""Processes that want to run, for each core of the machine."""

FULL_BYTES = 1_000_000
"""A disk with less room than this is full."""

_NO_LIMIT = 1 << 60
"""Version 1 of cgroups writes no limit as a number about so large."""

_METADATA_SECONDS = 1.0

_SIGKILLED = (-9, 137)
"""SIGKILL as the command's own end, and as a shell tells it of its child."""

_FULL_TEXTS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class Cgroup:
    """What the kernel counts for this container (cgroups, version 1 or 2; documentation of Linux,
    "admin-guide/cgroup-v2" and "cgroup-v1/memory"). Outside a container nothing has a limit.

    Args:
        root: where they are mounted.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        self._two = (root / "cgroup.controllers").exists()

    def memory_limit(self) -> int | None:
        """Bytes; None where there is no limit."""
        text = self._text("memory.max", "memory/memory.limit_in_bytes").strip()
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None

    def memory_used(self) -> int:
        """Bytes, without what the kernel would give back at once (files read before)."""
        used = self._text("memory.current", "memory/memory.usage_in_bytes").strip() or "0"
        name = "inactive_file" if self._two else "total_inactive_file"
        return max(0, int(used) - self._counter(name, "memory.stat", "memory/memory.stat"))

    def cpu_seconds(self) -> float:
        """Spent by all processes so far."""
        if self._two:
            return self._counter("usage_usec", "cpu.stat", "") / 1e6
        return int(self._text("", "cpuacct/cpuacct.usage").strip() or 0) / 1e9

    def out_of_memory_kills(self) -> int:
        """Processes that the kernel has killed because of the limit, so far."""
        return self._counter("oom_kill", "memory.events", "memory/memory.oom_control")

    def _counter(self, name: str, two: str, one: str) -> int:
        for line in self._text(two, one).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0

    def _text(self, two: str, one: str) -> str:
        with contextlib.suppress(OSError):
            return (self._root / (two if self._two else one)).read_text()
        return ""


@dataclass(frozen=True)
class Sample:
    """One look at container and machine.

    Attributes:
        memory, memory_limit: the container's, bytes; no limit is None.
        cores: that the container kept busy since the last look.
        disk_free, disk: where jobs have their folders, bytes.
        machine_memory, machine_cpu: used of the machine's, 0 to 1.
        load: processes that want to run, for each core of the machine, over a minute.
    """

    memory: int
    memory_limit: int | None
    cores: float
    disk_free: int
    disk: int
    machine_memory: float
    machine_cpu: float
    load: float

    def line(self) -> str:
        """The look as a line of the log."""
        limit = f" of {megabytes(self.memory_limit)}" if self.memory_limit else ""
        return (
            f"container: {megabytes(self.memory)}{limit} memory, {self.cores:.1f} cores busy, "
            f"{self.disk_free / 1e9:.1f} of {self.disk / 1e9:.1f} GB disk free; "
            f"machine: {self.machine_memory:.0%} memory, {self.machine_cpu:.0%} CPU, "
            f"load {self.load:.1f} per core"
        )

    def warnings(self) -> dict[str, str]:
        """What is nearly used up, and what to do, by the name of the resource."""
        found = {}
        if self.memory_limit and self.memory > MEMORY_WARNING * self.memory_limit:
            found["memory"] = "the container's memory is nearly full: raise MEMORY"
        if self.machine_memory > MEMORY_WARNING:
            found["machine"] = "the machine's memory is nearly full: lower TASKS_PER_MACHINE"
        if self.disk_free < (1 - DISK_WARNING) * self.disk:
            found["disk"] = "the disk is nearly full: raise EBS_VOL_SIZE"
        if self.load > LOAD_WARNING:
            found["load"] = "more processes than cores want to run: raise CPUS_PER_JOB"
        return found


class ResourceMonitor:
    """Looks at container and machine now and then, in a thread of its own.

    Args:
        folder: where jobs have their folders.
        say: takes each look as a line.
        cgroup: the container's.
        seconds: from look to look.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        cgroup: Cgroup,
        seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._folder = folder
        self._say = say
        self._cgroup = cgroup
        self._seconds = seconds
        self._ended = threading.Event()
        # Its name is that of its log stream.
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def __enter__(self) -> ResourceMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        before: dict[str, str] = {}
        psutil.cpu_percent()  # each answer is about the time since the last
        at, spent = time.monotonic(), self._cgroup.cpu_seconds()
        while not self._ended.wait(self._seconds):
            try:
                now, total = time.monotonic(), self._cgroup.cpu_seconds()
                sample = self._sample((total - spent) / (now - at))
                at, spent = now, total
                self._say(sample.line())
                for text in sample.warnings().values():
                    self._say(f"warning: {text}")
                for name, text in sample.warnings().items():
                    if name not in before:
                        log.warning("%s (%s)", text, sample.line())
                before = sample.warnings()
            except Exception as error:  # a worker that is not watched works all the same
                log.warning("no look at the machine: %s", error)

    def _sample(self, cores: float) -> Sample:
        disk = psutil.disk_usage(str(self._folder))
        return Sample(
            memory=self._cgroup.memory_used(),
            memory_limit=self._cgroup.memory_limit(),
            cores=cores,
            disk_free=disk.free,
            disk=disk.total,
            machine_memory=psutil.virtual_memory().percent / 100,
            machine_cpu=psutil.cpu_percent() / 100,
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
        )


class Pressure:
    """What happened to memory and disk during one attempt.

    Args:
        folder: where the attempt writes.
        cgroup: the container's.
        slots: jobs that share the container.
    """

    def __init__(self, folder: Path, cgroup: Cgroup, slots: int) -> None:
        self._folder = folder
        self._cgroup = cgroup
        self._slots = slots
        self._kills = cgroup.out_of_memory_kills()
        self._full = False

    def sample(self) -> None:
        """Ask for the room on the disk; cheap, to be called while the attempt goes on."""
        with contextlib.suppress(OSError):
            room = os.statvfs(self._folder)
            self._full = self._full or room.f_bavail * room.f_frsize < FULL_BYTES

    def spoiled(self) -> bool:
        """Whether the kernel killed a process of this attempt for certain, whatever its command
        made of that. With other slots in the container it cannot be known whose it was."""
        return self._slots == 1 and self._cgroup.out_of_memory_kills() > self._kills

    def explain(self, reason: str, exit_code: int | None) -> str:
        """The reason why the attempt failed, with what memory and disk had to do with it."""
        killed = self._cgroup.out_of_memory_kills() > self._kills
        return explain(
            reason, exit_code, killed, self._full, self._cgroup.memory_limit(), self._slots
        )


def explain(
    reason: str, exit_code: int | None, killed: bool, full: bool, limit: int | None, slots: int
) -> str:
    """The reason of a failed attempt in terms of memory and disk, if they had to do with it.

    Args:
        reason: as it would be told otherwise.
        exit_code: of the command; negative is a signal's number, None if it did not end by itself.
        killed: whether the kernel killed a process of this container because of its memory.
        full: whether the disk was full at some time.
        limit: the container's memory, bytes.
        slots: jobs that share it.
    """
    if killed:
        at = f" at {megabytes(limit)}" if limit else ""
        shared = f"MEMORY is for the whole container, {slots} slot{'s' * (slots != 1)}"
        if exit_code in _SIGKILLED:
            reason = f"killed: out of memory{at}; {shared}"
        else:
            # Not certain: it may have been a process of another slot.
            reason += f"; a process of this container was killed: out of memory{at}; {shared}"
    if full or any(text in reason for text in _FULL_TEXTS):
        reason += "; the disk is full: EBS_VOL_SIZE is for all containers of a machine"
    return reason


def megabytes(count: int) -> str:
    """Bytes as MEMORY counts them (ECS and Docker: 1 MB is 1,048,576 bytes)."""
    return f"{count >> 20:,} MB"


@dataclass(frozen=True)
class HostIdentity:
    """Where a worker runs.

    Attributes:
        machine: the id of its EC2 instance.
        machine_type: of that instance.
        task: the id of its ECS task.
    """

    machine: str = ""
    machine_type: str = ""
    task: str = ""


def host_identity(environment: Mapping[str, str]) -> HostIdentity:
    """Ask ECS and EC2; what does not answer within a second is left out.

    Source: ECS developer guide, "task metadata endpoint version 4"; EC2 user guide, "IMDSv2".
    """
    # The program's proxy does not lead there.
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def answer(url: str, method: str = "GET", **headers: str) -> str:
        if not url.startswith("http"):
            raise ValueError(url)
        named = {f"X-aws-ec2-metadata-{name}": text for name, text in headers.items()}
        request = urllib.request.Request(url, method=method, headers=named)
        with ask(request, timeout=_METADATA_SECONDS) as told:
            text: str = told.read().decode()
        return text

    task = machine = machine_type = ""
    with contextlib.suppress(OSError, ValueError, KeyError):
        document = json.loads(answer(f"{environment['ECS_CONTAINER_METADATA_URI_V4']}/task"))
        task = document["TaskARN"].rpartition("/")[2]
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        service = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
        latest = f"{service.rstrip('/')}/latest"
        with contextlib.suppress(OSError, ValueError):
            seconds = {"token-ttl-seconds": "60"}
            token = {"token": answer(f"{latest}/api/token", "PUT", **seconds)}
            machine = answer(f"{latest}/meta-data/instance-id", **token)
            machine_type = answer(f"{latest}/meta-data/instance-type", **token)
    return HostIdentity(machine, machine_type, task)
