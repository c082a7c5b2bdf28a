"""A Python for the tests' own child processes that starts in no time: what takes seconds to import it has imported.

It forks from one process for all workers (`tests.preloaded`); all else is as of a Python of its own: arguments,
streams, environment, folder, exit code, signals. What tests how a process begins, or what it may import, wants
`sys.executable`, and so does what sets variables that libraries read when they are imported.
"""

import fcntl
import functools
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.preloaded import ITSELF

ROOT = Path(__file__).parent.parent
ENVIRONMENT = dict(os.environ)  # as it was before any test
_PATIENCE = 300  # seconds until it must have imported
_CLIENT = """
import json, os, signal, socket, sys
path, python, *arguments = sys.argv[1:]
if arguments[:1] not in (["-m"], ["-c"]):
    os.execv(python, [python, *arguments])
interrupt = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
there = socket.socket(socket.AF_UNIX)
there.connect(path)
told = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd(), "interrupt": interrupt}
socket.send_fds(there, [json.dumps(told).encode() + b"\\n"], [0, 1, 2])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, _: there.send(bytes([number])))
code = int(there.recv(64) or 1)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def quick_python() -> str:
    """Returns what to run in the place of `sys.executable`."""
    if not sys.platform.startswith("linux"):
        return sys.executable
    parent, folder = os.environ["GRAFT_TESTS"].split(":", 1)
    launcher = Path(folder, "python")
    with Path(folder, "python.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not launcher.exists():
            _start(Path(folder), parent, launcher)
    return str(launcher)


def _start(folder: Path, parent: str, launcher: Path) -> None:
    path, client = folder / "python.socket", folder / "python-client.py"
    environment = {**ENVIRONMENT, "TMPDIR": str(folder)}  # a worker's own goes with the worker
    command = [sys.executable, "-m", "tests.preloaded", str(path), str(folder / "python.db"), parent]
    with (folder / "python.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        assert server.poll() is None, (folder / "python.log").read_text()
        assert time.monotonic() < end, "it has not imported everything yet"
        time.sleep(0.05)
    client.write_text(_CLIENT)
    words = shlex.join([sys.executable, "-IS", str(client), str(path), sys.executable])
    new = launcher.with_name("python.new")
    new.write_text(f'#!/bin/sh\nexport {ITSELF}={shlex.quote(str(launcher))}\nexec {words} "$@"\n')
    new.chmod(0o755)
    new.rename(launcher)
