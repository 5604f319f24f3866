"""Submissions: `submitJob` against bare clients, and the memory and time of many groups from CSV.

`make bench`, or `.venv/bin/python benchmarks/submit.py [GROUPS] [MANY]`. GROUPS (10,000) go to the
tests' emulator with 15 ms added to every request; MANY (200,000), and a quarter of them, to a
server that only counts.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "{{cookiecutter.project_slug}}"), str(ROOT)]

from ds.jobs.message import Job  # noqa: E402
from tests.emulator.account import make_account, make_roles  # noqa: E402
from tests.emulator.aws import client  # noqa: E402
from tests.implementation import make_implementation, run, write_jobs  # noqa: E402

LATENCY_MS = 15
SINGLE = 500
"""The number of messages sent one by one; all of them would take minutes."""

ROUNDS = 3

JOBS = "files/exampleJob.json"

BARE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor

import boto3

sqs = boto3.client("sqs")
url = sqs.get_queue_url(QueueName="Test")["QueueUrl"]
bodies = json.load(sys.stdin)

def batch(first):
    entries = [
        {"Id": str(number), "MessageBody": body}
        for number, body in enumerate(bodies[first : first + 10])
    ]
    assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")

began = time.perf_counter()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(batch, range(0, len(bodies), 10)))
print(time.perf_counter() - began)
"""
"""The bare client: a separate process, like the command."""


def seconds(do: Callable[[], object]) -> float:
    """Measure a call."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def against_bare_clients(count: int) -> None:
    """Compare single messages, batches of a bare client, and the command, on one emulator."""
    with client.running() as control, tempfile.TemporaryDirectory() as folder:
        account = make_account(control, Path(folder))
        make_roles(account)
        account.ok("setup")
        groups = [{"name": f"n{number}"} for number in range(count)]
        write_jobs(account.root, groups)
        bodies = [Job({}, group).body() for group in groups]
        sqs = control.client("sqs")
        url = sqs.get_queue_url(QueueName="Test")["QueueUrl"]
        control.latency(LATENCY_MS)

        def singly() -> None:
            for body in bodies[:SINGLE]:
                sqs.send_message(QueueUrl=url, MessageBody=body)

        bare_said: list[float] = []

        def bare() -> None:
            ran = subprocess.run(
                [sys.executable, "-c", BARE],
                env=env,
                input=json.dumps(bodies),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            bare_said.append(float(ran.stdout))

        said: list[float] = []

        def note(text: str) -> None:
            said.append(float(text.rpartition(" in ")[2].split()[0]))

        def forked() -> None:
            note(account.ok("submitJob", JOBS, "--again"))

        def started(*more: str) -> str:
            ran = run(account.root, "submitJob", JOBS, *more, env=env)
            assert not ran.returncode, ran.stderr
            return ran.stdout

        def command() -> None:
            note(started("--again"))

        # As for a user who has run a command before: the engine is compiled.
        env = {**os.environ, **control.environment, "PYTHONDONTWRITEBYTECODE": ""}
        started("--dry-run")
        rounds = [
            (seconds(bare), seconds(forked), seconds(command), seconds(singly) * count / SINGLE)
            for _ in range(ROUNDS)
        ]
    bare_whole, fork, whole, one = map(min, zip(*rounds, strict=True))
    fastest = min(bare_said)
    print(f"{count:,} groups, {LATENCY_MS} ms added to every request; the best of {ROUNDS} rounds")
    print(f"one message a call (from {SINGLE}): {one:.1f} s")
    print(f"bare client, batches of ten, 8 threads: {fastest:.2f} s (its process {bare_whole:.2f})")
    for what, took in (
        ("from its first to its last message", min(said)),
        ("without the start of Python and its packages", fork),
        ("the whole process", whole),
    ):
        print(
            f"submitJob, {what}: {took:.2f} s, {took / fastest:.2f} times the bare client, "
            f"{one / took:.0f} times faster than one message a call"
        )
    print(f"the whole process: {whole / bare_whole:.2f} times the bare client's")


class _Counts(BaseHTTPRequestHandler):
    """The part of SQS and STS that submitJob uses; counts messages and discards them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    taken = 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        answer: dict[str, Any] = {}
        if operation == "SendMessageBatch":
            count = body.count(b'"MessageBody"')
            answer = {
                "Successful": [
                    {"Id": str(number), "MessageId": "m", "MD5OfMessageBody": "0"}
                    for number in range(count)
                ]
            }
            with self.lock:
                _Counts.taken += count
        elif operation == "GetQueueUrl":
            answer = {"QueueUrl": f"http://{self.headers['Host']}/1/Test"}
        elif operation == "GetQueueAttributes":
            answer = {"Attributes": {"CreatedTimestamp": str(time.time())}}
        elif operation == "ListQueueTags":
            answer = {"Tags": {"ds:app": "Test"}}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def counting() -> Iterator[str]:
    """Run the server that counts, and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Counts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def many(count: int) -> tuple[float, float]:
    """Send groups of a CSV file to the server that counts.

    Returns:
        Seconds, and the peak memory in MB, of the whole `python run.py submitJob`.
    """
    with tempfile.TemporaryDirectory() as folder, counting() as url:
        root = make_implementation(Path(folder), groups={"csv": "jobs.csv"})
        with (root / "files/jobs.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name"])
            writer.writerows([f"n{number}"] for number in range(count))
        env = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        env |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        measured = (
            "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
        )
        words = [sys.executable, "-c", measured, sys.executable, "run.py", "submitJob", JOBS]
        before = _Counts.taken
        began = time.perf_counter()
        ran = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True, check=True)
        took = time.perf_counter() - began
        assert _Counts.taken - before == count, (_Counts.taken - before, count)
        return took, int(ran.stdout.split()[-1]) / 1024


def main(groups: int = 10_000, more: int = 200_000) -> None:
    """Run both benchmarks."""
    against_bare_clients(groups)
    for count in (more // 4, more):
        took, memory = many(count)
        print(
            f"{count:,} groups from CSV: {took:.0f} s, {took / count * 1e6:.0f} us a group, "
            f"peak {memory:.0f} MB"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
