"""Real services on loopback for tests: an S3 endpoint, an HTTP server that stands for the hub."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from moto.server import ThreadedMotoServer

_PATIENCE = 120  # seconds until a server must answer


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Gives the address of moto's S3 over HTTP, empty: its buckets belong to the process, and so does the server."""
    host, port = _moto().get_host_and_port()
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=30)
    yield f"http://{host}:{port}"


@functools.cache
def _moto() -> ThreadedMotoServer:
    """Starts the server; it takes half a second to stop, so it is left to the process's end."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    return server


@contextlib.contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Starts an HTTP server on loopback; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # stops at once
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def file_server(answers: Mapping[str, tuple[int, Mapping[str, str], bytes]]) -> Iterator[str]:
    """Starts an HTTP server that gives fixed answers (status, headers, body) by path, and 404 for all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path.partition("?")[0], (404, {}, b"{}"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http_server(Handler) as address:
        yield address


@dataclass
class Webhook:
    """A server that takes JSON.

    Attributes:
        address: Where to; it holds a token.
        answers: The statuses of its next answers, each with headers; after them it takes what comes.
        requests: How often it was asked.
        taken: The bodies of what it took.
    """

    address: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: int = 0
    taken: list[Any] = field(default_factory=list)


WEBHOOK_TOKEN = "T0KEN-that-nobody-may-see"


@contextlib.contextmanager
def webhook_server(*statuses: int) -> Iterator[Webhook]:
    """Starts a webhook that first gives the statuses."""
    webhook = Webhook(answers=[(status, {}) for status in statuses])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            webhook.requests += 1
            status, headers = webhook.answers.pop(0) if webhook.answers else (200, {})
            if status < 300:
                webhook.taken.append(body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http_server(Handler) as address:
        webhook.address = f"{address}/services/{WEBHOOK_TOKEN}"
        yield webhook


def free_port() -> int:
    """Returns a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    arguments: Sequence[str],
    folder: Path,
    health: str = "/health",
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Runs `python -m mlflow ARGUMENTS --host … --port …` in a folder; gives its address once `health` answers."""
    port = port or free_port()
    command = [python, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_environment(python), **(environment or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{health}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(python: str) -> dict[str, str]:
    """MLflow starts uvicorn by its name; its runner of background jobs is of no use here."""
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"{address} did not answer:\n{log.read_text(errors='replace')[-4000:]}")
