"""The workers of a local run: restarted when they exit, as ECS does, and stopped with the run."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ds.cloud.errors import CommandError
from ds.control import docker
from ds.control.files.project import Project
from ds.control.local import emulator
from ds.jobs.environment import WorkerSettings

ENDING_SECONDS = 100
"""The time from SIGTERM to SIGKILL of a worker: attempts that upload may need 90 seconds."""

QUICK_SECONDS = 15
"""A worker that exits within this time counts as a failed start."""

MOST_STARTS = 3
"""The number of consecutive failed starts after which the run stops."""


@dataclass
class _Worker:
    """One worker: its current process, and its history."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    began: float = 0
    starts: int = 0
    failures: int = 0
    scratch: Path = field(default_factory=Path)
    output: Path = field(default_factory=Path)


class Workers:
    """Worker processes, or containers of the image; `folder` is the run's temporary folder."""

    def __init__(
        self, project: Project, settings: WorkerSettings, count: int, docker: bool, folder: Path
    ) -> None:
        self._docker = docker
        self._project = project
        self._settings = settings
        self._folder = folder
        self._workers = [_Worker(f"worker-{number}") for number in range(1, count + 1)]

    def __enter__(self) -> Workers:
        for worker in self._workers:
            self._start(worker)
        return self

    def __exit__(self, *_: object) -> None:
        processes = [worker.process for worker in self._workers if worker.process]
        for process in processes:
            process.terminate()
        end = time.monotonic() + ENDING_SECONDS
        try:
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, end - time.monotonic()))
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def tend(self) -> None:
        """Restart the workers that have exited; raise CommandError if a worker cannot start."""
        for worker in self._workers:
            assert worker.process is not None
            code = worker.process.poll()
            if code is None:
                continue
            # A worker killed by a signal did not fail: on AWS, machines are interrupted.
            quick = time.monotonic() - worker.began < QUICK_SECONDS and code >= 0
            worker.failures = worker.failures + 1 if quick else 0
            if worker.failures == MOST_STARTS:
                lines = worker.output.read_text(errors="replace").strip().splitlines()
                output = "\n  ".join(lines[-5:] or [f"exit code {code}"])
                raise CommandError(
                    "The worker cannot start; correct what its output reports:\n  " + output
                )
            # On AWS, the worker's container and every process in it stop with the worker.
            emulator.sweep(worker.scratch)
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        worker.starts += 1
        worker.began = time.monotonic()
        worker.scratch = self._folder / f"{worker.name}-{worker.starts}"
        worker.scratch.mkdir()
        worker.output = self._folder / f"{worker.name}.txt"
        environment = dict(os.environ)
        if self._docker:
            aws = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
            words = docker.worker_command(
                self._project.settings,
                {**aws, **self._settings.environment()},
                worker.name,
                # `sweep` finds the container by this file, even if this process is killed.
                self._folder / f"{worker.name}-{worker.starts}.cid",
                platform.machine(),
                sys.platform,
                os.cpu_count() or 1,
            )
        else:
            words = [sys.executable, "-m", "ds.worker"]
            environment |= replace(self._settings, scratch=str(worker.scratch)).environment()
        with worker.output.open("wb") as output:
            worker.process = subprocess.Popen(
                words,
                cwd=self._project.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach only the control process, which stops the workers.
                start_new_session=True,
            )
