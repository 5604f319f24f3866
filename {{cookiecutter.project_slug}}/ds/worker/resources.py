"""Memory, disk and CPU of the container and the machine: measured at intervals, and added to the
reason of an attempt that failed because of them."""

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

logger = logging.getLogger("ds.worker")

NEARLY_FULL = 0.9
"""Fraction of the container's memory, the machine's memory, or the disk."""

HIGH_LOAD = 2.0
"""Runnable processes per core of the machine."""

FULL_BYTES = 1_000_000
"""A disk with less free space than this counts as full."""

_NO_LIMIT = 1 << 60
"""cgroups version 1 reports a larger number if there is no limit."""

_SIGKILLED = (-9, 137)
"""Exit codes after SIGKILL: of the command itself, and of a shell whose child was killed."""

_FULL_TEXTS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class Cgroup:
    """The kernel's counters for this container, from cgroups version 1 or 2 (Linux documentation,
    "admin-guide/cgroup-v2" and "cgroup-v1/memory"). Outside a container, all are empty."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        self._two = (root / "cgroup.controllers").exists()

    def memory_limit(self) -> int | None:
        """Return the memory limit in bytes; None if there is no limit."""
        text = self._text("memory.max", "memory/memory.limit_in_bytes").strip()
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None

    def memory_used(self) -> int:
        """Return the bytes used, without what the kernel can free at once (cached files)."""
        used = self._text("memory.current", "memory/memory.usage_in_bytes").strip() or "0"
        name = "inactive_file" if self._two else "total_inactive_file"
        return max(0, int(used) - self._counter(name, "memory.stat", "memory/memory.stat"))

    def cpu_seconds(self) -> float:
        """Return the CPU time that all processes have used so far, in seconds."""
        if self._two:
            return self._counter("usage_usec", "cpu.stat", "") / 1e6
        return int(self._text("", "cpuacct/cpuacct.usage").strip() or 0) / 1e9

    def out_of_memory_kills(self) -> int:
        """Return the number of processes that the kernel has killed so far because of the limit."""
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
    """One measurement of the container and the machine.

    Attributes:
        memory, memory_limit: of the container, in bytes; None means no limit.
        cores: number of cores that the container kept busy since the last sample.
        disk_free, disk: free and total bytes of the disk with the folders of jobs.
        machine_memory, machine_cpu: the fraction in use, 0 to 1.
        load: runnable processes per core of the machine, averaged over a minute.
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
        """Return the sample as a log line."""
        limit = f" of {megabytes(self.memory_limit)}" if self.memory_limit else ""
        return (
            f"container: {megabytes(self.memory)}{limit} memory, {self.cores:.1f} cores busy, "
            f"{self.disk_free / 1e9:.1f} of {self.disk / 1e9:.1f} GB disk free; "
            f"machine: {self.machine_memory:.0%} memory, {self.machine_cpu:.0%} CPU, "
            f"load {self.load:.1f} per core"
        )

    def warnings(self) -> dict[str, str]:
        """Return what is nearly full and what to do, keyed by the name of the resource."""
        found = {}
        if self.memory_limit and self.memory > NEARLY_FULL * self.memory_limit:
            found["memory"] = "the container's memory is nearly full: raise MEMORY"
        if self.machine_memory > NEARLY_FULL:
            found["machine"] = "the machine's memory is nearly full: lower TASKS_PER_MACHINE"
        if self.disk_free < (1 - NEARLY_FULL) * self.disk:
            found["disk"] = "the disk is nearly full: raise EBS_VOL_SIZE"
        if self.load > HIGH_LOAD:
            found["load"] = "more processes than cores are ready to run: raise CPUS_PER_JOB"
        return found


@contextlib.contextmanager
def monitored(
    folder: Path, report: Callable[[str], None], cgroup: Cgroup, seconds: float = 30
) -> Iterator[None]:
    """Measure the container, the machine and the disk of `folder` every `seconds` in a thread."""
    ended = threading.Event()

    def monitor() -> None:
        before: dict[str, str] = {}
        psutil.cpu_percent()  # each result covers the time since the previous call
        at, spent = time.monotonic(), cgroup.cpu_seconds()
        while not ended.wait(seconds):
            try:
                now, total = time.monotonic(), cgroup.cpu_seconds()
                sample = _measure(folder, cgroup, (total - spent) / (now - at))
                at, spent = now, total
                report(sample.line())
                warnings = sample.warnings()
                for name, text in warnings.items():
                    report(f"warning: {text}")
                    if name not in before:
                        logger.warning("%s (%s)", text, sample.line())
                before = warnings
            except Exception as error:  # jobs do not depend on this
                logger.warning("cannot measure the machine: %s", error)

    # The thread's name is the name of its log stream.
    thread = threading.Thread(target=monitor, name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)


def _measure(folder: Path, cgroup: Cgroup, cores: float) -> Sample:
    disk = psutil.disk_usage(str(folder))
    return Sample(
        memory=cgroup.memory_used(),
        memory_limit=cgroup.memory_limit(),
        cores=cores,
        disk_free=disk.free,
        disk=disk.total,
        machine_memory=psutil.virtual_memory().percent / 100,
        machine_cpu=psutil.cpu_percent() / 100,
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
    )


class Pressure:
    """Shortages of memory and disk space during one attempt; `slots` jobs share the container."""

    def __init__(self, folder: Path, cgroup: Cgroup, slots: int) -> None:
        self._folder = folder
        self._cgroup = cgroup
        self._slots = slots
        self._kills = cgroup.out_of_memory_kills()
        self._full = False

    def sample(self) -> None:
        """Record whether the disk is full now; cheap, and called throughout the attempt."""
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._folder)
            self._full = self._full or disk.f_bavail * disk.f_frsize < FULL_BYTES

    def spoiled(self) -> bool:
        """Return whether the kernel certainly killed a process of this attempt, even if its command
        exited with 0. With several slots, the process may belong to another job."""
        return self._slots == 1 and self._killed()

    def explain(self, reason: str, exit_code: int | None) -> str:
        """Return the reason of a failed attempt, including memory or disk if they caused it."""
        limit = self._cgroup.memory_limit()
        return explain(reason, exit_code, self._killed(), self._full, limit, self._slots)

    def _killed(self) -> bool:
        return self._cgroup.out_of_memory_kills() > self._kills


def explain(
    reason: str, exit_code: int | None, killed: bool, full: bool, limit: int | None, slots: int
) -> str:
    """Return the reason of a failed attempt, including memory or disk if they caused it.

    Args:
        killed: whether the kernel killed a process of this container because of its memory.
        full: whether the disk was full at some time.
        limit: the container's memory limit, in bytes.
    """
    if killed:
        at = f" at {megabytes(limit)}" if limit else ""
        memory = f"out of memory{at}; MEMORY is for the whole container, {slots} slot"
        memory += "s" * (slots != 1)
        if exit_code in _SIGKILLED:
            reason = f"killed: {memory}"
        else:
            # The process may belong to another slot.
            reason += f"; a process of this container was killed: {memory}"
    if full or any(text in reason for text in _FULL_TEXTS):
        reason += "; the disk is full: EBS_VOL_SIZE is for all containers of a machine"
    return reason


def megabytes(count: int) -> str:
    """Format a number of bytes in the unit of MEMORY (ECS and Docker: 1 MB is 1,048,576 bytes)."""
    return f"{count >> 20:,} MB"
