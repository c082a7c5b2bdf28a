"""Checkpoints as files: two are kept, what has not changed is not written again, and the place is one training's."""

import json
from pathlib import Path

import pytest

from components.shared.artifacts import checkpoints
from components.shared.artifacts.checkpoints import CHECKPOINTS, Checkpoints, place_of
from components.shared.errors import InputError, ServiceError


def write(store: Checkpoints, number: int, kept: bool = False) -> None:
    path = store.target()
    path.write_bytes(bytes([number]) * 100)
    same = {"same": store._known[-1].files["same"]} if kept else {}
    written = {"new": path}
    if not kept:
        written["same"] = store.target()
        written["same"].write_bytes(b"same")
    store.add({"step": number}, written, same)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "kept/key")
    request.getfixturevalue("s3")
    return "s3://bucket/kept/key"


def test_the_newest_is_found_and_two_are_kept(place: str, tmp_path: Path) -> None:
    store = Checkpoints(place, tmp_path / "scratch")
    assert store.newest(tmp_path / "none") is None
    for number in range(4):
        write(store, number, kept=number > 0)
    again = Checkpoints(place, tmp_path / "scratch")
    found = again.newest(tmp_path / "found")
    assert found is not None
    assert found.told == {"step": 3}
    assert (tmp_path / "found" / found.files["new"].name).read_bytes() == b"\3" * 100
    assert (tmp_path / "found" / found.files["same"].name).read_bytes() == b"same"
    assert len(again._listed()) == 2 + 3, "two manifests, two new files, and the one that both have"
    write(again, 4, kept=True)
    assert len(again._listed()) == 2 + 3
    again.remove()
    assert Checkpoints(place, tmp_path / "scratch").newest(tmp_path / "none") is None


def test_after_an_upgrade_the_log_says_why_a_checkpoint_is_not_used(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"code": "a" * 64, "package torch": "2.13.0", "python": "3.13.1"}
    write(Checkpoints(f"{place}-by-before", tmp_path / "scratch", before), 1)
    now = {"code": "b" * 64, "package torch": "2.14.1", "python": "3.13.1"}
    assert Checkpoints(f"{place}-by-now", tmp_path / "scratch", now).newest(tmp_path / "found") is None
    told = capsys.readouterr().out
    assert f"there is a checkpoint of the same work at {place}-by-before, but other code or packages wrote it" in told
    assert "(code aaaaaaaaaaaa, here bbbbbbbbbbbb; package torch 2.13.0, here 2.14.1)" in told
    assert Checkpoints(f"{place}-other-by-now", tmp_path / "scratch", now).newest(tmp_path / "found") is None
    assert not capsys.readouterr().out, "of other work there is none"


def test_a_place_is_one_trainings_at_a_time(tmp_path: Path) -> None:
    store = Checkpoints(str(tmp_path / "key"), tmp_path)
    with store.held("a run"):
        assert json.loads((tmp_path / "key" / checkpoints.RUN).read_text()) == {"run": "a run"}
        with pytest.raises(ServiceError, match="training the same"), Checkpoints(store.place, tmp_path).held():
            pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="Checkpoints cannot be written"),
        Checkpoints(str(tmp_path / "file/key"), tmp_path).held(),
    ):
        pass


def test_a_setting_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHECKPOINTS, raising=False)
    assert place_of("", "work", "who") == ""
    monkeypatch.setenv(CHECKPOINTS, "minio://bucket/graft/checkpoints?region=eu-1")
    assert place_of("", "work", "who") == "s3://bucket/graft/checkpoints/work-by-who"
    assert place_of("kept/", "work", "who") == "kept/work-by-who"
