"""`graft backup` and `graft restore`: a root as one archive, taken while it is used, whole or not at all."""

import hashlib
import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from components.shared import prediction
from components.shared.registry import registry, tracking
from pipelines.local import attempts
from tests.components.shared.promoters import FORKED, starter
from tests.disks import small_disk
from tests.pipelines.roots import WEIGHTS, files_below, graft, make_root, packages


@pytest.fixture
def root(tmp_path: Path, model: Path, empty_database: Path) -> Path:
    make_root(tmp_path / "root", model, empty_database)
    return tmp_path / "root"


def back_up_while_written(root: Path, file: Path) -> tuple[int, int]:
    """Backs up while another process writes to the store; returns the exit code, and how many runs it wrote."""
    writer = FORKED.Process(target=_write, args=(root,))
    writer.start()
    while not (root / "written").exists():
        time.sleep(0.01)
    code = graft("backup", file, "--root", root)
    writer.kill()
    writer.join()
    return code, len((root / "written").read_text())


def _write(root: Path) -> None:
    tracking.use_embedded(root)
    client = tracking.client()
    experiment = tracking.experiment_id(client, "topics")
    for _ in range(10_000):
        client.create_run(experiment)
        with (root / "written").open("a") as file:
            file.write(".")


def test_a_root_that_is_written_to_comes_back_elsewhere(root: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "backup.tar", tmp_path / "new"
    with attempts.begun(root, "topics", "finetune") as live:
        (live / "half").write_text("written")
        with starter() as fork:
            code, runs = fork(back_up_while_written, root, file)
    assert code == 0
    assert runs > 0
    assert graft("restore", file, "--root", new) == 0
    of_live = {f"runs/{live.name}/{name}" for name in ("half", "run.json")}
    assert files_below(new) == files_below(root) - of_live
    (package,), (weights,) = packages(new), new.glob(f"runs/*/*/*/model/{WEIGHTS}")
    assert (package / "artifacts/model" / WEIGHTS).samefile(weights)
    assert file.stat().st_mode & 0o077 == 0
    assert weights.stat().st_mode == next(root.glob(f"runs/*/*/*/model/{WEIGHTS}")).stat().st_mode
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    assert sum(member.isreg() and member.name.endswith(WEIGHTS) for member in members) == 1
    once = {(told.st_dev, told.st_ino): told.st_size for told in (path.stat() for path in root.rglob("*"))}
    assert file.stat().st_size < sum(once.values()) + 1024 * len(members) + tarfile.RECORDSIZE
    tracking.use_embedded(new)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{new}/mlflow.db"
    (version,) = registry.show_model("topics")
    assert tracking.client().get_model_version("topics", "1").source.startswith(new.as_uri())
    assert prediction.load("topics").predict([["salt in the soup"]])
    assert version.version == "1"


def test_what_is_there_is_not_written_over(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graft("backup", tmp_path / "a.tar", "--root", root) == 0
    before = (tmp_path / "a.tar").read_bytes()
    assert graft("backup", tmp_path / "a.tar", "--root", root) == 2
    assert graft("backup", root / "a.tar", "--root", root) == 2
    assert graft("restore", tmp_path / "a.tar", "--root", root) == 2
    assert graft("restore", tmp_path / "none.tar", "--root", tmp_path / "new") == 2
    assert graft("backup", tmp_path / "b.tar", "--root", tmp_path / "nowhere") == 2
    told = capsys.readouterr().err
    for words in ("exists already", "lies within the root", "holds something already", "no file", "no root"):
        assert words in told
    assert (tmp_path / "a.tar").read_bytes() == before
    assert not (tmp_path / "new").exists()


def member(name: str, content: bytes = b"evil", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[object, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, link
    return info, content


def archive(file: Path, members: list[tuple[object, bytes]], listed: list[str]) -> Path:
    """Writes an archive that lists some names, each with the digest of b"evil"."""
    entry = {"size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    told = json.dumps({"schema_version": 1, "files": dict.fromkeys(listed, entry)}).encode()
    with tarfile.open(file, "w") as made:
        for info, content in [*members, member("backup.json", told)]:
            assert isinstance(info, tarfile.TarInfo)
            made.addfile(info, io.BytesIO(content))
    return file


OUT = ["../canary", "/tmp/canary", "a/../../canary", "./canary", "", "a//b"]


@pytest.mark.parametrize(
    ("members", "listed"),
    [
        *([[member(name)], [name]] for name in OUT),
        ([member("a", kind=tarfile.SYMTYPE, link="/etc"), member("a/b")], ["a", "a/b"]),
        ([member("a", kind=tarfile.LNKTYPE, link="../../canary")], ["a"]),
        ([member("a", kind=tarfile.FIFOTYPE)], ["a"]),
        ([member("a"), member("a")], ["a"]),
        ([member("a"), member("b")], ["a"]),
        ([member("a")], ["a", "b"]),
        ([member("a", b"good")], ["a"]),
    ],
)
def test_an_archive_that_is_not_ours_writes_nothing(
    members: list[tuple[object, bytes]], listed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    file = archive(tmp_path / "evil.tar", members, listed)
    assert graft("restore", file, "--root", tmp_path / "here/root") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert files_below(tmp_path) == {"evil.tar"}
    assert not Path("/tmp/canary").exists()
    assert not list((tmp_path / "here").iterdir())


def test_a_backup_that_was_cut_or_changed_is_refused(root: Path, tmp_path: Path) -> None:
    assert graft("backup", tmp_path / "a.tar", "--root", root) == 0
    whole = (tmp_path / "a.tar").read_bytes()
    middle = len(whole) // 2
    for damaged in (
        whole[:middle],
        b"",
        b"no archive",
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
    ):
        (tmp_path / "b.tar").write_bytes(damaged)
        assert graft("restore", tmp_path / "b.tar", "--root", tmp_path / "new") == 2
        assert not (tmp_path / "new").exists()


@pytest.mark.case(4)
def test_a_full_disk_leaves_nothing_half_written(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert graft("backup", tmp_path / "a.tar", "--root", root) == 0
    with small_disk(tmp_path / "disk", "200k") as disk:
        assert graft("backup", disk / "a.tar", "--root", root) == 1
        assert graft("restore", tmp_path / "a.tar", "--root", disk / "root") == 1
        assert capsys.readouterr().err.count("No space left on device") == 2
        assert not list(disk.iterdir())
