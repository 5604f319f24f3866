"""Memory, disk and CPU of container and machine: measured now and then, and named in the reason
when they made a command fail."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

logger = logging.getLogger("ds.worker")

INTERVAL_SECONDS = 30

MEMORY_WARNING = 0.9
"""Share of the container's memory, and of the machine's."""

DISK_WARNING = 0.9

LOAD_WARNING = 2.0
"""Runnable processes for each core of the machine."""

FULL_BYTES = 1_000_000
"""A disk with less free space is full."""

_NO_LIMIT = 1 << 60
"""Version 1 of cgroups reports "no limit" as a number above this."""

_SIGKILLED = (-9, 137)
"""SIGKILL of the command itself, and as a shell reports it of its child."""

_FULL_TEXTS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class Cgroup:
    """What the kernel counts for this container, by cgroups of version 1 or 2 (Linux documentation,
    "admin-guide/cgroup-v2" and "cgroup-v1/memory"). Outside a container there is no limit."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        self._two = (root / "cgroup.controllers").exists()

    def memory_limit(self) -> int | None:
        """Return bytes; None if there is no limit."""
        text = self._text("memory.max", "memory/memory.limit_in_bytes").strip()
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None

    def memory_used(self) -> int:
        """Return bytes, without what the kernel can free at once (cached files)."""
        used = self._text("memory.current", "memory/memory.usage_in_bytes").strip() or "0"
        name = "inactive_file" if self._two else "total_inactive_file"
        return max(0, int(used) - self._counter(name, "memory.stat", "memory/memory.stat"))

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes so far."""
        if self._two:
            return self._counter("usage_usec", "cpu.stat", "") / 1e6
        return int(self._text("", "cpuacct/cpuacct.usage").strip() or 0) / 1e9

    def out_of_memory_kills(self) -> int:
        """Return how many processes the kernel has killed because of the limit, so far."""
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
    """One measurement of container and machine.

    Attributes:
        memory, memory_limit: the container's, bytes; None is no limit.
        cores: how many the container kept busy since the last sample.
        disk_free, disk: where jobs have their folders, bytes.
        machine_memory, machine_cpu: the used share of the machine's, 0 to 1.
        load: runnable processes for each core of the machine, over a minute.
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
        """Return the sample as a line of the log."""
        limit = f" of {megabytes(self.memory_limit)}" if self.memory_limit else ""
        return (
            f"container: {megabytes(self.memory)}{limit} memory, {self.cores:.1f} cores busy, "
            f"{self.disk_free / 1e9:.1f} of {self.disk / 1e9:.1f} GB disk free; "
            f"machine: {self.machine_memory:.0%} memory, {self.machine_cpu:.0%} CPU, "
            f"load {self.load:.1f} per core"
        )

    def warnings(self) -> dict[str, str]:
        """Return what is nearly used up, and what to do, by the name of the resource."""
        found = {}
        if self.memory_limit and self.memory > MEMORY_WARNING * self.memory_limit:
            found["memory"] = "the container's memory is nearly full: raise MEMORY"
        if self.machine_memory > MEMORY_WARNING:
            found["machine"] = "the machine's memory is nearly full: lower TASKS_PER_MACHINE"
        if self.disk_free < (1 - DISK_WARNING) * self.disk:
            found["disk"] = "the disk is nearly full: raise EBS_VOL_SIZE"
        if self.load > LOAD_WARNING:
            found["load"] = "more processes than cores are ready to run: raise CPUS_PER_JOB"
        return found


class ResourceMonitor:
    """A thread that measures container and machine now and then.

    Args:
        folder: where jobs have their folders.
        report: receives the lines.
        cgroup: the container's.
        seconds: from sample to sample.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        cgroup: Cgroup,
        seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._folder = folder
        self._report = report
        self._cgroup = cgroup
        self._seconds = seconds
        self._ended = threading.Event()
        # The thread's name is the name of its log stream.
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def __enter__(self) -> ResourceMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        before: dict[str, str] = {}
        psutil.cpu_percent()  # each result covers the time since the call before
        at, spent = time.monotonic(), self._cgroup.cpu_seconds()
        while not self._ended.wait(self._seconds):
            try:
                now, total = time.monotonic(), self._cgroup.cpu_seconds()
                sample = self._sample((total - spent) / (now - at))
                at, spent = now, total
                self._report(sample.line())
                for name, text in sample.warnings().items():
                    self._report(f"warning: {text}")
                    if name not in before:
                        logger.warning("%s (%s)", text, sample.line())
                before = sample.warnings()
            except Exception as error:  # jobs do not depend on this
                logger.warning("cannot measure the machine: %s", error)

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
        slots: number of jobs that share the container.
    """

    def __init__(self, folder: Path, cgroup: Cgroup, slots: int) -> None:
        self._folder = folder
        self._cgroup = cgroup
        self._slots = slots
        self._kills = cgroup.out_of_memory_kills()
        self._full = False

    def sample(self) -> None:
        """Note whether the disk is full now; cheap, called during the attempt."""
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._folder)
            self._full = self._full or disk.f_bavail * disk.f_frsize < FULL_BYTES

    def spoiled(self) -> bool:
        """Whether the kernel certainly killed a process of this attempt, even if its command exits
        with 0. With other slots in the container, the process may have been another job's."""
        return self._slots == 1 and self._cgroup.out_of_memory_kills() > self._kills

    def explain(self, reason: str, exit_code: int | None) -> str:
        """Return why the attempt failed, with the part of memory and disk in it."""
        killed = self._cgroup.out_of_memory_kills() > self._kills
        return explain(
            reason, exit_code, killed, self._full, self._cgroup.memory_limit(), self._slots
        )


def explain(
    reason: str, exit_code: int | None, killed: bool, full: bool, limit: int | None, slots: int
) -> str:
    """Return the reason of a failed attempt in terms of memory and disk, if they had a part in it.

    Args:
        reason: why it failed otherwise.
        exit_code: of the command; a signal's number if negative, None if the command was stopped.
        killed: whether the kernel killed a process of this container because of its memory.
        full: whether the disk was full at some time.
        limit: the container's memory, bytes.
        slots: number of jobs that share the container.
    """
    if killed:
        at = f" at {megabytes(limit)}" if limit else ""
        shared = f"MEMORY is for the whole container, {slots} slot{'s' * (slots != 1)}"
        if exit_code in _SIGKILLED:
            reason = f"killed: out of memory{at}; {shared}"
        else:
            # Perhaps a process of another slot.
            reason += f"; a process of this container was killed: out of memory{at}; {shared}"
    if full or any(text in reason for text in _FULL_TEXTS):
        reason += "; the disk is full: EBS_VOL_SIZE is for all containers of a machine"
    return reason


def megabytes(count: int) -> str:
    """Return bytes in the unit of MEMORY (for ECS and Docker, 1 MB is 1,048,576 bytes)."""
    return f"{count >> 20:,} MB"
