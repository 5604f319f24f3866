"""A proxy in front of the emulator that sees every request, and can let it go wrong."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Judge = Callable[[str, str], str]
"""Takes the method and path of a request; returns one of FAULTS, or "" to forward it unchanged."""

FAULTS = ("500", "503", "reset", "lost", "slow", "cut")
"""An error status; a connection closed before or after the request is done; a second's delay; half
of the body."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, judge: Judge) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.upstream = urlsplit(upstream).netloc
        self.judge = judge

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: tests kill clients, and their connections break."""


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def forward(self) -> None:
        body = self._body()
        fault = self.server.judge(self.command, self.path)
        if fault in ("500", "503"):
            return self._respond(int(fault), {}, b"")
        if fault == "reset":
            return self._hang_up()
        if fault == "slow":
            time.sleep(1)
        connection = http.client.HTTPConnection(self.server.upstream)
        headers = {
            name: text
            for name, text in self.headers.items()
            if name.lower() not in ("expect", "transfer-encoding")
        }
        # The AWS chunks of a body are its own; it is passed on with its length.
        connection.request(self.command, self.path, body, {**headers, "Content-Length": len(body)})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "lost":
            return self._hang_up()
        headers = {
            name: text
            for name, text in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "server", "date")
        }
        return self._respond(answer.status, headers, content, cut=fault == "cut")

    def _respond(
        self, status: int, headers: dict[str, str], content: bytes, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def proxy(upstream: str, judge: Judge) -> Iterator[str]:
    """Run a proxy; yield its URL."""
    with _Server(upstream, judge) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
