"""Commands run to their end and leave nothing behind: real processes, short times."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from ds.jobs.resolve import MAX_ARGUMENT_BYTES
from ds.worker import process as module
from ds.worker.process import MARK, Finished, adopt_orphans, run
from ds.worker.stop import Failed, Stop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}


@pytest.fixture(autouse=True)
def _adopts() -> Iterator[None]:
    adopt_orphans()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@dataclass
class Command:
    """Runs commands in a folder, with one mark."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    others: list[psutil.Process] = field(default_factory=lambda: psutil.Process().children())
    printed: bytearray = field(default_factory=bytearray)
    finished: Finished | None = None

    def take(self, data: bytes) -> None:
        if len(self.printed) < 4_000_000:
            self.printed.extend(data)

    def run(
        self,
        *arguments: str,
        check_stop: Callable[[], None] = lambda: None,
        output: Callable[[bytes], None] | None = None,
        **environment: str,
    ) -> Finished:
        self.finished = run(
            arguments,
            folder=str(self.folder),
            environment={**ENVIRONMENT, **environment},
            mark=self.mark,
            results=str(self.folder),
            output=output or self.take,
            check_stop=check_stop,
        )
        if self.finished.stop:
            assert self.finished.exit_code is None
            raise self.finished.stop
        return self.finished

    def bash(self, script: str, check_stop: Callable[[], None] = lambda: None) -> Finished:
        return self.run("bash", "-c", script, check_stop=check_stop)

    def left(self) -> list[str]:
        """Return its processes that still run, and our zombies."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.status() == psutil.STATUS_ZOMBIE and process.ppid() == os.getpid()
                mine = mine and process not in self.others  # what other tests started
                if mine or process.environ().get(MARK) == self.mark:
                    found.append(f"{process.pid} {process.name()} {process.status()}")
        return found


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    assert command.left() == []


def after(seconds: float, error: Exception) -> Callable[[], None]:
    """Return a `check_stop` that raises an error after some time."""
    end = time.monotonic() + seconds

    def check_stop() -> None:
        if time.monotonic() > end:
            raise error

    return check_stop


@pytest.mark.parametrize(
    ("arguments", "exit_code", "printed"),
    [
        (["true"], 0, b""),
        (["false"], 1, b""),
        (["bash", "-c", "exit 255"], 255, b""),
        (["bash", "-c", "kill -KILL $$"], -9, b""),
        (["bash", "-c", "kill -SEGV $$"], -11, b""),
        (["echo", "a  b", "$HOME", "*", "", "-n"], 0, b"a  b $HOME *  -n\n"),
        (["bash", "-c", "echo 1; echo 2 >&2; echo 3"], 0, b"1\n2\n3\n"),
        (["printf", r"no newline \377\0"], 0, b"no newline \xff\0"),
        (["cat"], 0, b""),  # its standard input is empty
        (["bash", "-c", 'echo "$PWD $name"'], 0, b"FOLDER a ' b\n"),
        (["bash", "-c", "exec > /dev/null 2>&1; sleep 0.1; exit 4"], 4, b""),
        (["bash", "-c", "exec >&- 2>&-; sleep 0.1; exit 5"], 5, b""),
        (["head", "-c", "3000000", "/dev/zero"], 0, b"\0" * 3_000_000),
    ],
    ids=lambda value: str(value)[:40],
)
def test_output_and_exit_code(
    command: Command, arguments: Sequence[str], exit_code: int, printed: bytes
) -> None:
    finished = command.run(*arguments, name="a ' b")
    assert finished.exit_code == exit_code
    assert finished.left_over == 0
    assert bytes(command.printed) == printed.replace(b"FOLDER", os.fsencode(command.folder))


def test_the_environment_is_the_given_one_and_the_mark(command: Command) -> None:
    command.run("env", name="x")
    names = {line.split("=")[0] for line in command.printed.decode().splitlines()}
    assert names == {"PATH", "PYTHON", "name", MARK}


def test_a_command_has_none_of_our_descriptors_and_the_usual_signals(command: Command) -> None:
    with (command.folder / "ours").open("w"):
        command.bash("ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    lines = command.printed.decode().split()
    assert lines[:4] == ["0", "1", "2", "3"]  # 3 is what ls reads
    standard = (1 << 31) - 1  # others are the C library's own, and as it found them
    assert [int(line, 16) & standard for line in lines if len(line) == 16] == [0, 0]


def test_what_a_command_starts_is_killed_before_the_worker(command: Command) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    command.run("sh", "-c", "cat /proc/self/oom_score_adj")
    assert bytes(command.printed) == b"1000\n"
    assert Path("/proc/self/oom_score_adj").read_text() == own


@pytest.mark.parametrize(
    "arguments",
    [["/no/such/program"], ["/etc/hostname"], ["a\0b"], ["true", "x" * 200_000]],
    ids=lambda arguments: str(arguments)[:30],
)
def test_a_command_that_cannot_be_started_leaves_nothing(
    command: Command, arguments: Sequence[str]
) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(Failed, match="cannot be started"):
        command.run(*arguments)
    assert psutil.Process().num_fds() == before
    assert command.run("true").exit_code == 0


def test_the_longest_allowed_texts_can_be_passed_to_a_program(command: Command) -> None:
    text = "x" * MAX_ARGUMENT_BYTES
    assert command.run("printenv", "name", name=text).exit_code == 0
    assert command.run("test", text, "=", text).exit_code == 0
    assert command.printed.decode() == f"{text}\n"


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        time.sleep(1000)
    os._exit(0)
time.sleep({seconds})
"""

HANGING = {
    "alone": "sleep 1000",
    "children": "sleep 1000 & sleep 1000 & wait",
    "a pipe": "sleep 1000 | cat | cat",
    "a session of its own": "setsid sleep 1000 & wait",
    "double fork": f"exec $PYTHON -c '{DAEMON.format(seconds=1000)}'",
    "without its environment": "env -i setsid sleep 1000 & wait",
    "deaf": "trap '' TERM INT HUP; while true; do sleep 0.05; done",
    "deaf children": "(trap '' TERM; while true; do sleep 0.05; done) & wait",
    "stopped": "kill -STOP $$",
    "prints for ever": "yes",
    "prints for ever and is deaf": "trap '' TERM; while true; do echo y; done",
    "prints without a newline": "tr '\\0' x < /dev/zero",
    "prints elsewhere for ever": "setsid yes & setsid yes & wait",
    "without output": "exec > /dev/null 2>&1; sleep 1000",
    "starts ever more": "while true; do setsid sleep 100 & sleep 0.02; done",
}


@pytest.mark.parametrize("script", HANGING.values(), ids=HANGING)
def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    command: Command, script: str
) -> None:
    began = time.monotonic()
    with pytest.raises(Stop, match="too long"):
        command.bash(script, check_stop=after(0.1, Stop("too long", 0.1)))
    assert time.monotonic() - began < 30
    time.sleep(0.05)
    assert command.left() == []
    assert [p for p in psutil.Process().children() if p not in command.others] == []


def test_the_last_output_of_a_stopped_command_is_kept(command: Command) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo hello; while true; do sleep 0.05; done"
    with pytest.raises(Stop):
        command.bash(script, check_stop=after(0.3, Stop("too long")))
    assert command.printed.startswith(b"hello\n")
    assert command.printed.endswith(b"bye\n")
    assert command.finished
    assert command.finished.peak_memory_mb > 0


def test_without_grace_a_command_is_killed_at_once(command: Command) -> None:
    script = "trap 'sleep 0.5; echo late' TERM; while true; do sleep 0.05; done"
    with pytest.raises(Stop):
        command.bash(script, check_stop=after(0.3, Stop("lost", 0)))
    assert b"late" not in command.printed


def test_an_error_in_check_stop_leaves_no_process(command: Command) -> None:
    with pytest.raises(KeyError):
        command.bash("sleep 1000 & setsid sleep 1000 & wait", check_stop=after(0.1, KeyError("x")))


def test_output_that_cannot_be_kept_ends_the_command(command: Command) -> None:
    before = psutil.Process().num_fds()

    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        command.run("bash", "-c", "setsid yes & yes", output=full)
    assert psutil.Process().num_fds() == before
    assert not module._roots


def test_processes_that_end_shortly_after_the_command_are_waited_for(command: Command) -> None:
    finished = command.bash(
        "seq 200000 > >(sleep 0.7; gzip > numbers.gz); (sleep 0.5; echo last > last) & exit 0"
    )
    assert finished == Finished(0, finished.peak_memory_mb, 0)
    assert (command.folder / "last").read_text() == "last\n"
    whole = subprocess.run(["gzip", "-dc", command.folder / "numbers.gz"], capture_output=True)
    assert whole.returncode == 0
    assert whole.stdout.split() == [b"%d" % i for i in range(1, 200_001)]


def until_exists(name: str) -> str:
    """Return shell code: a process that is slow to begin has nothing open yet."""
    return f"until [ -e {name} ]; do sleep 0.05; done"


def test_processes_that_still_write_results_are_waited_for(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    write = "exec > late; for i in 1 2 3 4; do sleep 0.4; echo $i; done"
    finished = command.bash(f"({write}) & {until_exists('late')}")
    assert finished == Finished(0, finished.peak_memory_mb, 0)
    assert (command.folder / "late").read_text() == "1\n2\n3\n4\n"


@pytest.mark.parametrize("session", ["", "exec setsid "])
def test_a_process_that_has_written_its_results_has_time_to_end(
    command: Command, monkeypatch: pytest.MonkeyPatch, session: str
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    script = "exec 3> part; sleep 1.5; exec 3>&-; sleep 0.4; mv part whole"
    finished = command.bash(f"({session}bash -c '{script}') & {until_exists('part')}")
    assert finished == Finished(0, finished.peak_memory_mb, 0)
    assert (command.folder / "whole").exists()


def test_a_process_that_never_stops_writing_can_be_stopped(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    began = time.monotonic()

    def check_stop() -> None:
        if time.monotonic() - began > 2:
            raise Stop("too long")

    with pytest.raises(Stop, match="too long"):
        command.bash("(exec > late; while :; do sleep 0.1; echo; done) & exit 0", check_stop)
    assert command.left() == []


@pytest.mark.parametrize(
    ("script", "left_over"),
    [
        ("sleep 1000 & exit 0", 1),
        ("setsid sleep 1000 & sleep 0.2; exit 0", 1),
        ("yes & exit 0", 1),
        ("setsid yes & sleep 0.2; exit 0", 1),
        ("(trap '' TERM; exec sleep 1000) & setsid sleep 1000 & sleep 0.2; exit 0", 2),
        (f"exec $PYTHON -c '{DAEMON.format(seconds=0.3)}'", 1),
        # These do not write results.
        ("echo > read; (exec sleep 1000 < read) & exit 0", 1),
        ('(exec sleep 1000 > "$PWD-beside") & exit 0', 1),
    ],
)
def test_processes_left_behind_are_killed_and_counted(
    command: Command, monkeypatch: pytest.MonkeyPatch, script: str, left_over: int
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    began = time.monotonic()
    finished = command.bash(script, check_stop=after(30, Stop("it is waited for")))
    assert (finished.exit_code, finished.left_over) == (0, left_over)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("script", ["sleep 1.2", "timeout 1.2 yes"])
def test_check_stop_is_called_all_the_time(command: Command, script: str) -> None:
    times = [time.monotonic()]
    command.bash(script, check_stop=lambda: times.append(time.monotonic()))
    assert len(times) > 3


MEASURE = """
import os, sys
from ds.worker.process import adopt_orphans, run
adopt_orphans()
ballast = b"x" * int(sys.argv[1])
finished = run(
    sys.argv[2:], folder="/", environment=os.environ, mark="m", results="/none",
    output=print, check_stop=lambda: None,
)
print(len(ballast), finished.peak_memory_mb)
"""


def measured(script: str, own_bytes: int = 0) -> int:
    """Measure peak memory in a process that itself has only `own_bytes`."""
    # Forked by a small shell: a process begins with the peak of what started it (getrusage(2)).
    words = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", MEASURE, str(own_bytes)]
    words += ["bash", "-c", script]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # cookiecutter would copy it
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return int(said.stdout.split()[1])


ALLOCATE = """$PYTHON -c "import time; x = b'x' * {bytes}; time.sleep({seconds})\""""


@pytest.mark.parametrize(
    "script",
    [
        f"exec {ALLOCATE.format(bytes=200_000_000, seconds=0)}",
        f"{ALLOCATE.format(bytes=200_000_000, seconds=0)}; true",
        f"for i in 1 2; do {ALLOCATE.format(bytes=90_000_000, seconds=1)} & done; wait",
        f"(setsid {ALLOCATE.format(bytes=190_000_000, seconds=1)} &) ; sleep 1",
    ],
    ids=["itself", "its child", "two children together", "an orphan"],
)
def test_peak_memory_is_about_right(script: str) -> None:
    assert 190 <= measured(script) <= 260


def test_our_own_memory_is_not_the_commands() -> None:
    assert measured("true", own_bytes=300_000_000) < 50


def test_slots_do_not_take_each_others_exit_codes(tmp_path: Path) -> None:
    def slot(number: int) -> list[int | None]:
        command = Command(tmp_path)
        codes = []
        for i in range(12):
            # Orphans, which any slot may reap, at different times.
            script = (
                f"(setsid sleep 0.0{i % 5} &) ; (sleep 0.01 &) ; exit {(number * 12 + i) % 200}"
            )
            codes.append(command.bash(script).exit_code)
        assert not [line for line in command.left() if "zombie" not in line]
        return codes

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(slot, range(6)))
    assert codes == [[(number * 12 + i) % 200 for i in range(12)] for number in range(6)]
    assert not module._roots


def test_slots_do_not_end_each_others_commands(tmp_path: Path) -> None:
    """One command is killed again and again while another one runs, both with daemons."""
    script = (
        f"$PYTHON -c '{DAEMON.format(seconds=0)}'; sleep 0.2; setsid sleep 1000 & sleep 1.5; jobs"
    )
    living, dying = Command(tmp_path), Command(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(living.bash, script)
        while not future.done():
            with contextlib.suppress(Stop):
                dying.bash(script, check_stop=after(0.2, Stop("x", 0)))
        assert future.result().exit_code == 0
        assert future.result().left_over == 2  # both its daemons lived to its end
    assert living.left() + dying.left() == []


def test_a_process_of_the_workers_own_keeps_its_exit_code(command: Command) -> None:
    with subprocess.Popen(["sh", "-c", "exit 7"]) as own:
        time.sleep(0.1)
        command.bash("(setsid sleep 0.1 &); sleep 0.2")
        assert own.wait() == 7


def test_orphans_that_end_while_the_command_runs_do_not_pile_up(command: Command) -> None:
    most = []

    def check_stop() -> None:
        zombies = [
            process
            for process in psutil.Process().children()
            if process not in command.others and process.status() == psutil.STATUS_ZOMBIE
        ]
        most.append(len(zombies))

    command.bash("for i in $(seq 40); do (true &); sleep 0.03; done", check_stop=check_stop)
    assert max(most) < 5


def test_500_runs_leak_neither_descriptors_nor_threads_nor_zombies(tmp_path: Path) -> None:
    def slot(runs: int) -> None:
        command = Command(tmp_path)
        codes = [command.run("false" if i % 5 else "true").exit_code for i in range(runs)]
        assert codes == [1 if i % 5 else 0 for i in range(runs)]

    slot(5)
    gc.collect()
    others = psutil.Process().children()
    before = psutil.Process().num_fds(), threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(slot, [125] * 4))
    gc.collect()
    assert (psutil.Process().num_fds(), threading.active_count()) == before
    assert not module._roots
    assert [child for child in psutil.Process().children() if child not in others] == []
