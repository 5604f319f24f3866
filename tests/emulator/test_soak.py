"""Workers that are killed, stopped and told to end at random, with faults on every call to AWS.

`make test` runs a seeded sample; `make soak` (DS_SOAK jobs) runs everything.
"""

import http.client
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ds.control.local.emulator import Emulator
from ds.jobs.message import Job
from tests.emulator.world import World

JOBS = int(os.environ.get("DS_SOAK", "80"))
SEED = int(os.environ.get("DS_SOAK_SEED", "20261127"))
FAULTS = ("500", "503", "reset", "lost", "slow", "cut")
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


class FaultyProxy(ThreadingHTTPServer):
    """Forwards requests to the emulator; some of them go wrong."""

    daemon_threads = True

    def __init__(self, upstream: str, chance: random.Random) -> None:
        super().__init__(("127.0.0.1", 0), Forward)
        self.upstream = urlsplit(upstream).netloc
        self._chance = chance
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(FAULTS, 0)

    def fault(self) -> str:
        """Draw what happens to a request; mostly nothing."""
        with self._lock:
            if self._chance.random() >= FAULT_RATE:
                return ""
            kind = self._chance.choice(FAULTS)
            self.counts[kind] += 1
            return kind

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed here: their connections break."""


class Forward(BaseHTTPRequestHandler):
    """One request through the proxy."""

    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def forward(self) -> None:
        body = self._body()
        fault = self.server.fault()
        if fault in ("500", "503"):
            return self._respond(int(fault), {}, b"")
        if fault == "reset":
            return self._hang_up()
        if fault == "slow":
            time.sleep(1)
        connection = http.client.HTTPConnection(self.server.upstream)
        headers = {
            name: text
            for name, text in self.headers.items()
            if name.lower() not in ("expect", "transfer-encoding")
        }
        connection.request(self.command, self.path, body, {**headers, "Content-Length": len(body)})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "lost":
            return self._hang_up()
        named = {
            name: text
            for name, text in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "server", "date")
        }
        return self._respond(answer.status, named, content, cut=fault == "cut")

    def _respond(
        self, status: int, headers: dict[str, str], content: bytes, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def faulty(upstream: str, chance: random.Random) -> Iterator[FaultyProxy]:
    with FaultyProxy(upstream, chance) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def soaked(emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    with World(emulator.url, tmp_path, "soak") as world:
        yield world


def harm(worker: subprocess.Popen[str], chance: random.Random) -> None:
    """Kill a worker, tell it to end, or stop it for longer than the visibility timeout."""
    kind = chance.choice(("kill", "term", "stop"))
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
    with faulty(world.url, chance) as proxy:
        world.url = f"http://127.0.0.1:{proxy.server_port}"
        workers = [world.start_worker() for _ in range(WORKERS)]
        end = time.monotonic() + (3600 if JOBS > 1000 else 300)
        while not world.empty():
            assert time.monotonic() < end, f"{world.counts()} jobs are left; {proxy.counts}"
            time.sleep(chance.uniform(0, 3))
            place = chance.randrange(WORKERS)
            harm(workers[place], chance)
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
