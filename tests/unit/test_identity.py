"""What ECS and EC2 report about where a worker runs."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from ds.worker.identity import HostIdentity, host_identity


class Metadata(http.server.BaseHTTPRequestHandler):
    """ECS's task metadata, and IMDSv2, which answers only with the token that it gave."""

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token"
        self._answer(
            "secret" if known and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else ""
        )

    def do_GET(self) -> None:
        answers = {"/latest/meta-data/instance-id": "i-0abc", "/v4/id/task": json.dumps(TASK)}
        answers["/latest/meta-data/instance-type"] = "m5.large"
        allowed = (
            self.path.startswith("/v4") or self.headers["X-aws-ec2-metadata-token"] == "secret"
        )
        self._answer(answers.get(self.path, "") if allowed else "")

    def _answer(self, text: str) -> None:
        self.send_response(200 if text else 401)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


TASK = {"TaskARN": "arn:aws:ecs:us-east-1:1:task/cluster/0123456789abcdef"}


@pytest.fixture
def metadata() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        serve = partial(server.serve_forever, poll_interval=0.001)
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_machine_and_task_are_found(metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    environment = {
        "ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/v4/id",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata,
    }
    assert host_identity(environment) == HostIdentity("i-0abc", "m5.large", "0123456789abcdef")


def test_what_is_disabled_is_not_asked(metadata: str) -> None:
    environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata}
    assert host_identity(environment) == HostIdentity("i-0abc", "m5.large")
    assert host_identity({**environment, "AWS_EC2_METADATA_DISABLED": "true"}) == HostIdentity()


@pytest.mark.parametrize(
    "environment",
    [
        {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
            "ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:1/v4",
        },
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "file:///etc"},
    ],
)
def test_what_does_not_answer_is_left_out(environment: dict[str, str]) -> None:
    assert host_identity(environment) == HostIdentity()
