"""An emulated AWS on this machine: moto's server in its own process, for `local` and tests.

`python -m ds.control.local.emulator [FOLDER]` prints its port, listens on 127.0.0.1 only, and exits
when its standard input is closed, so it stops even if the process that started it is killed. Before
it exits, it stops every process that belongs to FOLDER, and removes the folder.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ds.cloud.errors import CommandError

REGION = "us-east-1"


@dataclass(frozen=True)
class Emulator:
    """A running emulator; `environment` makes it the only AWS that boto3 can reach."""

    url: str
    environment: Mapping[str, str]


@contextlib.contextmanager
def running(folder: Path | None = None, region: str = REGION) -> Iterator[Emulator]:
    """Start an emulator: the only AWS that this process can reach until the block ends.

    The caller must `sweep` the folder; the emulator does so only if this process is killed.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "ds.control.local.emulator", *([str(folder)] if folder else [])],
            cwd=Path(__file__).resolve().parents[3],
            env={name: text for name, text in os.environ.items() if not name.startswith("AWS_")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # Ctrl-C must reach only the control process, which stops the emulator.
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.isdigit():
                process.wait()
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["it reported no error"])[-1]
                raise CommandError(
                    f"The AWS emulator did not start: {last}; install requirements.txt again"
                )
            url = f"http://127.0.0.1:{port}"
            environment = _environment(url, region)
            with _environ(environment):
                yield Emulator(url, environment)
        finally:
            process.kill()
            process.communicate()


def belonging(folder: Path) -> list[psutil.Process]:
    """Find the processes whose environment or current folder refers to a folder.

    The programs of a killed worker have lost their parent, so it cannot be used to find them.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            places = [*process.environ().values(), process.cwd()]
            if any(_inside(place, str(folder)) for place in places):
                found.append(process)
    return found


def sweep(folder: Path, seconds: float = 5) -> None:
    """Stop all containers and processes that belong to a folder, then remove the folder.

    New processes may appear meanwhile, so this repeats for up to `seconds`.
    """
    _remove_containers(folder)
    end = time.monotonic() + seconds
    while processes := belonging(folder):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=1)
        if time.monotonic() > end:
            break
    # The cache of inputs is read-only.
    for parent, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main(words: list[str]) -> None:
    """Serve requests until standard input is closed."""
    # Moto writes large data to disk early (spooled temporary files).
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1024 * 1024))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.server import ThreadedMotoServer

    _cache_slow_lookups()
    _serialize_queue_changes()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    sys.stdout.write(f"{server.get_host_and_port()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    for folder in words:
        sweep(Path(folder))
    # The server's threads may still serve long polls, but nobody waits for the responses.
    os._exit(0)


def _cache_slow_lookups() -> None:
    """Prevent moto from repeating lookups that take far longer than its responses.

    At each request, moto searches its folder and classes. At each send and receive, it reads the
    time, slowly, for each message in the queue, to compare its age with the retention of days.
    """
    from moto import backends
    from moto.core import responses
    from moto.sqs import models

    moto: Any = backends
    modules = tuple(moto.list_of_moto_modules())
    moto.list_of_moto_modules = lambda: modules
    classes: Any = responses
    classes.method_names_from_class = functools.cache(classes.method_names_from_class)
    sqs: Any = models
    sqs.unix_time_millis = lambda: time.time() * 1000
    sqs.SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True


def _serialize_queue_changes() -> None:
    """Make moto change its queues one request at a time.

    Moto has no lock between finding a message and hiding it, nor while a deletion rewrites its list
    of messages. Two requests could receive the same message, and a deletion could restore or lose
    another message (seen with 1,000 jobs and two workers).
    """
    from moto.sqs.models import Message, SQSBackend

    lock = threading.RLock()

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return method(*args, **kwargs)

        return call

    for name in ("send_message", "delete_message", "change_message_visibility"):
        setattr(SQSBackend, name, locked(getattr(SQSBackend, name)))
    receive = locked(SQSBackend.receive_message)

    def receive_message(
        self: SQSBackend,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        end = time.monotonic() + (wait_seconds_timeout or 0)
        while True:
            # A long poll must not hold the lock.
            found: list[Message] = receive(
                self, queue_name, count, 0, visibility_timeout, message_attribute_names
            )
            if found or time.monotonic() >= end:
                return found
            self.get_queue(queue_name).wait_for_messages(1)

    SQSBackend.receive_message = receive_message  # type: ignore[method-assign]


def _environment(url: str, region: str) -> dict[str, str]:
    no_proxy = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get("NO_PROXY")]))
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


@contextlib.contextmanager
def _environ(environment: Mapping[str, str]) -> Iterator[None]:
    """Set these and no other AWS_* variables for this process and the processes it starts."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _inside(place: str, folder: str) -> bool:
    """Return whether a text refers to this folder, and not to another whose name is longer."""
    return f"{folder}/" in f"{place}/" or f"{folder}:" in place


def _remove_containers(folder: Path) -> None:
    """Remove the containers whose IDs are in a folder (`docker run --cidfile`)."""
    ids = [path.read_text().strip() for path in folder.glob("*.cid")]
    if any(ids):
        words = ["docker", "rm", "--force", *filter(None, ids)]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
