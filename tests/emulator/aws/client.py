"""Start and control the emulator from tests."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from ds.control.local.emulator import REGION, _environment

ROOT = Path(__file__).resolve().parents[3]
ENGINE = ROOT / "{{cookiecutter.project_slug}}"


@dataclass(frozen=True)
class Control:
    """A running emulator.

    Attributes:
        url: its address, for AWS requests and for the methods here.
        environment: variables that make a process talk to it and to no other AWS.
    """

    url: str
    environment: Mapping[str, str]

    def client(self, service: str, **credentials: str) -> Any:
        """Return a client of a service; `credentials` as `role` and `user` return them."""
        keys = {**self.environment, **credentials}
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            region_name=keys["AWS_REGION"],
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        )

    def reset(self, aws: bool = True) -> None:
        """Remove faults, latency, log, tasks, settings and IAM; with `aws`, empty the account."""
        self._ask("reset", aws=aws)

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        """Add a fault; `more` are fields of `faults.Fault`."""
        self._ask("fault", operation=operation, kind=kind, **more)

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults, with how often they happened."""
        return list(self._ask("faults"))

    def clear_faults(self) -> None:
        """Remove all faults and latency."""
        self._ask("clear_faults")

    def latency(self, milliseconds: float, operation: str = "*") -> None:
        """Delay each call of an operation; `*` matches any letters."""
        self._ask("latency", milliseconds=milliseconds, operation=operation)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Change fields of `state.Settings`, and return all of them."""
        return dict(self._ask("settings", **settings))

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """Return the logged calls, or those of one operation ("sqs:CreateQueue")."""
        calls = list(self._ask("calls"))
        return [c for c in calls if name in ("", f"{c['service']}:{c['operation']}")]

    def forget_calls(self) -> None:
        """Empty the log."""
        self._ask("forget_calls")

    def enforce(self, on: bool = True) -> None:
        """Turn IAM on or off; with IAM, unknown keys are refused."""
        self._ask("enforce", on=on)

    def role(self, name: str) -> dict[str, str]:
        """Return credentials of a session of a role, as environment variables."""
        return dict(self._ask("role", name=name, region=self.environment["AWS_REGION"]))

    def user(self, name: str = "admin", policy: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return credentials of a user with this policy, or with all rights."""
        return dict(self._ask("user", name=name, policy=json.dumps(policy) if policy else ""))

    def issued(self) -> list[dict[str, str]]:
        """Return the credentials of all users and sessions, as environment variables."""
        return list(self._ask("issued"))

    def play(
        self,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "ds.worker"),
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        """Run the tasks of services: processes in `folder`, with the task definition's environment.

        Args:
            folder: an implementation.
            command: what the container runs.
            environment: of the machine, in addition to the container's own.
            output: folder for the output of the tasks.
        """
        self._ask(
            "play",
            folder=str(folder),
            command=list(command),
            environment=dict(environment or {}),
            output=str(output or ""),
        )

    def tasks(self) -> list[dict[str, Any]]:
        """Return the processes of tasks: task, pid, running, machine."""
        return list(self._ask("tasks"))

    def kill_task(self, task: str) -> None:
        """Send SIGKILL to a task's process, as if it ran out of memory."""
        self._ask("kill_task", task=task)

    def notice(self, instance: str) -> None:
        """Announce the end of a spot machine, `Settings.notice` seconds from now."""
        self._ask("notice", instance=instance)

    def lose_agent(self, instance: str) -> None:
        """Disconnect a machine's ECS agent."""
        self._ask("lose_agent", instance=instance)

    def _ask(self, verb: str, **given: Any) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)
        with contextlib.closing(connection):
            connection.request("POST", f"/emulator/{verb}", json.dumps(given))
            answer = connection.getresponse()
            found = json.loads(answer.read())
        if answer.status != 200:
            raise ValueError(f"{verb}: {found['error']}")
        return found


@contextlib.contextmanager
def running(region: str = REGION) -> Iterator[Control]:
    """Start an emulator that ends with this process, even if this process is killed."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.emulator.aws.server"],
            cwd=ROOT,
            env={
                **{name: text for name, text in os.environ.items() if not name.startswith("AWS_")},
                "PYTHONPATH": os.pathsep.join([str(ENGINE), str(ROOT)]),
                "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
                "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(1024 * 1024),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        with process:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.isdigit():
                process.wait()
                errors.seek(0)
                raise RuntimeError(f"The emulator did not start:\n{errors.read()}")
            url = f"http://127.0.0.1:{port}"
            try:
                yield Control(url, _environment(url, region))
            finally:
                errors.seek(0)
                if text := errors.read().strip():
                    sys.stderr.write(f"The emulator reported:\n{text}\n")
