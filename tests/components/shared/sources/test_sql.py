"""Rows of a database: SQLite here, PostgreSQL where Debian's package is."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.errors import InputError
from pipelines.jobs.job import load_job
from tests.components.shared.sources.test_cases import TEXTS, examples
from tests.postgres import postgres, programs

QUERY = "SELECT body AS text, kind AS label FROM tickets WHERE body LIKE '%a%' AND kind <> ':x'"


@pytest.fixture
def database(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE TABLE tickets (body TEXT, kind TEXT)")
        connection.executemany("INSERT INTO tickets VALUES (?, ?)", TEXTS)
    connection.close()
    return f"sqlite:///{tmp_path}/t.db"


def test_a_query_gives_rows(database: str) -> None:
    found, _, source = examples(database, query=QUERY)
    assert [(example.inputs[0], example.label) for example in found] == TEXTS
    assert found[0].place == f"{database}:1"
    assert [file.stamp for file in source.files()] == [""]  # nobody knows whether they are new


def test_a_database_is_only_read(database: str) -> None:
    with pytest.raises(InputError, match="readonly database"):
        examples(database, query="DELETE FROM tickets")
    assert len(examples(database, query=QUERY)[0]) == 3


@pytest.mark.parametrize(
    ("source", "query", "message"),
    [
        ("", "", "data.query was expected"),
        ("", "SELECT body FROM tickets", "has no column 'text'; it has 'body'"),
        ("", "SELECT body AS text FROM nowhere", "data.query on .* fails: no such table: nowhere"),
        ("sqlite:///nowhere.db", QUERY, "There is no database 'nowhere.db'"),
        ("nowhere.csv", QUERY, "data.query is for databases"),
        ("mysql+nodriver://h/d", QUERY, "no address of a database that is known"),
        ('["sqlite:///t.db", "x.csv"]', "", "only files can be several"),
    ],
)
def test_what_cannot_be_asked_is_told(source: str, query: str, message: str, database: str) -> None:
    with pytest.raises(InputError, match=message):
        examples(source or database, query=query)


@pytest.mark.parametrize("address", ["postgresql://me:S3CRET@h/d", "postgresql://h/d?user=me&password=S3CRET"])
def test_an_address_never_holds_a_password(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GRAFT_SQL_PASSWORD") as found:
        examples(address, query=QUERY)
    assert "S3CRET" not in str(found.value)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"model: m\ntask: text-classification\nbackbone: b\n"
        f"data: {{source: '{address}', inputs: [text], label: label, query: 'SELECT 1'}}\n"
    )
    with pytest.raises(InputError, match="data.source: .*GRAFT_SQL_PASSWORD") as found:
        load_job(job)
    assert "S3CRET" not in str(found.value)


def test_a_job_takes_a_list_of_sources_and_a_query(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    base = "model: m\ntask: text-classification\nbackbone: b\ndata: {inputs: [text], label: label, "
    job.write_text(base + "source: [a.csv, 's3://b/x-*.csv']}\n")
    assert load_job(job).arguments()["source"] == '["a.csv", "s3://b/x-*.csv"]'
    job.write_text(base + "source: a.csv, query: SELECT 1}\n")
    with pytest.raises(InputError, match="data.query: .*for databases"):
        load_job(job)


@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
def test_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    folder = programs()
    assert folder is not None
    with postgres(folder) as address:
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE tickets (body TEXT, kind INT)")
            rows = "SELECT 'text ' || n, n % 2 FROM generate_series(1, 300) AS n"
            connection.execute(f"INSERT INTO tickets {rows}")
        monkeypatch.setenv("GRAFT_SQL_USER", "graft")
        monkeypatch.setenv("GRAFT_SQL_PASSWORD", "S3CRET")
        source = address.replace("graft@", "")
        query = "SELECT body AS text, kind::int AS label FROM tickets"
        report: Any = ingest(tmp_path / "s", IngestSettings(source, ["text"], "label", query=query))
        assert (report.read, report.labels) == (300, 2)
        kept = b"".join(path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file())
        assert b"S3CRET" not in kept
        with pytest.raises(InputError, match="read-only|syntax error"):
            examples(source, query="INSERT INTO tickets VALUES ('x', 1) RETURNING body AS text, kind AS label")
