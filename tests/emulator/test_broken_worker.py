"""Workers that cannot do jobs: they spend no attempts, report why, and end."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.emulator.world import PATIENCE, World

NAME = """bash -c 'echo "$name" > "$output_dir/out.txt"'"""


@pytest.fixture
def immutable(tmp_path: Path) -> object:
    """Skip where the file system has no immutable files; make all files mutable at the end."""
    probe = tmp_path / "probe"
    probe.touch()
    if subprocess.run(["chattr", "+i", probe], capture_output=True, check=False).returncode:
        pytest.skip("chattr +i does not work here: run this test as root on ext4, xfs or btrfs")
    yield
    subprocess.run(["chattr", "-R", "-i", tmp_path], capture_output=True, check=True)


@pytest.mark.usefixtures("immutable")
def test_a_file_that_cannot_be_removed_is_in_nobodys_way(world: World) -> None:
    world.implement(
        """bash -c 'echo "$name" > "$output_dir/out.txt"; [ "$name" != g0 ] || """
        """chattr +i "$output_dir/out.txt"'"""
    )
    world.set(DOCKER_CORES=2)
    world.send([{"name": f"g{i}"} for i in range(20)])
    world.work()
    assert world.dead() == []
    assert len(world.outputs()) == 20
    assert Counter(record["outcome"] for record in world.records()) == {"done": 20}


def test_a_worker_without_its_folder_spends_no_attempt_and_ends(world: World) -> None:
    world.implement(NAME)
    world.set(JOB_RETRIES=1, DOCKER_CORES=2)
    worker = world.start_worker(TEST_STDERR="1")
    world.wait_until(lambda: list((world.folder / "scratch").iterdir()))
    shutil.rmtree(next((world.folder / "scratch").iterdir()))
    world.send([{"name": f"g{i}"} for i in range(10)])
    _, stderr = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 3
    assert "worker: cannot work: it could not start " in stderr
    world.work()
    assert world.dead() == []
    assert len(world.outputs()) == 10
    outcomes = Counter(record["outcome"] for record in world.records())
    assert outcomes.pop("not_started") >= 6
    assert outcomes == {"done": 10}


def test_a_job_that_kills_every_worker_is_dead_with_that_reason(world: World) -> None:
    world.implement("""bash -c '[ "$name" = good ] || kill -9 $PPID; echo x > "$output_dir/x"'""")
    world.set(JOB_RETRIES=2, visibility_seconds=2)
    bad, _ = world.send([{"name": "bad"}, {"name": "good"}])
    for _ in range(3):
        assert world.start_worker().wait(PATIENCE) == -9
    world.work()
    (dead,) = world.dead()
    assert dead["job_id"] == bad.job_id
    assert dead["reason"].startswith("its worker ended without a word in 2 attempts")
    assert list(world.outputs()) == ["out/good/x"]
    assert "dead" in {record["outcome"] for record in world.records()}
