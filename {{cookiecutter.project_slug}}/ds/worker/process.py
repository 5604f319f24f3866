"""Execution of one command in its own session: watch, measure and stop it and its descendants."""

import contextlib
import ctypes
import os
import resource
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ds.worker.stop import GRACE_SECONDS, Failed, Stop

MARK = "DS_ATTEMPT"
"""Environment variable that identifies a command's descendants, whatever their process group."""

_PR_SET_CHILD_SUBREAPER = 36

_PIECE = 1 << 16
_FULL_PIPE = 16
"""Pieces that a pipe can hold (pipe(7): 1 MiB unless the system allows more)."""


@dataclass(frozen=True)
class Finished:
    """The result of a command.

    Attributes:
        exit_code: None if the command was stopped; -N if signal N killed it.
        peak_memory_mb: peak resident memory of the command and its descendants, in MB (1e6 bytes).
        left_over: number of processes that the command left behind and that had to be killed.
        stop: why the command was stopped; None if it was not.
    """

    exit_code: int | None
    peak_memory_mb: int
    left_over: int
    stop: Stop | None = None


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that all of them can be found (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    arguments: Sequence[str],
    *,
    folder: str,
    environment: Mapping[str, str],
    mark: str,
    results: str,
    output: Callable[[bytes], None],
    check_stop: Callable[[], None],
) -> Finished:
    """Run a command until it exits, and leave no process behind.

    A process that the command did not wait for (`> >(gzip > "$output_dir/x.gz")`) has GRACE_SECONDS
    to exit, and longer while it writes to the results: a truncated file would pass as complete.

    Args:
        arguments: program and arguments; there is no shell.
        folder: the working directory.
        environment: the complete environment; only the mark is added.
        mark: identifies this attempt among all attempts on this machine.
        results: the folder of the command's outputs.
        output: receives stdout and stderr.
        check_stop: called regularly; raises Stop to stop the command.

    Raises:
        Failed: the program cannot be started.
    """
    with _starting:
        try:
            with _killed_first():
                process = subprocess.Popen(
                    arguments,
                    cwd=folder,
                    env={**environment, MARK: mark},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            raise Failed(f"{arguments[:1]} cannot be started: {error}") from error
        _roots.add(process.pid)
    watch = _Watch(process, mark, output)
    stop = None
    try:
        watch.until_exit(check_stop)
        watch.until_gone(GRACE_SECONDS)
        watch.until_written(results, check_stop)
    except Stop as error:
        stop = error
        if stop.grace_seconds:
            watch.terminate()
            watch.until_gone(stop.grace_seconds)
    finally:
        left_over = watch.kill()
    exit_code = None if stop else process.returncode
    return Finished(exit_code, watch.peak_memory_mb, left_over, stop)


class _Watch:
    """The output, memory and exit of a running command and its descendants."""

    def __init__(
        self, process: subprocess.Popen[bytes], mark: str, output: Callable[[bytes], None]
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._mark = mark
        self._output = output
        # Read after the command was started, because starting it takes memory.
        self._own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._pipe = process.stdout
        self._silent = False  # its output has ended
        self._pause = 0.0005
        self._peak_bytes = 0
        self._seen: set[psutil.Process] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    @property
    def peak_memory_mb(self) -> int:
        return round(self._peak_bytes / 1e6)

    def until_exit(self, check_stop: Callable[[], None]) -> None:
        """Wait until the command itself exits."""
        pause = 0.01
        due = time.monotonic() + pause
        while not self._exited():
            self._read(max(0, due - time.monotonic()))
            if time.monotonic() >= due:
                self._measure()
                check_stop()
                pause = min(2 * pause, 1.0)
                due = time.monotonic() + pause

    def until_gone(self, seconds: float) -> None:
        """Wait at most `seconds` until the command's whole process group has exited."""
        deadline = time.monotonic() + seconds
        while self._group_lives() and time.monotonic() < deadline:
            self._read(0.02)

    def until_written(self, folder: str, check_stop: Callable[[], None]) -> None:
        """Wait for processes that still write below a folder, then GRACE_SECONDS until they exit: a
        process closes its file before it exits, and may still rename the file."""
        deadline = 0.0
        while living := self._living():
            if any(_writes(process, folder) for process in living):
                deadline = time.monotonic() + GRACE_SECONDS
            elif time.monotonic() >= deadline:
                break
            check_stop()
            self._read(0.2)

    def terminate(self) -> None:
        """Send SIGTERM to all processes of the command."""
        for process in self._living():
            with contextlib.suppress(psutil.Error):
                process.terminate()

    def kill(self) -> int:
        """Kill all processes of the command, wait until they have exited and read the last output;
        return the number of processes killed."""
        killed = set()
        deadline = time.monotonic() + GRACE_SECONDS
        while (living := self._living()) and time.monotonic() < deadline:
            for process in living:
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    killed.add(process)
            time.sleep(0.01)
        while not self._exited() and time.monotonic() < deadline:
            time.sleep(0.01)
        with _starting:
            _roots.discard(self._process.pid)
        try:
            # Limited, because a process that could not be killed may print forever.
            for _ in range(_FULL_PIPE):
                if not self._read(0):
                    break
        finally:
            self._selector.close()
            self._pipe.close()
        return len(killed)

    def _read(self, wait_seconds: float) -> bool:
        """Pass on at most one piece of output; return False if none arrived in time."""
        if self._silent:
            # Most commands exit when their output ends; check the others less and less often.
            time.sleep(min(wait_seconds, self._pause))
            self._pause = min(2 * self._pause, 0.1)
            return False
        if not self._selector.select(wait_seconds):
            return False
        data = os.read(self._pipe.fileno(), _PIECE)
        if data:
            self._output(data)
        else:
            self._silent = True
        return bool(data)

    def _exited(self) -> bool:
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                # Until exec, a child's peak includes its parent's memory, so a value that does not
                # exceed the worker's own peak means nothing.
                if sys.platform == "linux" and usage.ru_maxrss > self._own_peak_kb:
                    self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)
        return self._process.returncode is not None

    def _group_lives(self) -> bool:
        self._exited()
        if not _group_exists(self._process.pid):
            return False
        self._living()  # a group exists until its zombies are reaped
        return _group_exists(self._process.pid)

    def _living(self) -> list[psutil.Process]:
        """Return the command's living processes: by group, by mark, or seen before."""
        found = []
        for process in {*psutil.Process().children(recursive=True), *self._seen}:
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    _reap(process.pid)
                elif (
                    (process in self._seen and process.is_running())
                    or os.getpgid(process.pid) == self._process.pid
                    or process.environ().get(MARK) == self._mark
                ):
                    found.append(process)
        return found

    def _measure(self) -> None:
        """Measure the command's living processes, and reap those that exited: a long command may
        leave more orphans than there are process ids."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            self._seen.update([root, *root.children(recursive=True)])
        self._seen = set(self._living())
        total = 0
        for process in self._seen:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        self._peak_bytes = max(self._peak_bytes, total)


_starting = threading.Lock()
_roots: set[int] = set()
"""Process ids of the commands of all slots; each command is reaped by its own _Watch."""


@contextlib.contextmanager
def _killed_first() -> Iterator[None]:
    """If memory is short, make the kernel kill what this block starts before it kills the worker.

    Linux only. The score is inherited, so it must be set before a command can start other
    processes. A process may raise its own score and lower it again (proc(5), oom_score_adj).
    """
    own = Path("/proc/self/oom_score_adj")
    before = ""
    with contextlib.suppress(OSError):
        before = own.read_text()
        own.write_text("1000")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            own.write_text(before)


def _writes(process: psutil.Process, folder: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return any(
            file.path.startswith(f"{folder}/") and getattr(file, "mode", "w") != "r"
            for file in process.open_files()
        )
    return False


def _group_exists(root: int) -> bool:
    try:
        os.killpg(root, 0)
    except (ProcessLookupError, PermissionError):  # macOS: the latter if only zombies are left
        return False
    return True


def _reap(pid: int) -> None:
    """Reap an adopted orphan.

    Do not reap processes that the worker itself started (a function of job.py, boto3): only
    commands have their own sessions.
    """
    with _starting, contextlib.suppress(ChildProcessError, ProcessLookupError):
        if pid not in _roots and os.getsid(pid) != os.getsid(0):
            os.waitpid(pid, os.WNOHANG)
