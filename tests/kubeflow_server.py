"""A Kubeflow Pipelines server over HTTP for tests; what goes wrong with its answers, `Kubeflow.fail` says."""

import contextlib
import copy
import email
import email.policy
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kubeflow_state import CODES, Kubeflow, Refusal


@contextlib.contextmanager
def kubeflow_server(**state: Any) -> Iterator[Kubeflow]:
    """Starts a server; its address and all its state are in what this gives."""
    kubeflow = Kubeflow(**state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kubeflow": kubeflow}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    kubeflow.url = f"http://127.0.0.1:{server.server_port}/pipeline"
    try:
        yield kubeflow
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kubeflow: Kubeflow

    def do_GET(self) -> None:
        kubeflow = self.kubeflow
        url = urllib.parse.urlsplit(self.path)
        path, query = url.path.removeprefix("/pipeline"), dict(urllib.parse.parse_qsl(url.query))
        body, call = self._body(), f"{self.command} {path}"
        with kubeflow.lock:  # one at a time, so that what happens is one after the other
            kubeflow.calls.append(call)
            fault = next((fault.kind for fault in kubeflow.faults if fault.befalls(call)), None)
            status, answer = self._act(path, query, body) if fault in (None, "lost", "late") else (0, None)
        if fault == "late":
            time.sleep(kubeflow.late)
        if fault in ("lost", "late", "dead"):
            self.close_connection = True
            return
        if fault:
            status = 503 if fault == "unavailable" else int(fault)
            answer = {"code": CODES.get(status, 2), "message": f"{fault}, as the test wants it"}
        self._send(status, answer)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _act(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.kubeflow.token and self.headers.get("Authorization") != f"Bearer {self.kubeflow.token}":
            return 401, {"code": 16, "message": "Request header error: there is no user identity header."}
        try:
            answer = copy.deepcopy(self.kubeflow.answer(self.command, path, query, body))
        except Refusal as refusal:
            return refusal.status, {"code": CODES[refusal.status], "message": str(refusal), "details": []}
        self.kubeflow.watch(self.kubeflow)
        return 200, answer

    def _body(self) -> Any:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/"):
            whole = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw
            message = email.message_from_bytes(whole, policy=email.policy.HTTP)
            return next(message.iter_parts()).get_payload(decode=True).decode()
        return json.loads(raw) if raw else {}

    def _send(self, status: int, answer: Any) -> None:
        plain = isinstance(answer, str)
        data = answer.encode() if plain else json.dumps(answer).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
