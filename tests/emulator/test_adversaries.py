"""Programs that try to break a worker: tests/adversaries/.

The comment at the head of each says what it does, and what must hold: `# outcome:`, `# outputs:`
(without blanks), and any number of `# reason:` and `# log:` (each a part of it).
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

from tests.emulator.world import World

ADVERSARIES = sorted(Path(__file__).parents[1].glob("adversaries/*.sh"))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are tracked on Linux only")
def test_every_adversary_gets_what_it_must(world: World) -> None:
    variables = {"script": "text", "n": "text"}
    world.implement("bash {script}", variables=variables, output_prefix="{job_id}")
    world.set(DOCKER_CORES=4, JOB_RETRIES=1, JOB_TIMEOUT_MINUTES=1)
    # Twice, so that each comes after others in its slot.
    programs = [(path, n) for n in (1, 2) for path in ADVERSARIES]
    jobs = world.send({"script": str(path), "n": n} for path, n in programs)
    state = subprocess.check_output(["bash", "-c", 'echo "$(umask)$(ulimit -n)"'], text=True)
    world.set(idle_writer_seconds=1)
    worker = world.start_worker(PYTHON=sys.executable, IMAGE_STATE=state.strip())
    world.wait_until(world.empty)
    world.wait_until(lambda: len(world.records()) == len(jobs))
    left = [p.pid for p in psutil.process_iter() if "ds-adversary" in _command(p)]
    worker.terminate()
    worker.wait()
    records = {record["job_id"]: record for record in world.records()}
    wrong = []
    for job, (path, _) in zip(jobs, programs, strict=True):
        record, expected = records[job.job_id], _expectations(path)
        log_key = f"logs/Test/run1/{job.job_id}/1.log"
        log = world.get(log_key).decode() if world.keys(log_key) else ""
        outcome = record["outcome"].replace("dead", "failed")  # there is one attempt
        outputs = sorted(key.removeprefix(f"{job.job_id}/") for key in world.keys(job.job_id))
        found = [
            ("outcome", outcome, [outcome]),
            ("outputs", outputs, [" ".join(outputs)] if outputs else []),
        ]
        for name, text in (("reason", record["reason"]), ("log", log)):
            found.append((name, text, [part for part in expected[name] if part in text]))
        wrong += [(path.name, name, text) for name, text, got in found if got != expected[name]]
    assert wrong == []
    assert left == []
    assert not list((world.folder / "scratch").iterdir())


def _expectations(path: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, text in re.findall(r"^# (outcome|outputs|reason|log): (.+)$", path.read_text(), re.M):
        found[name].append(" ".join(sorted(text.split())) if name == "outputs" else text)
    return found


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
