"""Workers that are killed, suspended or terminated: no job is lost, duplicated or wrong."""

import http.client
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from tests.emulator.world import PATIENCE, World

SLOW = (
    """bash -c 'echo "$job_id" >> "$starts"; sleep "$seconds"; """
    """echo "$name" > "$output_dir/out.txt"'"""
)
VARIABLES = {"name": "text", "seconds": "text", "starts": "text"}


def implement_slow(world: World, seconds: float) -> dict[str, object]:
    """Implement jobs that note each of their starts; return their shared variables."""
    world.implement(SLOW, variables=VARIABLES)
    return {"seconds": seconds, "starts": str(world.folder / "starts")}


def starts(world: World) -> list[str]:
    path = world.folder / "starts"
    return path.read_text().split() if path.exists() else []


def test_all_jobs_of_killed_workers_are_done_by_others(world: World) -> None:
    shared = implement_slow(world, 0.3)
    world.set(DOCKER_CORES=4, visibility_seconds=5)
    names = [f"g{i}" for i in range(50)]
    world.send([{"name": name} for name in names], **shared)
    workers = [world.start_worker() for _ in range(2)]
    for round_ in range(2):
        world.wait_until(lambda done=10 * (round_ + 1): len(world.outputs()) >= done)
        for worker in workers:
            worker.kill()
        workers = [world.start_worker() for _ in range(2)]
    world.wait_until(world.empty)
    for worker in workers:
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    assert world.outputs() == {f"out/{name}/out.txt": f"{name}\n".encode() for name in names}
    assert world.dead() == []
    assert len(starts(world)) > 50  # some were in a killed worker's hands


def test_sigterm_makes_the_message_visible_at_once_and_leaves_no_process(world: World) -> None:
    shared = implement_slow(world, 600)
    world.send([{"name": "a"}], **shared)
    worker = world.start_worker()
    world.wait_until(lambda: starts(world))
    assert world.counts() == (0, 1)
    worker.terminate()
    assert worker.wait(10) == 0
    assert world.counts() == (1, 0)
    assert world.left_running() == []
    (record,) = world.records()
    assert record["outcome"] == "interrupted"


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_worker_that_is_told_to_end_at_any_moment_ends(world: World, count: int) -> None:
    """Some are suspended before: the signal and an answer of SQS then come at the same time."""
    shared = implement_slow(world, 600)
    world.set(DOCKER_CORES=2)
    world.send([{"name": f"g{i}"} for i in range(6)], **shared)
    chance = random.Random(count)
    for _ in range(count // 2):
        workers = [world.start_worker() for _ in range(2)]
        for worker in workers:
            time.sleep(chance.uniform(0, 2.5))
            if suspended := chance.random() < 0.3:
                worker.send_signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0, 0.5))
            worker.terminate()
            if suspended:
                worker.send_signal(signal.SIGCONT)
        for worker in workers:
            assert worker.wait(PATIENCE) in (0, -signal.SIGTERM)  # the latter: not Python yet
    assert world.counts() == (6, 0)
    assert world.left_running() == []
    assert list((world.folder / "scratch").iterdir()) == []
    assert {record["outcome"] for record in world.records()} <= {"interrupted"}


def test_interruption_alone_never_makes_a_job_dead(world: World) -> None:
    world.implement(
        """bash -c 'echo "$job_id" >> "$starts"; until [ -e "$starts-suffice" ]; do sleep 0.1; """
        """done; echo "$name" > "$output_dir/out.txt"'""",
        variables={"name": "text", "starts": "text"},
    )
    world.set(JOB_RETRIES=3)
    world.send([{"name": "a"}], starts=str(world.folder / "starts"))
    for attempt in range(5):
        worker = world.start_worker()
        world.wait_until(lambda attempt=attempt: len(starts(world)) > attempt)
        worker.terminate()
        assert worker.wait(20) == 0
    (world.folder / "starts-suffice").touch()
    world.work()
    assert world.outputs() == {"out/a/out.txt": b"a\n"}
    assert world.dead() == []
    assert Counter(record["outcome"] for record in world.records()) == {"interrupted": 5, "done": 1}


@pytest.mark.parametrize(
    ("visibility", "stopped"), [(4, 7), pytest.param(60, 90, marks=pytest.mark.slow)]
)
def test_a_worker_stopped_for_longer_than_the_visibility_uploads_nothing(
    world: World, visibility: int, stopped: int
) -> None:
    """SIGSTOP, SIGCONT: the job ended meanwhile, but another worker may have it by now."""
    shared = implement_slow(world, 1)
    world.set(visibility_seconds=visibility)
    world.send([{"name": "a"}], **shared)
    worker = world.start_worker()
    world.wait_until(lambda: starts(world))
    worker.send_signal(signal.SIGSTOP)
    time.sleep(stopped)  # what is tested is this very time
    # No worker may receive the job again before the end of the first attempt is seen.
    (message,) = world.sqs.receive_message(QueueUrl=world.settings.queue_url)["Messages"]
    worker.send_signal(signal.SIGCONT)
    world.wait_until(lambda: idle(world))
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert world.keys() == []
    (record,) = world.records()
    assert record["outcome"] == "lost"
    world.sqs.change_message_visibility(
        QueueUrl=world.settings.queue_url,
        ReceiptHandle=message["ReceiptHandle"],
        VisibilityTimeout=0,
    )
    world.work()
    assert world.outputs() == {"out/a/out.txt": b"a\n"}


def idle(world: World) -> bool:
    """Whether no attempt is running: each has a folder until its end."""
    return not list((world.folder / "scratch").glob("*/slot-0"))


@pytest.mark.slow
def test_a_job_longer_than_the_visibility_is_started_once(world: World) -> None:
    shared = implement_slow(world, 60)
    world.set(visibility_seconds=5)
    world.send([{"name": "a"}], **shared)
    world.work(count=2)
    assert len(starts(world)) == 1
    assert len(world.outputs()) == 1


def test_a_job_that_forks_and_hangs_is_dead_after_its_timeout_and_leaves_no_process(
    world: World,
) -> None:
    world.implement(
        "bash -c 'sleep 1000 & (setsid sleep 1001 &) ; setsid bash -c \"trap : TERM; sleep 1002; "
        "sleep 1003\" & trap : TERM; echo started; while :; do sleep 1; done'"
    )
    world.set(JOB_RETRIES=1, JOB_TIMEOUT_MINUTES=0.05)
    world.send([{"name": "a"}])
    worker = world.start_worker(TEST_BUCKET=world.settings.AWS_BUCKET)
    world.wait_until(world.empty)
    assert world.left_running() == []
    assert psutil.Process(worker.pid).children(recursive=True) == []
    (dead,) = world.dead()
    assert "JOB_TIMEOUT_MINUTES" in dead["reason"]


def test_a_shared_folder_is_fetched_once_for_fifty_jobs(world: World) -> None:
    world.implement(
        'bash -c \'cat "$folder"/* > "$output_dir/out.txt"\'',
        variables={"name": "text", "folder": "folder"},
    )
    world.set(DOCKER_CORES=4)
    for i in range(5):
        world.put(f"in/ref/{i}.txt", f"{i}".encode())
    world.send([{"name": f"g{i}"} for i in range(50)], folder="in/ref")
    with counting_proxy(world.url) as (url, requests):
        world.url = url
        world.work()
    assert set(world.outputs().values()) == {b"01234"}
    assert len(world.outputs()) == 50
    gets = {path: n for (method, path), n in requests.items() if method == "GET" and "/in/" in path}
    assert gets == {f"/{world.settings.AWS_BUCKET}/in/ref/{i}.txt": 1 for i in range(5)}


@contextmanager
def counting_proxy(upstream: str) -> Iterator[tuple[str, Counter[tuple[str, str]]]]:
    """Run an HTTP server that forwards every request and counts its method and path."""
    requests: Counter[tuple[str, str]] = Counter()
    host = urlsplit(upstream).netloc

    class Pass(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            requests[self.command, unquote(urlsplit(self.path).path)] += 1
            body = self._body()
            connection = http.client.HTTPConnection(host)
            headers = {k: v for k, v in self.headers.items() if not re.match("(?i)expect$", k)}
            headers.pop("Transfer-Encoding", None)
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                    self.send_header(name, value)
            if not answer.getheader("Content-Length"):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            connection.close()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # Passed on with its length; the AWS chunks inside are the body's own.
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
