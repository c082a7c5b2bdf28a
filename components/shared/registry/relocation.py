"""A store that was moved or copied, or is seen at another path (a container): its addresses follow it.

MLflow keeps the absolute address of each artifact: a moved store would read and write at the old place. So whoever
opens one compares the place that it tells with the place where it is, and writes the new one everywhere, in one
transaction.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from components.shared.errors import ServiceError
from components.shared.process import locks

_MARK = "/mlflow-artifacts/"
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
    ("trace_tags", "value"),
)


def follow(database: Path, home: Path, in_use: Path) -> None:
    """Leads the addresses in a store to the folder in which it is now.

    Args:
        database: The SQLite file; a whole store.
        home: The folder that its artifacts are in.
        in_use: The lock that is held while somebody works with it, perhaps under another path.

    Raises:
        ServiceError: Somebody does.
    """
    with contextlib.closing(_open(database)) as connection:
        if not (left := _left(connection, home)):
            return
        if locks.is_held(in_use):
            raise ServiceError(
                f"{home} is in use under another path ({path_of(left[0])}): its addresses can lead to one of them "
                "only. Wait for who is using it, or give it the same path on both sides."
            )
        connection.execute("begin immediate")
        for old in _left(connection, home):
            new = home.as_uri() if "://" in old else str(home)
            for table, column in _columns(connection):
                _lead(connection, table, column, old + _MARK, new + _MARK)
        connection.commit()


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)


def _left(connection: sqlite3.Connection, home: Path) -> list[str]:
    """Returns the places that experiments tell of and that this store has left, as they are written there."""
    told = [location for (location,) in connection.execute("select artifact_location from experiments") if location]
    parted = {location.rpartition(_MARK)[::2] for location in told if _MARK in location}
    return sorted({old for old, name in parted if _has_left(old, name, home)})


def _has_left(old: str, name: str, home: Path) -> bool:
    """Tells whether artifacts are here, not where they were: who moves the file alone has left them there."""
    before = path_of(old)
    if before is None or before == home or _same(before, home):
        return False
    return _exists(home, name) or not _exists(before, name)


def path_of(address: str) -> Path | None:
    """Returns the path that an address of artifacts names on this machine; None of any other store."""
    if "://" not in address:
        return Path(address) if address.startswith("/") else None
    parsed = urlparse(address)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _exists(home: Path, name: str) -> bool:
    return Path(f"{home}{_MARK}{unquote(name)}").exists()


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for table, column in _COLUMNS:
        if any(found[1] == column for found in connection.execute(f"pragma table_info({table})")):
            yield table, column


def _lead(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    connection.execute(
        f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
        (new, len(old) + 1, len(old), old),
    )
