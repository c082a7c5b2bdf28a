"""A proxy between a client and a real server that breaks things on purpose, by chance or by plan.

It speaks HTTP on loopback, forwards each request to the server (new connection each), and changes the answer: a status
in its place, silence, a reset, a body cut off or with a bit flipped; or it slows things down.
"""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_PIECE = 1 << 20
_HOP = {"connection", "transfer-encoding", "keep-alive"}

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@dataclass
class Faults:
    """What the proxy does, which may be changed while it runs.

    Attributes:
        rate: How often something is broken: 0 to 1 of the calls that `on` picks.
        kinds: What: "503", "500", "403", "reset" (the connection), "hang" (no answer),
            "lost" (it is done, but the answer does not arrive), "truncate", "flip" (of the
            answer's body), "flip-upload" (of the request's).
        on: Which calls, by method and path.
        hang: Seconds for which a hanging call is held.
        latency: Seconds before each answer.
        bandwidth: Bytes a second of each connection; 0: as fast as it goes.
        down: Whether every connection is closed at once, as by a server that is away.
        seed: Of the chance.
        calls: What came, method and path.
        broken: How many were broken, by kind.
    """

    rate: float = 0.0
    kinds: tuple[str, ...] = ("503",)
    on: Callable[[str, str], bool] = lambda method, path: True
    hang: float = 60.0
    latency: float = 0.0
    bandwidth: float = 0.0
    down: bool = False
    seed: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance, self._lock = random.Random(self.seed), threading.Lock()

    def draw(self, method: str, path: str) -> str:
        """Returns what is to become of a call; "" for nothing."""
        with self._lock:
            self.calls.append((method, path))
            if not self.rate or not self.on(method, path) or self._chance.random() >= self.rate:
                return ""
            kind = self._chance.choice(self.kinds)
            self.broken[kind] = self.broken.get(kind, 0) + 1
            return kind

    def place(self, size: int) -> int:
        """Draws a place in a body."""
        with self._lock:
            return self._chance.randrange(size)


@contextlib.contextmanager
def proxy(server: str, faults: Faults) -> Iterator[str]:
    """Starts a proxy before a server; gives its address."""
    told = urlsplit(server)
    assert told.hostname, server

    class Handler(_Handler):
        upstream = (told.hostname or "", told.port or 80)
        plan = faults

    running = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away: that is what they are tried with."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: tuple[str, int]
    plan: Faults

    def handle_one_request(self) -> None:
        if self.plan.down:
            self._reset()
            return
        super().handle_one_request()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.plan.draw(self.command, self.path)
        if kind == "hang":
            time.sleep(self.plan.hang)
        if kind == "lost":
            self._forward(body)
        if kind in ("hang", "reset", "lost"):
            self._reset()
        elif kind.isdigit():
            self._send(int(kind), [("Content-Type", "application/xml")], SLOW_DOWN if kind == "503" else b"")
        else:
            time.sleep(self.plan.latency)
            self._send(*self._forward(self._flipped(body) if kind == "flip-upload" else body), kind=kind)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _answer  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.upstream, timeout=120)
        try:
            # The signature covers the host that the client was told: the server must see that one.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP | {"expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            return answer.status, headers, answer.read()
        finally:
            upstream.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, kind: str = "") -> None:
        if kind == "flip" and body:
            body = self._flipped(body)
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        for name, value in headers:
            if is_head or name.lower() != "content-length":
                self.send_header(name, value)
        if not is_head:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "truncate" and body:
            self._write(body[: self.plan.place(len(body))])
            self._reset()
        elif not is_head:
            self._write(body)

    def _write(self, body: bytes) -> None:
        view, began = memoryview(body), time.monotonic()
        for at in range(0, len(view), _PIECE):
            self.wfile.write(view[at : at + _PIECE])
            if self.plan.bandwidth:
                time.sleep(max(0.0, (at + _PIECE) / self.plan.bandwidth - (time.monotonic() - began)))

    def _flipped(self, body: bytes) -> bytes:
        changed = bytearray(body)
        if changed:
            changed[self.plan.place(len(changed))] ^= 1 << self.plan.place(8)
        return bytes(changed)

    def _reset(self) -> None:
        """Closes the connection with RST, as a machine does that knows nothing of it."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
