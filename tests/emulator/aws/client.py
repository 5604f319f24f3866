"""For tests: start the emulator, and tell it what to do."""

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
        url: where it listens, as AWS and for the methods here.
        environment: variables that make any process talk to it and to no other AWS.
    """

    url: str
    environment: Mapping[str, str]

    def client(self, service: str, **credentials: str) -> Any:
        """A client of a service; `credentials` as `role` and `user` return them."""
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
        """No faults, latency, log, tasks, IAM; default settings; with `aws`, an empty account."""
        self._ask("reset", aws=aws)

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        """Let something go wrong: the fields of `faults.Fault`."""
        self._ask("fault", operation=operation, kind=kind, **more)

    def faults(self) -> list[dict[str, Any]]:
        """All faults, with how often they have happened."""
        return list(self._ask("faults"))

    def clear_faults(self) -> None:
        """No faults and no latency any more."""
        self._ask("clear_faults")

    def latency(self, milliseconds: float, operation: str = "*") -> None:
        """Let each call of an operation take longer; `*` stands for letters."""
        self._ask("latency", milliseconds=milliseconds, operation=operation)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Change fields of `state.Settings`; returns all."""
        return dict(self._ask("settings", **settings))

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """The log: all calls, or those of an operation ("sqs:CreateQueue")."""
        calls = list(self._ask("calls"))
        return [c for c in calls if name in ("", f"{c['service']}:{c['operation']}")]

    def forget_calls(self) -> None:
        """Empty the log."""
        self._ask("forget_calls")

    def enforce(self, on: bool = True) -> None:
        """Let IAM decide what is allowed; unknown keys are refused then."""
        self._ask("enforce", on=on)

    def role(self, name: str) -> dict[str, str]:
        """Credentials of a session of a role, as environment variables."""
        return dict(self._ask("role", name=name, region=self.environment["AWS_REGION"]))

    def user(self, name: str = "admin", policy: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Credentials of a user who may do what `policy` says, or everything."""
        return dict(self._ask("user", name=name, policy=json.dumps(policy) if policy else ""))

    def issued(self) -> list[dict[str, str]]:
        """The credentials of all users and sessions, as environment variables."""
        return list(self._ask("issued"))

    def play(
        self,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "ds.worker"),
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        """Let services have tasks: processes in `folder`, with the task definition's environment.

        Args:
            folder: an implementation.
            command: what the container runs.
            environment: of the machine, beside the container's own.
            output: folder for what the tasks print.
        """
        self._ask(
            "play",
            folder=str(folder),
            command=list(command),
            environment=dict(environment or {}),
            output=str(output or ""),
        )

    def tasks(self) -> list[dict[str, Any]]:
        """The processes of tasks: task, pid, running, machine."""
        return list(self._ask("tasks"))

    def kill_task(self, task: str) -> None:
        """SIGKILL to a task's process, as out of memory."""
        self._ask("kill_task", task=task)

    def notice(self, instance: str) -> None:
        """Announce that a spot machine will end, after `Settings.notice` seconds."""
        self._ask("notice", instance=instance)

    def lose_agent(self, instance: str) -> None:
        """Let ECS hear no more of a machine."""
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
    """Start an emulator, which ends with this process, however that ends."""
    with tempfile.TemporaryFile("w+") as said:
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
            stderr=said,
            text=True,
            start_new_session=True,
        )
        with process:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.isdigit():
                process.wait()
                said.seek(0)
                raise RuntimeError(f"The emulator did not start:\n{said.read()}")
            url = f"http://127.0.0.1:{port}"
            try:
                yield Control(url, _environment(url, region))
            finally:
                said.seek(0)
                if trouble := said.read().strip():
                    sys.stderr.write(f"The emulator said:\n{trouble}\n")
