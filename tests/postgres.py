"""A PostgreSQL server on loopback for tests, from Debian's package."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers import free_port

_PATIENCE = 60  # seconds until it must answer


def programs() -> Path | None:
    """Returns the folder that holds PostgreSQL's programs, the newest; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """Starts a server with an empty database; gives its address. It refuses to run as root: then as user postgres."""
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.getuid() == 0 else {}
    port = free_port()
    # Not where the tests write: that folder is closed to other users.
    with tempfile.TemporaryDirectory(prefix="graft-postgres-", dir="/tmp") as scratch:
        data = Path(scratch) / "data"
        if user:
            shutil.chown(scratch, "postgres")
        made = [programs / "initdb", "--pgdata", data, "--username=graft", "--auth=trust", "--no-sync"]
        subprocess.run(made, cwd=scratch, check=True, capture_output=True, **user)
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={scratch}", "-c", "fsync=off"]
        with (Path(scratch) / "log").open("wb") as log:
            command = [programs / "postgres", "-D", data, "-p", str(port), *settings]
            server = subprocess.Popen(command, cwd=scratch, stdout=log, stderr=log, **user)
        try:
            _wait(server, programs, port, Path(scratch) / "log")
            yield f"postgresql://graft@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", programs: Path, port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        asked = [programs / "pg_isready", "--host=127.0.0.1", f"--port={port}", "--quiet"]
        if subprocess.run(asked, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not answer:\n{log.read_text(errors='replace')}")
