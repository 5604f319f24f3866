"""Run one command: in its own session, watched, measured, and ended with all that it started."""

from __future__ import annotations

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

MARK = "DS_ATTEMPT"
"""Environment variable by which a command's descendants are known, whatever they did to their
process group."""

GRACE_SECONDS = 5.0
"""From SIGTERM to SIGKILL; and for what a finished command left behind (`> >(gzip)`) to end."""

_PR_SET_CHILD_SUBREAPER = 36

_PIECE = 1 << 16
_FULL_PIPE = 16
"""Pieces that a pipe can hold ("pipe(7)": 1 MiB unless the system allows more)."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        exit_code: None if it was stopped; negative is a signal's number.
        peak_memory_mb: largest resident memory of it and its descendants, MB (1e6 bytes).
        left_over: processes that had to be killed after it.
    """

    exit_code: int | None
    peak_memory_mb: int
    left_over: int


class Stop(Exception):
    """Raised by a `gate` where an attempt must end now.

    Args:
        reason: why, for a person.
        grace_seconds: what the command gets between SIGTERM and SIGKILL.
    """

    def __init__(self, reason: str, grace_seconds: float = GRACE_SECONDS) -> None:
        super().__init__(reason)
        self.reason = reason
        self.grace_seconds = grace_seconds
        self.peak_memory_mb = 0  # what `run` saw until then


class NotStarted(Exception):
    """The program cannot be started; the text says why."""


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that none can hide (Linux)."""
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
    """Run a command to its end and leave no process behind.

    What it started and did not wait for (`> >(gzip > "$output_dir/x.gz")`) has GRACE_SECONDS to
    end, and longer as long as it writes to the results: a file cut short would pass for whole.

    Args:
        arguments: program and arguments; no shell.
        folder: where it runs.
        environment: all of its environment; the mark is added.
        mark: names this attempt among all that run on this machine.
        results: the folder of the command's outputs.
        output: takes what it prints (stdout and stderr), as it comes.
        gate: called every now and then; raises Stop to end the command.

    Raises:
        Stop: from the gate, when all processes are gone.
        NotStarted: the program cannot be started.
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
            raise NotStarted(str(error)) from error
        # Not before: starting it takes memory, too, and what the kernel had not counted yet.
        own_memory = _own_peak_kb()
        _roots.add(process.pid)
    watch = _Watch(process, mark, output, own_memory)
    try:
        try:
            watch.until_exit(check_stop)
            watch.until_gone(GRACE_SECONDS)
            watch.until_written(results, check_stop)
        except Stop as stop:
            if stop.grace_seconds:
                watch.terminate()
                watch.until_gone(stop.grace_seconds)
            raise
        finally:
            left_over = watch.kill()
    except Stop as stop:
        stop.peak_memory_mb = watch.peak_memory_mb
        raise
    return Finished(process.returncode, watch.peak_memory_mb, left_over)


class _Watch:
    """A running command and all that it started: output, memory, end."""

    FIRST_LOOK_SECONDS = 0.01
    LONGEST_LOOK_SECONDS = 1.0

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        mark: str,
        output: Callable[[bytes], None],
        own_peak_kb: int,
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._mark = mark
        self._output = output
        self._own_peak_kb = own_peak_kb
        self._pipe = process.stdout
        self._silent = False  # at the end of its output
        self._pause = 0.0005
        self._peak_bytes = 0
        self._seen: set[psutil.Process] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    @property
    def peak_memory_mb(self) -> int:
        return round(self._peak_bytes / 1e6)

    def until_exit(self, check_stop: Callable[[], None]) -> None:
        """Wait for the command itself."""
        look = self.FIRST_LOOK_SECONDS
        next_look = time.monotonic() + look
        while not self._exited():
            self._read(max(0, next_look - time.monotonic()))
            if time.monotonic() >= next_look:
                self._measure()
                check_stop()
                look = min(2 * look, self.LONGEST_LOOK_SECONDS)
                next_look = time.monotonic() + look

    def until_gone(self, seconds: float) -> None:
        """Wait for its whole process group, at most so long."""
        deadline = time.monotonic() + seconds
        while self._group_lives() and time.monotonic() < deadline:
            self._read(0.02)

    def until_written(self, folder: str, check_stop: Callable[[], None]) -> None:
        """Wait for what still writes below a folder."""
        while any(_writes(process, folder) for process in self._living()):
            check_stop()
            self._read(0.2)

    def terminate(self) -> None:
        """Ask all of it to end."""
        for process in self._living():
            with contextlib.suppress(psutil.Error):
                process.terminate()

    def kill(self) -> int:
        """End all of it, see it gone, read its last words; how many processes it took."""
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
            # Not to its end: what could not be killed may print for ever.
            for _ in range(_FULL_PIPE):
                if not self._read(0):
                    break
        finally:
            self._selector.close()
            self._pipe.close()
        return len(killed)

    def _read(self, wait_seconds: float) -> bool:
        """Pass on what is printed, one piece at most; False if there was none in that time."""
        if self._silent:
            # Most end with their output; one that goes on is asked ever more rarely.
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
                # A child counts its parent's memory until it has become its program, so a
                # figure that is not larger than our own says nothing.
                if sys.platform == "linux" and usage.ru_maxrss > self._own_peak_kb:
                    self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)
        return self._process.returncode is not None

    def _group_lives(self) -> bool:
        self._exited()
        if not _group_exists(self._process.pid):
            return False
        self._living()  # zombies keep a group in being until they are reaped
        return _group_exists(self._process.pid)

    def _living(self) -> list[psutil.Process]:
        """What lives of it: its group, all that carries its mark, all that was seen below it."""
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
        """Look at all that lives of it, which also reaps what ended: a long command may leave
        more orphans than there are process ids."""
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
"""The commands of all slots, which their own watch reaps."""


@contextlib.contextmanager
def _killed_first() -> Iterator[None]:
    """Where memory is short, the kernel kills what is started within this, not the worker (Linux).

    It is inherited, so it must be there before a command can start more. Everybody may raise it
    for oneself, and put it back (proc(5), oom_score_adj).
    """
    own = Path("/proc/self/oom_score_adj")
    try:
        before = own.read_text()
        own.write_text("1000")
    except OSError:
        before = ""
    try:
        yield
    finally:
        if before:
            with contextlib.suppress(OSError):
                own.write_text(before)


def _own_peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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
    except (ProcessLookupError, PermissionError):  # the latter is macOS's for zombies alone
        return False
    return True


def _reap(pid: int) -> None:
    """Take the exit status of an adopted orphan, so that no zombie stays.

    Not that of what the worker itself started (a function of job.py, a helper of boto3): only
    commands have sessions of their own.
    """
    with _starting, contextlib.suppress(ChildProcessError, ProcessLookupError):
        if pid not in _roots and os.getsid(pid) != os.getsid(0):
            os.waitpid(pid, os.WNOHANG)
