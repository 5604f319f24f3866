"""How containers end: signals, memory, disk, and workers that cannot start."""

from __future__ import annotations

import signal
import time
import urllib.request
from pathlib import Path

import boto3

from ds.control.local.emulator import Emulator
from tests.container.bases import docker
from tests.container.machine import Containers

SITE = "/opt/ds/python/lib/python3.13/site-packages"


def test_docker_stop_ends_a_running_job_within_ten_seconds(
    image: str, containers: Containers
) -> None:
    # It ignores SIGTERM, so it uses all of its time until it is killed.
    containers.implement("""sh -c 'trap "" TERM; sleep 1000 & sleep 1000; wait'""")
    containers.set(poll_seconds=5)
    containers.send([{"name": "a"}])
    name = containers.start(image)
    containers.wait_until(lambda: containers.counts() == (0, 1) and _runs(name, "sleep"))
    began = time.monotonic()
    docker("stop", name)  # it kills after ten seconds
    seconds = time.monotonic() - began
    print(f"docker stop took {seconds:.1f} s")
    assert containers.state(name)["ExitCode"] == 0
    assert containers.counts() == (1, 0)
    assert [record["outcome"] for record in containers.records()] == ["interrupted"]


def test_docker_stop_works_before_the_first_job(image: str, containers: Containers) -> None:
    containers.implement("true", job_py="def on_start():\n    import time\n    time.sleep(60)\n")
    name = containers.start(image)
    pid = containers.state(name)["Pid"]
    # A signal in the first 0.1 s, before Python starts, is ignored.
    containers.wait_until(lambda: _catches(pid, signal.SIGTERM))
    docker("stop", name)
    assert containers.state(name)["ExitCode"] == 0


def test_a_job_without_enough_memory_fails_with_the_reason_and_others_continue(
    image: str, containers: Containers
) -> None:
    # tail keeps an endless line in memory.
    containers.implement(
        """bash -c 'if [ $name = big ]; then exec tail /dev/zero; else sleep 6; fi; """
        """echo > "$output_dir/o"'""",
        output_prefix="out/{name}",
    )
    containers.set(DOCKER_CORES=2, JOB_RETRIES=3)
    containers.send([{"name": "big"}, {"name": "small"}])
    name = containers.finish(image, "--memory=300m", "--memory-swap=300m")
    assert containers.state(name)["ExitCode"] == 0
    assert list(containers.outputs()) == ["out/small/o"]
    (dead,) = containers.dead()
    assert dead["reason"].startswith(
        "killed: out of memory at 300 MB; MEMORY is for the whole container, 2 slots"
    )
    assert dead["attempts"] == "3"
    records = containers.records()
    print([(record["group"], record["outcome"], record["reason"]) for record in records])
    big = [record["outcome"] for record in records if record["group"]["name"] == "big"]
    assert big == ["failed", "failed", "dead"]
    small = [record["outcome"] for record in records if record["group"]["name"] == "small"]
    assert small == ["done"]
    assert max(record["peak_memory_mb"] for record in records) > 100


def test_a_job_on_a_full_disk_fails_with_the_reason_and_others_continue(
    image: str, containers: Containers
) -> None:
    containers.implement(
        """bash -c 'if [ $name = big ]; then head -c 90000000 /dev/zero >"$output_dir/big"; """
        """else sleep 4; echo >"$output_dir/o"; fi'""",
        output_prefix="out/{name}",
    )
    containers.set(DOCKER_CORES=2, JOB_RETRIES=2, scratch="/scratch")
    containers.send([{"name": "big"}, {"name": "small"}])
    name = containers.finish(image, "--tmpfs=/scratch:size=30m,mode=1777")
    assert containers.state(name)["ExitCode"] == 0
    (dead,) = containers.dead()
    assert "the disk is full: EBS_VOL_SIZE is for all containers" in dead["reason"]
    assert dead["attempts"] == "2"
    outcomes = {record["group"]["name"]: record["outcome"] for record in containers.records()}
    assert outcomes["big"] == "dead"
    assert outcomes["small"] == "done"
    assert list(containers.outputs()) == ["out/small/o"]


def test_a_worker_runs_read_only_as_another_user_without_capabilities(
    image: str, containers: Containers
) -> None:
    containers.implement("""sh -c 'id -u > "$output_dir/o"'""", output_prefix="out/{name}")
    containers.send([{"name": "a"}])
    containers.finish(
        image,
        *("--read-only", "--tmpfs=/tmp", "--user=1234:5678"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
    )
    assert containers.outputs() == {"out/a/o": b"1234\n"}


def test_a_worker_without_a_place_for_files_reports_it(image: str, containers: Containers) -> None:
    containers.implement("true")
    containers.set(scratch="/nowhere")
    name = containers.start(image)
    assert containers.wait_for_end(name) == 2
    _reports_in_one_line(containers, name, "cannot create a folder for its files", "DS_SCRATCH")


def test_a_worker_without_its_queue_reports_it(image: str, containers: Containers) -> None:
    containers.implement("true")
    containers.set(queue_url=f"{containers.settings.queue_url}-gone")
    name = containers.start(image)
    assert containers.wait_for_end(name) == 2
    _reports_in_one_line(containers, name, "the queues cannot be used", "NonExistentQueue")


def test_a_worker_whose_job_py_needs_a_missing_module_reports_it(
    image: str, containers: Containers
) -> None:
    containers.implement("true", job_py="import numpy\n")
    name = containers.start(image)
    assert containers.wait_for_end(name) == 2
    _reports_in_one_line(containers, name, "job.py line", "No module named 'numpy'")


def test_a_worker_without_a_package_reports_it(
    image: str, containers: Containers, tmp_path: Path
) -> None:
    containers.implement("true")
    (tmp_path / "empty").mkdir()
    name = containers.start(image, f"--volume={tmp_path / 'empty'}:{SITE}/psutil:ro")
    assert containers.wait_for_end(name) == 2
    _reports_in_one_line(containers, name, "psutil", "make image")


def test_a_worker_without_rights_reports_it(
    image: str, containers: Containers, emulator: Emulator
) -> None:
    containers.implement("true")
    iam = boto3.client("iam", endpoint_url=emulator.url)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    _check_rights_after(emulator, 0)
    try:
        name = containers.start(
            image,
            f"--env=AWS_ACCESS_KEY_ID={key['AccessKeyId']}",
            f"--env=AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}",
        )
        assert containers.wait_for_end(name) == 2
    finally:
        _check_rights_after(emulator, 1_000_000_000)
    _reports_in_one_line(containers, name, "the queues cannot be used", "not authorized")


def test_a_worker_without_environment_reports_the_missing_variables(
    image: str, containers: Containers
) -> None:
    docker("run", "--detach", "--network=none", "--name", "ds-test-bare", image)
    try:
        assert containers.wait_for_end("ds-test-bare") == 2
        log = containers.log("ds-test-bare")
    finally:
        docker("rm", "-f", "ds-test-bare")
    assert "environment, SQS_QUEUE_URL: has no value" in log
    assert "Traceback" not in log


def _reports_in_one_line(containers: Containers, name: str, *parts: str) -> None:
    lines = containers.log(name).strip().splitlines()
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0]


def _catches(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def _runs(name: str, program: str) -> bool:
    return program in docker("top", name)


def _check_rights_after(emulator: Emulator, requests: int) -> None:
    """Let moto enforce IAM after this number of further requests."""
    asked = urllib.request.Request(
        f"{emulator.url}/moto-api/reset-auth",
        data=str(requests).encode(),
        headers={"Content-Type": "text/plain"},
    )
    urllib.request.urlopen(asked).close()
