"""What cgroups report, what is warned of, and how a failure is explained."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ds.worker.resources import Cgroup, Pressure, Sample, explain, monitored

GB = 10**9
LIMIT = 4000 << 20

ONE = {
    "memory/memory.limit_in_bytes": "4194304000\n",
    "memory/memory.usage_in_bytes": "1000\n",
    "memory/memory.stat": "cache 1\ninactive_file 1\ntotal_inactive_file 300\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpuacct/cpuacct.usage": "1500000000\n",
}
TWO = {
    "cgroup.controllers": "cpu memory\n",
    "memory.max": "4194304000\n",
    "memory.current": "1000\n",
    "memory.stat": "anon 1\ninactive_file 300\n",
    "memory.events": "low 0\noom 5\noom_kill 2\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
}


def write(folder: Path, files: dict[str, str]) -> Cgroup:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Cgroup(folder)


@pytest.mark.parametrize("files", [ONE, TWO])
def test_both_versions_of_cgroups_report_the_same(tmp_path: Path, files: dict[str, str]) -> None:
    cgroup = write(tmp_path, files)
    assert cgroup.memory_limit() == 4000 << 20
    assert cgroup.memory_used() == 700
    assert cgroup.cpu_seconds() == 1.5
    assert cgroup.out_of_memory_kills() == 2


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
        {"cgroup.controllers": "memory", "memory.max": "max\n"},
        {"cgroup.controllers": "memory"},
    ],
)
def test_without_a_limit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    cgroup = write(tmp_path, files)
    assert cgroup.memory_limit() is None
    assert cgroup.out_of_memory_kills() == 0
    assert cgroup.memory_used() == 0
    assert cgroup.cpu_seconds() == 0


SHARED = "MEMORY is for the whole container, 2 slots"
DISK = "the disk is full: EBS_VOL_SIZE is for all containers of a machine"


@pytest.mark.parametrize(
    ("reason", "exit_code", "killed", "full", "expected"),
    [
        ("exit code 3: bad", 3, False, False, "exit code 3: bad"),
        ("killed by SIGKILL", -9, False, False, "killed by SIGKILL"),
        ("killed by SIGKILL", -9, True, False, f"killed: out of memory at 4,000 MB; {SHARED}"),
        ("exit code 137: Killed", 137, True, False, f"killed: out of memory at 4,000 MB; {SHARED}"),
        (
            "exit code 1: child died",
            1,
            True,
            False,
            "exit code 1: child died; a process of this container was killed: "
            f"out of memory at 4,000 MB; {SHARED}",
        ),
        ("1 of 2 files", 0, False, True, f"1 of 2 files; {DISK}"),
        (
            "exit code 1: tar: No space left on device",
            1,
            False,
            False,
            f"exit code 1: tar: No space left on device; {DISK}",
        ),
        ("took longer", None, False, True, f"took longer; {DISK}"),
    ],
)
def test_a_failure_is_explained_by_memory_and_disk(
    reason: str, exit_code: int | None, killed: bool, full: bool, expected: str
) -> None:
    assert explain(reason, exit_code, killed, full, LIMIT, 2) == expected


def test_one_slot_is_singular_and_no_limit_is_not_mentioned() -> None:
    reason = explain("killed by SIGKILL", -9, True, False, None, 1)
    assert reason == "killed: out of memory; MEMORY is for the whole container, 1 slot"


@pytest.mark.parametrize(("slots", "spoiled"), [(1, True), (2, False)])
def test_a_killed_process_spoils_the_only_job_of_a_container(
    tmp_path: Path, slots: int, spoiled: bool
) -> None:
    pressure = Pressure(tmp_path, write(tmp_path, TWO), slots)
    assert not pressure.spoiled()
    (tmp_path / "memory.events").write_text("oom_kill 3\n")
    assert pressure.spoiled() == spoiled
    assert "out of memory at 4,000 MB" in pressure.explain("exit code 0", 0)


SAMPLE = Sample(
    memory=1200 << 20,
    memory_limit=LIMIT,
    cores=1.94,
    disk_free=12 * GB,
    disk=40 * GB,
    machine_memory=0.61,
    machine_cpu=0.35,
    load=1.2,
)


def test_a_sample_is_one_line() -> None:
    assert SAMPLE.line() == (
        "container: 1,200 MB of 4,000 MB memory, 1.9 cores busy, 12.0 of 40.0 GB disk free; "
        "machine: 61% memory, 35% CPU, load 1.2 per core"
    )
    assert "1,200 MB memory" in replace(SAMPLE, memory_limit=None).line()


@pytest.mark.parametrize(
    ("sample", "warned"),
    [
        (SAMPLE, []),
        (replace(SAMPLE, memory=3600 << 20), []),
        (replace(SAMPLE, memory=3601 << 20), ["memory"]),
        (replace(SAMPLE, memory=3601 << 20, memory_limit=None), []),
        (replace(SAMPLE, disk_free=4 * GB), []),
        (replace(SAMPLE, disk_free=3 * GB), ["disk"]),
        (replace(SAMPLE, machine_memory=0.91), ["machine"]),
        (replace(SAMPLE, load=2.1), ["load"]),
    ],
)
def test_warnings_come_at_their_thresholds(sample: Sample, warned: list[str]) -> None:
    assert list(sample.warnings()) == warned


def test_the_monitor_measures_again_and_again_and_ends(tmp_path: Path) -> None:
    lines: list[str] = []
    measured = threading.Event()

    def report(text: str) -> None:
        lines.append(text)
        if len(lines) >= 2:
            measured.set()

    with monitored(tmp_path, report, write(tmp_path, TWO), seconds=0.01):
        assert measured.wait(30)
    assert lines[0].startswith("container: 0 MB of 4,000 MB memory, 0.0 cores busy, ")
