"""Rows of a database: `sqlite:///file.db`, `postgresql://host/name`, whatever SQLAlchemy has a driver for.

The address is a parameter and so never holds a password: that comes from the environment (`GRAFT_SQL_USER`,
`GRAFT_SQL_PASSWORD`; PostgreSQL's own `PGUSER`, `PGPASSWORD` and service files do, too).
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.shared.errors import InputError, ServiceError
from components.shared.sources.columns import check_columns
from components.shared.sources.rows import Row
from components.shared.storage.storage import File

_ADDRESS = re.compile(r"(sqlite|postgresql|postgres|mysql|mariadb|mssql|oracle|snowflake|bigquery|redshift)(\+\w+)?://")
_AT_ONCE = 2000  # rows
_BYTES = 4 << 30  # assumed: nobody knows


def is_sql(source: str) -> bool:
    """Tells whether a source is the address of a database."""
    return _ADDRESS.match(source) is not None


def check_sql(source: str, query: str) -> None:
    """Raises `InputError` where an address holds a password, or no query is given.

    The message never repeats the password.
    """
    rest = source.partition("://")[2]
    before, at, _ = rest.rpartition("@")
    if (at and ":" in before) or re.search(r"[?&](password|passwd|pwd|sslpassword)=", source, re.IGNORECASE):
        raise InputError(
            "data.source is the address of a database with a password in it, and would be kept with everything that is "
            "made of it. Leave it out: GRAFT_SQL_PASSWORD in the environment (a secret on a cluster) is taken."
        )
    if not query.strip():
        raise InputError(
            f'data.source is a database ({source}): data.query was expected, such as "SELECT text, label FROM tickets".'
        )


def sql_file(source: str) -> File:
    """Returns the one file that a query is; nobody knows whether its rows are new, so that it is always read."""
    return File(source, source, _BYTES)


def read_sql(source: str, query: str, columns: Sequence[str]) -> Iterator[Row]:
    """Streams the rows that a query gives, in a transaction that writes nothing.

    Args:
        source: The address.
        query: What is asked.
        columns: The columns that are needed; empty: all.

    Raises:
        InputError: There is no such database, driver, table or column.
        ServiceError: The server did not answer.
    """
    import sqlalchemy

    engine = _engine(source)
    try:
        with _explained(source), engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            streamed = connection.execution_options(stream_results=True, yield_per=_AT_ONCE)
            result = streamed.execute(sqlalchemy.text(query.replace(":", r"\:")))
            if not result.returns_rows:
                raise InputError("data.query gives no rows; a SELECT was expected.")
            names = list(result.keys())
            check_columns(f"The query on {source}", names, columns)
            for number, values in enumerate(result, 1):
                given = dict(zip(names, map(_plain, values), strict=True))
                yield Row(f"{source}:{number}", source, None, {name: given[name] for name in columns or names})
    finally:
        engine.dispose()


def _plain(value: Any) -> Any:
    """Returns a value as other readers have it: numbers of a fixed point as floats or ints, memory as bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value if value is None or isinstance(value, str | bytes | bool | int | float) else str(value)


def _engine(source: str) -> Any:
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", source))
        if url.get_backend_name() == "sqlite":
            return _sqlite(url)
        user, password = os.environ.get("GRAFT_SQL_USER"), os.environ.get("GRAFT_SQL_PASSWORD")
        url = url.set(username=url.username or user, password=password) if user or password else url
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise InputError(f"{source} is no address of a database that is known ({error}).") from error
    except ImportError as error:
        raise InputError(
            f"The driver for {source.partition(':')[0]} is not installed ({error.name}). Install it beside graft, for "
            "PostgreSQL psycopg[binary]."
        ) from error


def _sqlite(url: Any) -> Any:
    """Opens a file that is there, for reading alone: SQLite would make one that is not."""
    import sqlite3

    import sqlalchemy

    path = Path(url.database or "")
    if not path.is_file():
        raise InputError(f"There is no database {str(path)!r} (looked from {Path.cwd()}). Check the path.")
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlalchemy.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sqlalchemy.NullPool
    )


@contextlib.contextmanager
def _explained(source: str) -> Iterator[None]:
    import sqlalchemy

    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        if isinstance(error, sqlalchemy.exc.OperationalError) and not source.startswith("sqlite"):
            raise ServiceError(f"The database at {source} did not answer: {reason}") from error
        raise InputError(f"data.query on {source} fails: {reason}") from error
