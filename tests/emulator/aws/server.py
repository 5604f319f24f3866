"""The process: the control address, the ECS agent's address for tasks, and AWS itself."""

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tests.emulator.aws import access, ecs, fleets, quick, refusals, sqs
from tests.emulator.aws.call import Call, Refused, read, refusal
from tests.emulator.aws.faults import Fault, Faults, denial_code, hang_up, kill_client
from tests.emulator.aws.player import Play, Player
from tests.emulator.aws.state import STATE

Answer = tuple[int, list[tuple[str, str]], bytes]

TICK = 0.1
"""Seconds between two updates of fleets, services and tasks."""

CALLS_KEPT = 50_000


@dataclass
class Entry:
    """A call in the log."""

    call: Call
    time: float
    principal: str
    outcome: str = ""

    def shown(self) -> dict[str, Any]:
        return {
            "time": self.time,
            "service": self.call.service,
            "operation": self.call.operation,
            "region": self.call.region,
            "principal": self.principal,
            "parameters": self.call.parameters,
            "outcome": self.outcome,
        }


@dataclass
class Server:
    """A WSGI application."""

    faults: Faults = field(default_factory=Faults)
    log: deque[Entry] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    player: Player = field(default_factory=lambda: Player(""))
    resets: int = 0

    def __post_init__(self) -> None:
        self.moto = DomainDispatcherApplication(_app)

    def __call__(
        self, environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/emulator/"):
            answer: Answer | None = self._json(environ, self.control)
        elif path.startswith("/agent/"):
            answer = self._json(environ, self.agent)
        elif (call := read(environ)) is None:
            found: Iterable[bytes] = self.moto(environ, start)
            return found
        else:
            answer = self.aws(call)
        if answer is None:
            return []
        status, headers, body = answer
        start(f"{status} .", [*_without_length(headers), ("Content-Length", str(len(body)))])
        return [body]

    def aws(self, call: Call) -> Answer | None:
        """Answer a call; return None if the connection was closed instead."""
        entry = Entry(call, time.time(), self._principal(call))
        self.log.append(entry)
        if seconds := self.faults.seconds(call):
            resets = self.resets
            time.sleep(seconds)
            if self.resets != resets:
                # Its account is that of an earlier test.
                hang_up(call.environ)
                return None
        fault = self.faults.of(call)
        if fault and fault.kind == "refused":
            entry.outcome = f"refused by a fault: {fault.refusal(call).code}"
            return refusal(call, fault.refusal(call))
        part = fault if fault and fault.kind == "partial" else None
        answer = self._partly(call, part) if part else self._do(call)
        entry.outcome = str(answer[0])
        if fault and fault.kind == "killed":
            entry.outcome += f", client killed: {kill_client(call.environ)}"
        if fault and fault.kind in ("lost", "killed"):
            entry.outcome += ", response lost"
            hang_up(call.environ)
            return None
        return answer

    def _do(self, call: Call) -> Answer:
        call.environ["emulator.call"] = call
        try:
            if sqs.handles(call):
                return (
                    200,
                    [("Content-Type", "application/x-amz-json-1.0")],
                    sqs.encode(sqs.answer(call)),
                )
            answer = self._moto(call)
        except Refused as error:
            return refusal(call, error)
        except Exception as error:
            traceback.print_exc()
            return refusal(call, Refused("InternalFailure", f"the emulator: {error!r}", 500))
        if answer[0] == 403 and call.service != "s3":
            message = _between(answer[2].decode(errors="replace"), "<Message>", "</Message>")
            return refusal(call, Refused(denial_code(call), message, 403))
        return answer

    def _moto(self, call: Call) -> Answer:
        given: list[Any] = []
        chunks = self.moto(
            call.environ, lambda status, headers, *_: given.extend([status, headers])
        )
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return int(given[0].split()[0]), given[1], body

    def _partly(self, call: Call, fault: Fault) -> Answer:
        """Do an SQS batch without the entries that the fault names; they fail."""
        entries = call.parameters["Entries"]
        failing = [entry for i, entry in enumerate(entries) if i in fault.entries]
        rest = [entry for i, entry in enumerate(entries) if i not in fault.entries]
        done: dict[str, Any] = {"Successful": [], "Failed": []}
        if rest:
            parameters = {**call.parameters, "Entries": rest}
            done = sqs.answer(_with(call, parameters))
        done["Failed"] += [
            {
                "Id": entry["Id"],
                "Code": fault.code or "InternalError",
                "Message": fault.message,
                "SenderFault": False,
            }
            for entry in failing
        ]
        return 200, [("Content-Type", "application/x-amz-json-1.0")], sqs.encode(done)

    def _principal(self, call: Call) -> str:
        return access.principal(call.key, call.region, call.environ)

    def _json(
        self, environ: dict[str, Any], do: Callable[[str, str, dict[str, Any]], Any]
    ) -> Answer:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        text = environ["wsgi.input"].read(length) or b"{}"
        try:
            found = do(environ["REQUEST_METHOD"], environ["PATH_INFO"], json.loads(text))
            status = 200
        except Exception as error:
            found, status = {"error": f"{type(error).__name__}: {error}"}, 400
        content = json.dumps(found, default=_plain).encode()
        return status, [("Content-Type", "application/json")], content

    # For tests

    def control(self, method: str, path: str, given: dict[str, Any]) -> Any:
        """Handle a request of a test: see `client.Control`, whose methods have the same names."""
        verb = path.removeprefix("/emulator/")
        return getattr(self, f"_on_{verb}")(**given)

    def _on_reset(self, aws: bool = True) -> None:
        self.resets += 1
        self.player.reset()
        self.faults.reset()
        self.log.clear()
        access.enforce(False)
        STATE.reset()
        if aws:
            with fleets.LOCK:
                quick.reset()

    def _on_fault(self, **given: Any) -> None:
        self.faults.add(given)

    def _on_faults(self) -> Any:
        return self.faults.shown()

    def _on_clear_faults(self) -> None:
        self.faults.reset()

    def _on_latency(self, milliseconds: float, operation: str = "*") -> None:
        self.faults.latency[operation] = milliseconds

    def _on_settings(self, **given: Any) -> Any:
        return STATE.change(**given)

    def _on_calls(self) -> Any:
        return [entry.shown() for entry in list(self.log)]

    def _on_forget_calls(self) -> None:
        self.log.clear()

    def _on_enforce(self, on: bool) -> None:
        access.enforce(on)

    def _on_role(self, name: str, region: str) -> Any:
        return access.role_credentials(name, region)

    def _on_issued(self) -> Any:
        return access.issued()

    def _on_user(self, name: str, policy: str) -> Any:
        return access.user_credentials(name, policy or access.everything())

    def _on_play(
        self, folder: str, command: list[str], environment: dict[str, str], output: str
    ) -> None:
        where = Path(output or tempfile.mkdtemp(prefix="ds-tasks-"))
        where.mkdir(parents=True, exist_ok=True)
        self.player.play = Play(Path(folder), command, environment, where)

    def _on_tasks(self) -> Any:
        return self.player.shown()

    def _on_notice(self, instance: str) -> None:
        self.player.notice(instance)

    def _on_lose_agent(self, instance: str) -> None:
        self.player.lose_agent(instance)

    def _on_kill_task(self, task: str) -> None:
        self.player.kill_task(task)

    # For containers

    def agent(self, method: str, path: str, given: dict[str, Any]) -> Any:
        """Handle a request to the ECS agent: /agent/TASK/..."""
        _, _, identity, what = path.split("/", 3)
        found = ecs.find_task(identity)
        if found is None:
            raise LookupError(f"task {identity} does not exist")
        backend, task = found
        if what == "task-protection/v1/state":
            return _agent_protection(method, task, given)
        if what == "credentials":
            definition = backend.describe_task_definition(task.task_definition_arn)
            keys = access.role_credentials(definition.task_role_arn, task.region_name)
            return {
                "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
                "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
                "Token": keys["AWS_SESSION_TOKEN"],
                "Expiration": "2099-01-01T00:00:00Z",
                "RoleArn": definition.task_role_arn,
            }
        if what in ("v4", "v4/task"):
            family, _, revision = task.task_definition_arn.rpartition("/")[2].partition(":")
            return {
                "Cluster": task.cluster_arn,
                "TaskARN": task.task_arn,
                "Family": family,
                "Revision": revision,
                "DesiredStatus": task.desired_status,
                "KnownStatus": task._status,
                "LaunchType": "EC2",
            }
        raise LookupError(what)

    def clock(self) -> Iterator[None]:
        """Advance fleets, tasks and services, once for each `next`."""
        while True:
            for turn in (fleets.tick, self.player.tick, ecs.tick):
                try:
                    turn()
                except Exception:
                    traceback.print_exc()
            yield


def _app(service: Any) -> Any:
    """Create moto's application for a service, with its exceptions propagated."""
    app = create_backend_app(service)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _agent_protection(method: str, task: Any, given: dict[str, Any]) -> Any:
    if method == "PUT":
        on = given.get("ProtectionEnabled")
        minutes = given.get("ExpiresInMinutes")
        if not isinstance(on, bool) or (minutes is not None and not 1 <= minutes <= 2880):
            return {
                "error": {
                    "Arn": task.task_arn,
                    "Code": "InvalidParameterException",
                    "Message": "ProtectionEnabled is required; ExpiresInMinutes is 1 to 2880",
                }
            }
        answer = ecs.protect(task.task_arn, on, minutes)
    else:
        answer = {"protected": ecs.protection(task)}
    if "failure" in answer:
        return {"failure": {key.title(): text for key, text in answer["failure"].items()}}
    found = answer["protected"]
    shown = {"ProtectionEnabled": found["protectionEnabled"], "TaskArn": found["taskArn"]}
    if "expirationDate" in found:
        shown["ExpirationDate"] = found["expirationDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"protection": shown}


def _with(call: Call, parameters: dict[str, Any]) -> Call:
    return Call(**{**call.__dict__, "parameters": parameters})


def _without_length(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(k, v) for k, v in headers if k.lower() not in ("content-length", "connection")]


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0] or text[:300]


def _plain(value: object) -> object:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def install() -> None:
    """Patch moto, once per process."""
    access.install()
    quick.install()
    sqs.install()
    fleets.install()
    ecs.install()
    refusals.install()


def main() -> None:
    """Serve on a free port, print the port, and end when standard input is closed."""
    install()
    server = Server()
    listener = make_server("127.0.0.1", 0, server, threaded=True, request_handler=_Quiet)
    server.player.url = f"http://127.0.0.1:{listener.server_port}"
    threading.Thread(target=listener.serve_forever, daemon=True).start()

    def tick() -> None:
        for _ in server.clock():
            time.sleep(TICK)

    threading.Thread(target=tick, daemon=True).start()
    sys.stdout.write(f"{listener.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.player.reset()
    # Threads may still serve long polls whose clients are gone.
    os._exit(0)


class _Quiet(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *words: object) -> None:
        pass


if __name__ == "__main__":
    main()
