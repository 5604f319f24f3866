"""What is read of cgroups and metadata, and what a failure is called."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ds.worker.process import run
from ds.worker.resources import (
    Cgroup,
    HostIdentity,
    Pressure,
    ResourceMonitor,
    Sample,
    explain,
    host_identity,
)

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
def test_both_versions_of_cgroups_say_the_same(tmp_path: Path, files: dict[str, str]) -> None:
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
def test_what_has_no_limit_has_none(tmp_path: Path, files: dict[str, str]) -> None:
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
def test_a_failure_is_told_in_terms_of_memory_and_disk(
    reason: str, exit_code: int | None, killed: bool, full: bool, expected: str
) -> None:
    assert explain(reason, exit_code, killed, full, LIMIT, 2) == expected


def test_one_slot_is_one_and_no_limit_is_not_told() -> None:
    told = explain("killed by SIGKILL", -9, True, False, None, 1)
    assert told == "killed: out of memory; MEMORY is for the whole container, 1 slot"


@pytest.mark.parametrize(("slots", "spoiled"), [(1, True), (2, False)])
def test_a_killed_process_spoils_the_only_job_of_a_container(
    tmp_path: Path, slots: int, spoiled: bool
) -> None:
    pressure = Pressure(tmp_path, write(tmp_path, TWO), slots)
    assert not pressure.spoiled()
    (tmp_path / "memory.events").write_text("oom_kill 3\n")
    assert pressure.spoiled() == spoiled
    assert "out of memory at 4,000 MB" in pressure.explain("exit code 0", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's way to choose")
def test_what_a_command_starts_is_killed_before_the_worker(tmp_path: Path) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    said: list[bytes] = []
    command = ["sh", "-c", "cat /proc/self/oom_score_adj"]
    run(
        command,
        folder=str(tmp_path),
        environment=dict(os.environ),
        mark="m",
        results=str(tmp_path),
        output=said.append,
        check_stop=_open,
    )
    assert b"".join(said) == b"1000\n"
    assert Path("/proc/self/oom_score_adj").read_text() == own


def _open() -> None:
    """A gate that stops nothing."""


LOOK = Sample(
    memory=1200 << 20,
    memory_limit=LIMIT,
    cores=1.94,
    disk_free=12 * GB,
    disk=40 * GB,
    machine_memory=0.61,
    machine_cpu=0.35,
    load=1.2,
)


def test_a_look_is_one_line() -> None:
    assert LOOK.line() == (
        "container: 1,200 MB of 4,000 MB memory, 1.9 cores busy, 12.0 of 40.0 GB disk free; "
        "machine: 61% memory, 35% CPU, load 1.2 per core"
    )
    assert "1,200 MB memory" in replace(LOOK, memory_limit=None).line()


@pytest.mark.parametrize(
    ("sample", "warned"),
    [
        (LOOK, []),
        (replace(LOOK, memory=3600 << 20), []),
        (replace(LOOK, memory=3601 << 20), ["memory"]),
        (replace(LOOK, memory=3601 << 20, memory_limit=None), []),
        (replace(LOOK, disk_free=4 * GB), []),
        (replace(LOOK, disk_free=3 * GB), ["disk"]),
        (replace(LOOK, machine_memory=0.91), ["machine"]),
        (replace(LOOK, load=2.1), ["load"]),
    ],
)
def test_warnings_come_at_their_thresholds(sample: Sample, warned: list[str]) -> None:
    assert list(sample.warnings()) == warned


def test_the_watch_looks_again_and_again_and_ends(tmp_path: Path) -> None:
    said: list[str] = []
    looked = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if len(said) >= 2:
            looked.set()

    with ResourceMonitor(tmp_path, say, write(tmp_path, TWO), seconds=0.01):
        assert looked.wait(30)
    assert said[0].startswith("container: 0 MB of 4,000 MB memory, 0.0 cores busy, ")


class Metadata(http.server.BaseHTTPRequestHandler):
    """ECS's task metadata, and IMDSv2, which answers only with the token that it gave."""

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token"
        self._answer(
            "secret" if known and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else ""
        )

    def do_GET(self) -> None:
        answers = {"/latest/meta-data/instance-id": "i-0abc", "/v4/id/task": json.dumps(TASK)}
        answers["/latest/meta-data/instance-type"] = "m5.large"
        allowed = (
            self.path.startswith("/v4") or self.headers["X-aws-ec2-metadata-token"] == "secret"
        )
        self._answer(answers.get(self.path, "") if allowed else "")

    def _answer(self, text: str) -> None:
        self.send_response(200 if text else 401)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


TASK = {"TaskARN": "arn:aws:ecs:us-east-1:1:task/cluster/0123456789abcdef"}


@pytest.fixture
def metadata() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_machine_and_task_are_asked_for(metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    environment = {
        "ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/v4/id",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata,
    }
    assert host_identity(environment) == HostIdentity("i-0abc", "m5.large", "0123456789abcdef")


def test_what_is_disabled_is_not_asked(metadata: str) -> None:
    environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata}
    assert host_identity(environment) == HostIdentity("i-0abc", "m5.large")
    assert host_identity({**environment, "AWS_EC2_METADATA_DISABLED": "true"}) == HostIdentity()


@pytest.mark.parametrize(
    "environment",
    [
        {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
            "ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:1/v4",
        },
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "file:///etc"},
    ],
)
def test_without_either_all_is_fine(environment: dict[str, str]) -> None:
    assert host_identity(environment) == HostIdentity()
