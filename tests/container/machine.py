"""The queues, bucket and logs of one test on the emulator, with workers in containers."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.container.bases import docker
from tests.emulator.world import World


class Containers(World):
    """A world whose workers are containers."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        super().__init__(url, folder, name)
        self.set(scratch="")
        self._names: list[str] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self._names:
            print(f"== {name}\n{self.log(name)}")  # shown if a test fails
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        super().__exit__(kind, error, trace)

    def start(self, image: str, *options: str) -> str:
        """Start a container whose worker runs this test's jobs, and return its name."""
        name = f"ds-test-{uuid.uuid4().hex[:8]}"
        environment = {
            **{name: text for name, text in os.environ.items() if name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.url,
            **self.settings.environment(),
        }
        environment.pop("AWS_CA_BUNDLE", None)
        variables = [f"--env={name}={text}" for name, text in environment.items()]
        job = f"{self.root}/job.py:/opt/ds/app/job.py:ro"
        self._names.append(name)
        docker(
            *("run", "--detach", "--name", name, "--hostname", name, "--network=host"),
            *("--volume", job, *variables, *options, image),
        )
        return name

    def finish(self, image: str, *options: str) -> str:
        """Empty the queue with one container, stop the container, and return its name."""
        name = self.start(image, *options)
        self.wait_until(lambda: self.empty() or not self.state(name)["Running"])
        docker("stop", "--time", "60", name)
        return name

    def wait_for_end(self, name: str) -> int:
        """Wait for a container to end by itself, and return its exit code."""
        self.wait_until(lambda: not self.state(name)["Running"])
        return int(self.state(name)["ExitCode"])

    def state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", name))
        return state

    def log(self, name: str) -> str:
        """Return what a container's worker has written so far."""
        ended = subprocess.run(["docker", "logs", name], capture_output=True, check=False)
        return (ended.stdout + ended.stderr).decode(errors="replace")
