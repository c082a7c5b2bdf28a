"""An object store at the far end of a line: objects in files, sent by the kernel, so that it costs hardly any CPU here.

A store that is a Python process beside its client is what one measures, not the client. This one answers what boto3
asks of one bucket (PUT of an object, HEAD, GET of a range) after a latency, and sends at most so many bytes a second
over each connection and over all of them, as a network does.

    python benchmarks/line.py FOLDER --latency 0.02 --rate 100e6 --line 1.25e9        prints its address
"""

import argparse
import contextlib
import hashlib
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

_PIECE = 1 << 20


class Pace:
    """A bound of bytes a second, shared by whoever sends."""

    def __init__(self, rate: float) -> None:
        self._rate, self._lock, self._free = rate, threading.Lock(), time.monotonic()

    def wait(self, size: int) -> None:
        """Returns when so many bytes would be through."""
        if not self._rate:
            return
        with self._lock:
            self._free = max(self._free, time.monotonic()) + size / self._rate
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))


class Store(BaseHTTPRequestHandler):
    """One connection to the store."""

    protocol_version = "HTTP/1.1"
    folder: Path
    latency = 0.0
    rate = 0.0
    line = Pace(0)
    etags: dict[str, str]

    def setup(self) -> None:
        """Gives the connection a pace of its own."""
        super().setup()
        self._own = Pace(self.rate)

    def do_PUT(self) -> None:
        """Takes an object, or the bucket."""
        left = int(self.headers.get("Content-Length") or 0)
        digest, path = hashlib.md5(usedforsecurity=False), self._path()
        with path.open("wb") if path.suffix != ".bucket" else contextlib.nullcontext() as file:
            while left:
                piece = self.rfile.read(min(_PIECE, left))
                left -= len(piece)
                digest.update(piece)
                if file is not None:
                    file.write(piece)
                self._go(len(piece))
        self.etags[path.name] = f'"{digest.hexdigest()}"'
        self._answer(200, {"ETag": self.etags[path.name], "Content-Length": "0"})

    def do_HEAD(self) -> None:
        """Tells of an object."""
        path = self._path()
        if path.name in self.etags:
            told = {"ETag": self.etags[path.name], "Content-Length": str(path.stat().st_size)}
            self._answer(200, {**told, "Accept-Ranges": "bytes"})
        else:
            self._answer(404, {"Content-Length": "0"})

    def do_GET(self) -> None:
        """Sends an object, or a range of it."""
        path = self._path()
        size = path.stat().st_size
        told = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(told[1]), min(size, int(told[2] or size - 1) + 1)) if told else (0, size)
        headers = {"ETag": self.etags[path.name], "Content-Length": str(end - start)}
        if told:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._answer(206 if told else 200, headers)
        self.wfile.flush()
        with path.open("rb") as file:
            self._send(file, start, end)

    def _send(self, file: BinaryIO, start: int, end: int) -> None:
        while start < end:
            sent = os.sendfile(self.connection.fileno(), file.fileno(), start, min(_PIECE, end - start))
            start += sent
            self._go(sent)

    def _go(self, size: int) -> None:
        self._own.wait(size)
        self.line.wait(size)

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        time.sleep(self.latency)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _path(self) -> Path:
        _, _, key = unquote(self.path.partition("?")[0]).lstrip("/").partition("/")
        return self.folder / (key.replace("/", "+") or ".bucket")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tells nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128


def main() -> None:
    """Runs the store until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where objects are kept; one in memory, such as /dev/shm/…, is best")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of each connection; 0: no bound")
    parser.add_argument("--line", type=float, default=0.0, help="bytes a second of all of them; 0: no bound")
    given = parser.parse_args()
    fields = {"folder": given.folder, "latency": given.latency, "rate": given.rate, "line": Pace(given.line)}
    server = _Server(("127.0.0.1", 0), type("Handler", (Store,), {**fields, "etags": {}}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        input()


if __name__ == "__main__":
    main()
