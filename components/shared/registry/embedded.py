"""MLflow's store in a SQLite file: made as a whole or not at all, by one process; a broken one is mended or named.

MLflow itself makes the file where it is to be, in some forty migrations that are not atomic: a second process, or a
kill, in that second leaves a file that no later call opens. So it is made under a lock, in a file beside it, and
renamed. What an older graft left half-made, and holds nothing, is made anew; one that holds something is never touched.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import re
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from components.shared.artifacts import durable
from components.shared.errors import InputError, ServiceError
from components.shared.process import locks
from components.shared.registry import relocation

SQLITE = "sqlite:///"
ARTIFACTS = "mlflow-artifacts"
"""The folder beside the file that holds the artifacts of its runs."""

_PATIENCE = 300  # seconds for another process to make the store
_BUSY = 30  # seconds for another process to end its write
_REVISION = re.compile(r"""^(down_)?revision(?:: [^=]*)? *= *(.*)$""", re.MULTILINE)
_ID = re.compile(r"""["']([0-9a-f]+)["']""")
_CONTENT = {"runs": "runs", "registered_models": "models", "model_versions": "versions", "experiments": "experiments"}
_HALF = "_alembic_tmp_"  # what a migration calls a table that it is changing


def file_of(uri: str) -> Path:
    """Returns the path of a store (`sqlite:///…`)."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute()


def ensure(path: Path) -> None:
    """Makes the store where there is none, mends one that was left half-made, and leads a moved one to its artifacts.

    Costs a millisecond where there is nothing to do; MLflow is imported only to make one.

    Raises:
        InputError: The file is no store of this MLflow, and holds something.
        ServiceError: The disk is full, or another process does not end.
    """
    if not _is_whole(path):
        with _explained(path), locks.held(_lock(path), patience=_PATIENCE, doing=f"making {path}"):
            if not _is_whole(path):
                _set_aside(path)
                _make(path)
    with _explained(path):
        relocation.follow(path, path.parent, in_use=_use(path))


def check(path: Path) -> None:
    """Looks at a store that is there; nothing is made or changed.

    Raises:
        InputError: It is none, or broken: how it is mended is told.
        ServiceError: Another process does not end its write.
    """
    if _is_whole(path) or _is_absent(path):
        return
    if not _content(path):
        raise InputError(
            f"{path} was left half-made by a process that was killed, and holds nothing. The next command that uses it "
            "makes it anew (graft models list)."
        )


def using(path: Path) -> AbstractContextManager[None]:
    """Holds, for the length of a block, that a process works with a store: nothing is cleared from it, or moved."""
    return locks.held(_use(path), shared=True, patience=_PATIENCE, doing="clearing up")


def alone(path: Path) -> AbstractContextManager[None]:
    """Holds that no other process works with a store.

    Raises:
        ServiceError: One does.
    """
    return locks.held(_use(path), doing=f"at work with {path}")


def open_store(path: Path) -> sqlite3.Connection:
    """Opens the file that is there, to read or to write."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY)


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _use(path: Path) -> Path:
    return path.with_name(f"{path.name}.use")


def _is_absent(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def _is_whole(path: Path) -> bool:
    """Tells whether a file is a store as this MLflow makes it: the migrations write the last revision at their end."""
    if _is_absent(path):
        return False
    with _explained(path), contextlib.closing(open_store(path)) as database:
        return _revision(database) == _revisions()[0]


def _revision(database: sqlite3.Connection) -> str:
    if not database.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone():
        return ""
    return str((database.execute("select version_num from alembic_version").fetchone() or [""])[0])


@functools.cache
def _revisions() -> tuple[str, frozenset[str]]:
    """Returns the last revision of the installed MLflow's tables, and all of them; read, as importing takes seconds."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    known, followed = set[str](), set[str]()
    for file in (Path(spec.origin).parent / "store/db_migrations/versions").glob("*.py"):
        for down, value in _REVISION.findall(file.read_text("utf-8")):
            (followed if down else known).update(_ID.findall(value))
    (last,) = known - followed
    return last, frozenset(known)


def _set_aside(path: Path) -> None:
    """Puts away what was left half-made.

    Raises:
        InputError: It holds something.
    """
    if _is_absent(path):
        return
    if _content(path):  # raises
        return
    aside = path.with_name(f"{path.name}.broken")
    path.replace(aside)
    print(
        f"graft: {path} was left half-made by a process that was killed, and held nothing: made anew ({aside.name} is "
        "what was there)",
        file=sys.stderr,
        flush=True,
    )


def _content(path: Path) -> str:
    """Returns "" of a store without content.

    Raises:
        InputError: It holds something: what it is, and how it is mended.
    """
    with _explained(path), contextlib.closing(open_store(path)) as database:
        held, revision = dict(_counts(database)), _revision(database)
    if not any(held.values()):
        return ""
    last, known = _revisions()
    told = ", ".join(f"{count} {name}" for name, count in held.items() if count)
    version = importlib.metadata.version("mlflow")
    if revision and revision not in known:
        raise InputError(
            f"{path} ({told}) was made by a newer MLflow than the {version} that is installed (its revision {revision} "
            "is not known here). Install that MLflow, or name another file (MLFLOW_TRACKING_URI, --root)."
        )
    raise InputError(
        f"{path} ({told}) has not the tables of MLflow {version} (revision {revision or 'none'}, {last} was expected): "
        "an older MLflow made it, or its migration was killed half-way. Keep a copy of the file, then run: mlflow db "
        f"upgrade {SQLITE}{path} - where that fails, take back a backup: graft restore FILE --root DIR."
    )


def _counts(database: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Yields how much there is of each kind; a table that a migration was changing may be there under two names."""
    there = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    if there and not there & {*_CONTENT, *(f"{_HALF}{name}" for name in _CONTENT), "alembic_version"}:
        yield "tables of something else", len(there)
    for table, told in _CONTENT.items():
        rows = [database.execute(f"select count(*) from {name}").fetchone()[0]
                for name in (table, f"{_HALF}{table}") if name in there]  # fmt: skip
        yield told, max(0, max(rows, default=0) - (table == "experiments"))  # MLflow makes the first one itself


def _make(path: Path) -> None:
    """Makes the store beside its place, and puts it there.

    The migrations would wait for the disk more than a thousand times, which takes seconds; a file that nobody knows of
    yet needs that once, at its end.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    for left in path.parent.glob(f"{path.name}.new-*"):  # by a process that was killed: this one has the lock
        left.unlink(missing_ok=True)
    new = path.with_name(f"{path.name}.new-{uuid.uuid4().hex}")  # MLflow keeps connections by name

    def do_not_wait(database: Any, _: object) -> None:
        if not isinstance(database, sqlite3.Connection):
            return
        if any(Path(file).name == new.name for _, _, file in database.execute("PRAGMA database_list")):
            database.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", do_not_wait)
    try:
        store = SqlAlchemyStore(f"{SQLITE}{new}", (path.parent / ARTIFACTS).as_uri())  # type: ignore[no-untyped-call]
        store.engine.dispose()
        durable.publish(new, path)
    finally:
        event.remove(Engine, "connect", do_not_wait)
        _clear(new)


def _clear(path: Path) -> None:
    """Removes a database, with what SQLite keeps beside it."""
    for name in (path.name, f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tells SQLite's errors in our words, those in MLflow's and SQLAlchemy's wrapping, too."""
    try:
        yield
    except Exception as error:
        if (cause := sqlite_error(error)) is None:
            raise
        raise explain(path, cause) from error


def sqlite_error(error: BaseException) -> sqlite3.Error | None:
    """Returns the error of SQLite's that is behind another one; None where there is none."""
    following: BaseException | None = error
    for _ in range(10):
        if following is None or isinstance(following, sqlite3.Error):
            return following
        following = following.__cause__ or following.__context__
    return None


def explain(path: Path, error: sqlite3.Error) -> InputError | ServiceError:
    """Returns an error of SQLite's in our words."""
    told = str(error)
    if "is full" in told or "disk I/O error" in told:
        return ServiceError(
            f"The disk is full: {path} cannot be written ({told}). Nothing half-written was left. Free some space, or "
            "choose another disk (graft run --root DIR)."
        )
    if "readonly" in told or "unable to open" in told:
        return InputError(f"{path} cannot be written ({told}). Give it to who runs this, or name another --root DIR.")
    if "locked" in told:
        return ServiceError(f"Another process has been writing to {path} for {_BUSY} s ({told}). Try again.")
    if "not a database" in told or "malformed" in told:
        return InputError(
            f"{path} is no MLflow store, or damaged ({told}). Take back a backup (graft restore FILE --root DIR), or "
            "name another file."
        )
    return ServiceError(f"{path} failed: {told}")
