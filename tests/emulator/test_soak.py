"""Workers that are killed, stopped and told to end at random, with faults on every call to AWS.

`make test` runs a seeded sample; `make soak` (DS_SOAK jobs) runs everything.
"""

import itertools
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds.control.local.emulator import Emulator
from ds.jobs.message import Job
from tests.emulator.proxy import FAULTS, Judge, proxy
from tests.emulator.world import World

JOBS = int(os.environ.get("DS_SOAK", "120"))
SEED = int(os.environ.get("DS_SOAK_SEED", "20261127"))
FAULT_RATE = 0.1
VISIBILITY_SECONDS = 4
SLOTS = 4
WORKERS = 2
FAILING = 10
"""Every tenth job fails for its own reason: it, and no other, must end as a dead job."""

COMMAND = (
    "bash -c '[ $((n % 10)) = 3 ] && exit 3; sleep 0.$((n % 7)); "
    'cat "$image" > "$output_dir/copy.txt"; echo "$n" > "$output_dir/n.txt"\''
)


def fault_of(chance: random.Random, counts: Counter[str]) -> Judge:
    """Return what draws a fault for one in ten requests, and counts it."""
    lock = threading.Lock()

    def judge(method: str, path: str) -> str:
        with lock:
            fault = chance.choice(FAULTS) if chance.random() < FAULT_RATE else ""
            counts[fault] += 1
        return fault

    return judge


@pytest.fixture
def soaked(emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    with World(emulator.url, tmp_path, "soak") as world:
        yield world


def harm(worker: subprocess.Popen[str], kind: str) -> None:
    """Kill a worker, tell it to end, or stop it for longer than the visibility timeout."""
    if kind == "kill":
        worker.kill()
        worker.wait()
    elif kind == "term":
        worker.terminate()
        worker.wait(120)
    else:
        worker.send_signal(signal.SIGSTOP)
        time.sleep(VISIBILITY_SECONDS + 1)
        worker.send_signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600 if JOBS > 1000 else 600)
def test_whatever_happens_to_workers_every_job_ends_as_it_must(soaked: World) -> None:
    world, chance = soaked, random.Random(SEED)
    world.implement(COMMAND, variables={"n": "text", "image": "file"}, output_prefix="out/{n}")
    world.set(DOCKER_CORES=SLOTS, visibility_seconds=VISIBILITY_SECONDS, EXPECTED_NUMBER_FILES=2)
    for number in range(20):
        world.put(f"in/{number}.txt", f"input {number}\n".encode() * 500)
    world.send([{"n": n, "image": f"in/{n % 20}.txt"} for n in range(JOBS)])
    faults: Counter[str] = Counter()
    with proxy(world.url, fault_of(chance, faults)) as world.url:
        workers = [world.start_worker() for _ in range(WORKERS)]
        kinds = itertools.cycle(("term", "kill", "stop"))
        end = time.monotonic() + (3600 if JOBS > 1000 else 300)
        while not world.empty():
            assert time.monotonic() < end, f"{world.counts()} jobs are left; {dict(faults)}"
            time.sleep(chance.uniform(0.5, 2))
            place = chance.randrange(WORKERS)
            harm(workers[place], next(kinds))
            if workers[place].poll() is not None:
                workers[place] = world.start_worker()
        for worker in workers:
            worker.terminate()
            worker.wait(120)
    failing = {n for n in range(JOBS) if n % FAILING == 3}
    good = set(range(JOBS)) - failing
    outputs = world.outputs()
    assert outputs == {
        key: content
        for n in good
        for key, content in (
            (f"out/{n}/copy.txt", f"input {n % 20}\n".encode() * 500),
            (f"out/{n}/n.txt", f"{n}\n".encode()),
        )
    }
    dead = world.dead()
    reasons = {
        reason for letter in dead if "exit code 3" not in (reason := letter.get("reason", ""))
    }
    assert reasons == set()
    assert {letter["body"] for letter in dead} == {
        body for n, body in enumerate(bodies(JOBS)) if n in failing
    }


def bodies(count: int) -> list[str]:
    """The messages of all jobs."""
    return [Job({}, {"n": n, "image": f"in/{n % 20}.txt"}).body() for n in range(count)]
