"""The cache with a real step, transform: what was made of the same content is taken, and anything else is made."""

import dataclasses
import json
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from components.shared.artifacts import cache
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.cache import CACHE, Work, through
from components.shared.artifacts.producer import IMAGE
from components.shared.artifacts.resume import RESUME, STEPS
from components.shared.process.step import option
from components.transform.transform import TransformReport, TransformSettings, transform
from tests.conftest import make_snapshot

RUN = "2026-11-26T02-08-37-617723-topics"


class Desk:
    """Where features are made; `run` makes them as a run of the pipeline would, or takes them.

    Attributes:
        made: The runs that made theirs.
    """

    def __init__(self, folder: Path, snapshot: Path, backbone: Path) -> None:
        self.folder, self.snapshot, self.made, self.count = folder, snapshot, [], 0
        self.backbone = Path(shutil.copytree(backbone, folder / "bert"))

    made: list[str]

    def run(self, address: str = "{folder}", **settings: Any) -> Path:
        self.count += 1
        target = self.folder / "runs" / RUN.replace("617723", f"{self.count}") / "features"
        target.parent.mkdir(parents=True)
        wanted = TransformSettings(str(self.backbone), **settings)
        places = {"snapshot": self.snapshot}, ("features", target), address.format(folder=target)

        def make() -> TransformReport:
            self.made.append(target.parent.name)
            return transform(self.snapshot, target, wanted)

        report, taken = through(Work("transform", *places, wanted, False, TransformReport), make)
        assert open_artifact(target, "features").digest == report.digest
        assert bool(taken) == (target.parent.name not in self.made)
        return target

    @property
    def entry(self) -> Path:
        (found,) = (self.folder / "cache/transform").glob("*")
        return found


@pytest.fixture
def desk(tmp_path: Path, snapshot: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return Desk(tmp_path, snapshot, backbone)


def test_what_was_made_of_the_same_is_taken_and_takes_no_more_space(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = desk.run(), desk.run()
    assert desk.made == [first.parent.name]
    assert capsys.readouterr().out.endswith(f"100% · taken from {first}, made by run {first.parent.name}\n")
    for name in open_artifact(first, "features").files:
        assert (first / name).samefile(second / name)


def test_without_a_place_for_it_nothing_is_looked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, "")
    desk.run(), desk.run()
    assert len(desk.made) == 2
    assert not (desk.folder / "cache").exists()


def test_a_run_that_is_gone_on_from_gives_what_it_made_of_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CACHE, "")
    monkeypatch.setenv(STEPS, f"{desk.folder}/runs/first/steps")
    first = desk.run()
    monkeypatch.setenv(RESUME, f"{desk.folder}/runs/first/steps")
    monkeypatch.setenv(STEPS, f"{desk.folder}/runs/second/steps")
    desk.run()
    monkeypatch.setenv(RESUME, f"{desk.folder}/runs/second/steps")  # it was gone on from, too
    monkeypatch.setattr("components.shared.artifacts.producer._code", lambda step: "mended since")
    desk.run()
    assert len(desk.made) == 1
    assert "graft: note: transform was done by other code or packages than there are now" in capsys.readouterr().out
    desk.run(max_length=8)
    assert "graft: note: transform is done again: max_length is 8 (it was 0)" in capsys.readouterr().out
    for file in first.parent.parent.glob("*/features/train.arrow"):
        file.unlink()
        file.write_bytes(b"damaged")
    monkeypatch.setenv(RESUME, f"{desk.folder}/runs/first/steps")
    desk.run()
    assert "graft: note: transform is done again: what run" in capsys.readouterr().out
    assert len(desk.made) == 3


def test_another_setting_or_image_or_code_makes_it_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run()
    desk.run(max_length=8)
    monkeypatch.setenv(IMAGE, "registry.example.com/light@sha256:1")
    desk.run()
    monkeypatch.setattr("components.shared.artifacts.producer._code", lambda step: "edited, and not committed")
    desk.run()
    assert len(desk.made) == 4
    desk.run()
    assert len(desk.made) == 4


def test_one_byte_of_one_row_makes_it_anew(desk: Desk) -> None:
    rows = [{"text": f"text number {n}", "topic": "ab"[n % 2]} for n in range(100)]
    for number, rows[0]["text"] in enumerate(["text number a", "text number b", "text number a"]):
        (desk.folder / str(number)).mkdir()
        desk.snapshot = make_snapshot(desk.folder / str(number), rows, ["text"], "topic")
        desk.run()
    assert len(desk.made) == 2  # the third time it is as it was at first


def test_another_backbone_at_the_same_place_makes_it_anew(desk: Desk) -> None:
    desk.run()
    with (desk.backbone / "config.json").open("a") as file:
        file.write("\n")
    desk.run()
    assert len(desk.made) == 2


def test_weights_count_for_the_step_that_reads_them_alone(desk: Desk) -> None:
    desk.run()
    with (desk.backbone / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    desk.run()
    assert len(desk.made) == 1


def test_who_asks_is_no_part_of_what_is_made(desk: Desk) -> None:
    @dataclasses.dataclass(frozen=True)
    class Asked(TransformSettings):
        pipeline_run: str = option("", "the run of the pipeline")
        page: str = option("", "its page", keyed=False)
        seed: int = option(1, "a new setting counts, whoever adds it")

    def content(**settings: Any) -> Any:
        asked = Asked(str(desk.backbone), **settings)
        target = ("features", desk.folder / "none")
        return cache.content_of(
            Work("transform", {"snapshot": desk.snapshot}, target, "", asked, False, TransformReport)
        )

    assert content() == content(pipeline_run="1", page="https://kubeflow.example.com")
    assert content() != content(seed=2)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": "another"}', '"text"', "\0"])
def test_an_entry_that_is_none_is_written_anew(desk: Desk, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run()
    whole = desk.entry.read_text()
    desk.entry.write_text(content)
    desk.run()
    assert len(desk.made) == 2
    assert "cannot be used, and is written anew" in capsys.readouterr().out
    assert json.loads(desk.entry.read_text()).keys() == json.loads(whole).keys()
    desk.run()
    assert len(desk.made) == 2


def test_an_entry_of_something_else_is_none(desk: Desk) -> None:
    desk.run()
    other = json.loads(desk.entry.read_text())
    desk.entry.write_text(json.dumps({**other, "key": "0" * 64}))
    desk.run()
    assert len(desk.made) == 2


def damage(features: Path, kind: str) -> None:
    """Breaks an artifact; the files are other ones then, as by a copy over them: no hard link is written through."""
    manifest = json.loads((features / "manifest.json").read_text())
    if kind == "gone":
        shutil.rmtree(features)
        return
    if kind == "file missing":
        (features / "test.arrow").unlink()
        return
    if kind == "file changed":
        changed = features / "test.arrow", b"0" * manifest["files"]["test.arrow"]["size"]
    elif kind == "leads out":
        manifest["files"]["../../../job.yaml"] = {"sha256": "0", "size": 0}
        changed = features / "manifest.json", json.dumps(manifest).encode()
    else:  # a whole artifact, but another
        (features / "more.json").write_text("{}")
        sha = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        manifest["files"]["more.json"] = {"sha256": sha, "size": 2}
        changed = features / "manifest.json", json.dumps(manifest).encode()
    changed[0].unlink()
    changed[0].write_bytes(changed[1])


@pytest.mark.parametrize("kind", ["gone", "file missing", "file changed", "leads out", "another"])
def test_what_is_not_whole_any_more_is_made_again(desk: Desk, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = desk.run()
    damage(first, kind)
    second = desk.run()
    assert len(desk.made) == 2
    said = capsys.readouterr().out
    assert f"what run {first.parent.name} left at {first} cannot be taken, and is made again: " in said
    third = desk.run()
    assert len(desk.made) == 2
    assert (third / "test.arrow").samefile(second / "test.arrow")


def test_a_name_that_leads_elsewhere_meanwhile_is_not_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["files 1", "files 2"])
    monkeypatch.setattr(cache, "identity", lambda *_: next(answers))
    desk.run()
    assert "not kept: what it was made of changed meanwhile" in capsys.readouterr().out
    assert not (desk.folder / "cache").exists()


def test_a_place_that_cannot_be_written_costs_no_run(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "cache").write_text("a file where the folder would be")
    desk.run()
    assert "so that the next run will not find this" in capsys.readouterr().out


def test_many_that_make_the_same_at_once_leave_one_whole_entry(desk: Desk) -> None:
    """All find nothing, all make it, all write: whichever was last, it is whole, and the next run takes it."""
    together = threading.Barrier(4)
    original = desk.run

    def run() -> None:
        together.wait()
        original()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = len(desk.made)
    original()
    assert len(desk.made) == made
    assert desk.entry.read_text().endswith("}")  # and no file half-written beside it


class TestInABucket:
    """As on a cluster: the step writes to its disk, and Kubeflow's launcher brings that to the address afterwards."""

    @pytest.fixture
    def address(self) -> str:
        """Of a run's own: the store of the tests keeps what earlier ones left."""
        return f"s3://bucket/graft/graft-finetune/{uuid.uuid4()}/transform/7/features"

    @pytest.fixture
    def cluster(self, desk: Desk, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Desk:
        monkeypatch.setenv(CACHE, f"s3://bucket/graft/{uuid.uuid4()}/cache")
        return desk

    def launch(self, s3: Any, address: str, folder: Path, *left_out: str) -> None:
        key = address.removeprefix("s3://bucket/")
        for path in (path for path in folder.rglob("*") if path.is_file() and path.name not in left_out):
            s3.upload_file(str(path), "bucket", f"{key}/{path.relative_to(folder).as_posix()}")

    def test_it_is_taken_from_where_the_launcher_brought_it(
        self, cluster: Desk, s3: Any, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.launch(s3, address, cluster.run(address))
        cluster.run("s3://bucket/elsewhere")
        assert len(cluster.made) == 1
        run = address.split("/")[5]
        assert f"taken from {address}, made by run {run}\n" in capsys.readouterr().out

    def test_kubeflows_own_store_is_reached_likewise(
        self, cluster: Desk, s3: Any, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(CACHE, f"minio://bucket/graft/{uuid.uuid4()}/cache")
        self.launch(s3, address, cluster.run(address.replace("s3:", "minio:")))
        cluster.run("minio://bucket/elsewhere")
        assert len(cluster.made) == 1

    @pytest.mark.parametrize("missing", ["manifest.json", "train.arrow"])
    def test_what_is_still_on_its_way_is_made_again(self, cluster: Desk, s3: Any, address: str, missing: str) -> None:
        self.launch(s3, address, cluster.run(address), missing)
        cluster.run("s3://bucket/elsewhere")
        assert len(cluster.made) == 2

    def test_a_bucket_that_these_credentials_do_not_reach_costs_no_run(
        self, cluster: Desk, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(CACHE, "s3://another/cache")
        cluster.run(address)
        said = capsys.readouterr().out
        assert "cannot be used" in said
        assert "cannot be written" in said
        assert len(cluster.made) == 1
