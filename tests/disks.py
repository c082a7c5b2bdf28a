"""Disks that tests need not wait for; small ones, as only root can mount them: full, or not to be written."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.engine import Engine


def wait_for_none() -> None:
    """Lets this process write to no disk before it goes on: that is for power cuts, and no test cuts the power."""
    os.fsync = lambda number: None
    sqlalchemy.event.listen(Engine, "connect", _do_not_wait)


def _do_not_wait(database: Any, _: object) -> None:
    if isinstance(database, sqlite3.Connection):
        database.execute("PRAGMA synchronous = OFF")


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts a disk in memory for the length of a block; without the right to, the test is skipped.

    Args:
        folder: Where; it is made.
        size: As `mount` takes it, as in "800k".
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Changes a disk, as in "size=50m" or "ro"."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
