"""MLflow's store in a SQLite file: two at once, kills, full disks, what older grafts left, another place."""

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import InputError, ServiceError
from components.shared.registry import embedded, tracking
from tests.components.shared.promoters import FORKED, Starter
from tests.components.shared.stores import half_made
from tests.disks import remount, small_disk


def open_store(path: Path) -> None:
    """Uses the store as each command does."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{path}"
    client = tracking.client()
    with tracking.explained("listing the models"):
        client.search_registered_models()


def open_at_once(path: Path, count: int) -> list[int | None]:
    """Opens a store in several processes at once; returns their exit codes."""
    barrier = FORKED.Barrier(count, timeout=60)
    processes = [FORKED.Process(target=_open_behind, args=(barrier, path)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _open_behind(barrier: Any, path: Path) -> None:
    barrier.wait()
    open_store(path)


def end_half_way(path: Path, number: int) -> tuple[int | None, int]:
    """Ends a process that makes a store once half of it is written; returns its exit code, and the bytes there."""
    process = FORKED.Process(target=_open_from_a_terminal, args=(path,))
    process.start()
    while process.exitcode is None and not (written := _bytes(path)) > 120_000:
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    return process.exitcode, written


def _open_from_a_terminal(path: Path) -> None:
    """Hears of Ctrl-C, also where the tests run in the background of a shell, which has its children ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    open_store(path)


def _bytes(path: Path) -> int:
    total = 0
    for file in path.parent.glob(f"{path.name}*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def test_two_processes_that_start_on_a_new_root_both_find_a_whole_store(tmp_path: Path, fork: Starter) -> None:
    assert fork(open_at_once, tmp_path / "mlflow.db", 3) == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_first_start_that_is_ended_half_way_leaves_nothing_broken(tmp_path: Path, fork: Starter, number: int) -> None:
    path = tmp_path / "mlflow.db"
    code, written = fork(end_half_way, path, number)
    assert code != 0
    assert written > 120_000  # it was at it
    assert fork(open_at_once, path, 1) == [0]
    assert not list(tmp_path.glob("*.new*"))


@pytest.mark.case(4)
def test_a_full_disk_is_told_and_the_store_is_made_once_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "400k") as disk:
        with pytest.raises(ServiceError, match=r"The disk is full: .*mlflow.db cannot be written.*Free some space"):
            embedded.ensure(disk / "mlflow.db")
        assert [path.name for path in disk.iterdir()] == ["mlflow.db.lock"]
        remount(disk, "size=50m")
        embedded.ensure(disk / "mlflow.db")


@pytest.mark.case(4)
def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        remount(disk, "ro")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
        with pytest.raises(InputError, match="may not be written"):
            tracking.client()


def test_what_was_left_half_made_and_holds_nothing_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = half_made(tmp_path / "mlflow.db")
    before = path.read_bytes()
    with pytest.raises(InputError, match="was left half-made by a process that was killed, and holds nothing"):
        embedded.check(path)
    open_store(path)
    assert "left half-made by a process that was killed, and held nothing" in capsys.readouterr().err
    assert (tmp_path / "mlflow.db.broken").read_bytes() == before
    embedded.check(path)


def test_what_was_left_half_made_and_holds_something_is_named_and_left_alone(tmp_path: Path) -> None:
    path = half_made(tmp_path / "mlflow.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("insert into runs (run_uuid, experiment_id) values ('a', 1)")
        database.commit()
    before = path.read_bytes()
    for look in (embedded.check, embedded.ensure):
        with pytest.raises(InputError, match=r"\(1 runs\) has not the tables of MLflow .*mlflow db upgrade sqlite:///"):
            look(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"this is no database, whatever its name is" * 100, "is no MLflow store, or damaged"),
        ("create table notes (text)", "1 tables of something else"),
        ("create table alembic_version (version_num); insert into alembic_version values ('ffffffffffff');"
         "create table runs (id); insert into runs values (1)", "was made by a newer MLflow"),
    ],
)  # fmt: skip
def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes | str, told: str) -> None:
    path = tmp_path / "mlflow.db"
    if isinstance(content, str):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.executescript(content)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(InputError, match=told):
        embedded.ensure(path)
    assert path.read_bytes() == before


def test_a_driver_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://graft:S3CRET@127.0.0.1:9/mlflow")
    told = "MySQLdb, is not installed here: pip install mysqlclient"
    with pytest.raises(InputError, match=told) as caught, tracking.explained("listing the models"):
        tracking.client().search_registered_models()
    assert "S3CRET" not in str(caught.value)


def lead(folder: Path) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"


def make_home(folder: Path) -> None:
    """Makes, in a process of its own, a run that has an artifact, and a version that lies there."""
    process = FORKED.Process(target=_make_home, args=(folder,))
    process.start()
    process.join()


def _make_home(folder: Path) -> None:
    lead(folder)
    client = tracking.client()
    run = client.create_run(tracking.experiment_id(client, "ships"))
    client.log_text(run.info.run_id, "hello", "model/note.txt")
    client.create_registered_model("ships")
    client.create_model_version("ships", f"{run.info.artifact_uri}/model", run.info.run_id)


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, fork: Starter) -> Path:
    """A root with a version."""
    folder = tmp_path / "über here/a"
    folder.mkdir(parents=True)
    shutil.copyfile(empty_database, folder / "mlflow.db")
    fork(make_home, folder)
    return folder


def source() -> str:
    return str(tracking.client().get_model_version("ships", "1").source)


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_a_root_at_another_place_reads_and_writes_there(tmp_path: Path, home: Path, move: Any) -> None:
    before = home / "mlflow-artifacts"
    names = sorted(path.relative_to(before) for path in before.rglob("*"))
    new = Path(move(home, tmp_path / "there"))
    lead(new)
    client = tracking.client()
    assert source().startswith(new.as_uri())
    assert client.get_model_version_download_uri("ships", "1").startswith(new.as_uri())
    run_id = str(client.get_model_version("ships", "1").run_id)
    assert Path(client.download_artifacts(run_id, "model/note.txt")).read_text() == "hello"
    client.log_text(run_id, "new", "new.txt")
    made = client.create_run(tracking.experiment_id(client, "ships"))
    client.log_text(made.info.run_id, "new", "new.txt")
    assert len(list(new.rglob("new.txt"))) == 2
    assert home.exists() == before.exists() == (move is shutil.copytree)
    assert not before.exists() or sorted(path.relative_to(before) for path in before.rglob("*")) == names


def test_a_root_behind_a_link_is_where_it_was(tmp_path: Path, home: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    lead(tmp_path / "link")
    assert source().startswith(home.as_uri())


def test_a_store_whose_artifacts_stayed_where_they_were_finds_them(tmp_path: Path, home: Path) -> None:
    (tmp_path / "there").mkdir()
    shutil.move(home / "mlflow.db", tmp_path / "there/mlflow.db")
    lead(tmp_path / "there")
    assert source().startswith(home.as_uri())


def test_addresses_are_not_changed_under_a_run_that_sees_the_root_at_another_path(tmp_path: Path, home: Path) -> None:
    """A container and its host, say: it would write to a path that only the other side has."""
    new = Path(shutil.move(home, tmp_path / "there"))
    lead(new)
    with embedded.using(new / "mlflow.db"), pytest.raises(ServiceError, match="is in use under another path"):
        tracking.client()
    assert source().startswith(new.as_uri())
