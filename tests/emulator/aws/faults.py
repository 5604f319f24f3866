"""Faults on purpose: latency, refusals, lost responses, killed clients, partial batches.

The emulator finds the calling process by the port of its connection. The process needs no change,
and tests kill exactly the process that would have died.
"""

import contextlib
import fnmatch
import json
import os
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from tests.emulator.aws.call import Call, Refused

KINDS = ("refused", "lost", "killed", "partial")


@dataclass
class Fault:
    """One kind of failure.

    Attributes:
        operation: "sqs:SendMessageBatch"; `*` and `?` are wildcards.
        kind: "refused": the call is not done and fails with `code`; "lost": done, then the
            connection is closed; "killed": done, then the calling process gets SIGKILL;
            "partial": the `entries` of a batch fail, the others are done.
        skip: number of calls that succeed first.
        times: number of calls that fail; None for all.
        containing: only calls whose parameters, as JSON, contain this text.
        status: HTTP status of a refusal; botocore retries 500 and above.
    """

    operation: str
    kind: str
    skip: int = 0
    times: int | None = 1
    containing: str = ""
    code: str = ""
    message: str = "refused by the test"
    status: int = 0
    entries: tuple[int, ...] = (0,)
    seen: int = 0
    happened: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} must be one of {', '.join(KINDS)}")

    def meets(self, call: Call) -> bool:
        """Return whether it happens to this call, and count the call."""
        if not fnmatch.fnmatchcase(call.name, self.operation):
            return False
        if self.containing and self.containing not in json.dumps(call.parameters, default=str):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.happened >= self.times):
            return False
        self.happened += 1
        return True

    def refusal(self, call: Call) -> Refused:
        """Return the refusal; by default that of IAM."""
        code = self.code or denial_code(call)
        return Refused(code, self.message, self.status or (400 if self.code else 403))


@dataclass
class Faults:
    """All faults, and the latency of each operation in ms."""

    faults: list[Fault] = field(default_factory=list)
    latency: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, given: Mapping[str, Any]) -> None:
        with self._lock:
            self.faults.append(Fault(**given))

    def reset(self) -> None:
        with self._lock:
            self.faults.clear()
            self.latency.clear()

    def of(self, call: Call) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.meets(call)), None)

    def seconds(self, call: Call) -> float:
        """Return the latency of a call, by the first pattern that matches."""
        for pattern, milliseconds in self.latency.items():
            if fnmatch.fnmatchcase(call.name, pattern):
                return milliseconds / 1000
        return 0.0

    def shown(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self.faults]


def denial_code(call: Call) -> str:
    """Return the error code of a service for a request that IAM denies."""
    if call.service == "ec2":
        return "UnauthorizedOperation"
    old = call.protocol in ("query", "rest-xml") or call.service in ("sqs", "cloudwatch")
    return "AccessDenied" if old else "AccessDeniedException"


def hang_up(environ: Mapping[str, Any]) -> None:
    """Close the connection without a response."""
    with contextlib.suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def kill_client(environ: Mapping[str, Any]) -> int | None:
    """Send SIGKILL to the process at the other end of the connection.

    Returns:
        Its ID; None if it was not found or is the process that started the emulator.
    """
    port = int(environ["REMOTE_PORT"])
    for connection in psutil.net_connections("tcp"):
        local = connection.laddr
        if local and local.port == port and connection.pid not in (None, os.getpid()):
            if connection.pid == os.getppid():
                return None
            os.kill(connection.pid, signal.SIGKILL)
            return int(connection.pid)
    return None
