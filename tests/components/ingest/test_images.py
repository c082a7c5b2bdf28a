import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.errors import InputError
from tests.conftest import write_csv

KINDS = ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"]


def picture(number: int, kind: str = "PNG") -> bytes:
    """An image file that no other number gives."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(file, kind)
    return file.getvalue()


def pictures(count: int, first: int = 0) -> dict[str, bytes]:
    """Image files of all kinds by path, in two folders; the suffix is .JPG for all of them, whatever they are."""
    return {
        f"{('cat', 'dog')[number % 2]}/{number}.JPG": picture(number, KINDS[number % len(KINDS)])
        for number in range(first, first + count)
    }


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes], mode: Any = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def run(source: Path | str, snapshot: Path, **settings: Any) -> Any:
    return ingest(snapshot, IngestSettings(str(source), ["image"], "label", task="image-classification", **settings))


def read(snapshot: Path) -> dict[str, dict[bytes, str]]:
    """Label by content, for each split."""
    artifact = open_artifact(snapshot, "snapshot")
    found: dict[str, dict[bytes, str]] = {}
    for split in SPLITS:
        batches = [batch.to_pydict() for batch in read_batches(artifact, split)]
        found[split] = {data: label for b in batches for data, label in zip(b["input_1"], b["label"], strict=True)}
    return found


def rejects(snapshot: Path) -> list[dict[str, str]]:
    with (snapshot / "notes/rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write_struct(path: Path, files: dict[str, bytes]) -> Path:
    """A Parquet file as Hugging Face's datasets write it, with numbers for labels."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = [{"image": {"bytes": data, "path": name}, "label": name.split("/")[0]} for name, data in files.items()]
    path.parent.mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    return path


def write_plain(path: Path, files: dict[str, bytes]) -> Path:
    """A Parquet file with a binary column."""
    path.parent.mkdir(parents=True)
    rows = [{"image": data, "label": name.split("/")[0]} for name, data in files.items()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "tree": write_tree,
    "tar": lambda folder, files: write_tar(folder / "x.tar", files),
    "tgz": lambda folder, files: write_tar(folder / "x.tgz", files, "w:gz"),
    "struct": lambda folder, files: write_struct(folder / "x.parquet", files),
    "plain": lambda folder, files: write_plain(folder / "x.parquet", files),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of a tree of 240 images, to compare with."""
    folder = tmp_path_factory.mktemp("tree")
    run(write_tree(folder / "data", pictures(240)), folder / "snapshot")
    return folder / "snapshot"


def test_a_snapshot_holds_the_files_as_they_are_under_their_folders_names(tree: Path) -> None:
    found = read(tree)
    expected = {data: name.split("/")[0] for name, data in pictures(240).items()}
    assert found["train"] | found["validation"] | found["test"] == expected
    assert 10 < len(found["test"]) < 45
    assert open_artifact(tree, "snapshot").read_json("snapshot.json")["labels"] == ["cat", "dog"]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_source_gives_the_same_snapshot(kind: str, tree: Path, tmp_path: Path) -> None:
    files = dict(reversed(pictures(240).items()))
    source = WRITERS[kind](tmp_path / "data", files)
    assert run(source, tmp_path / "s").digest == open_artifact(tree, "snapshot").digest


@pytest.mark.parametrize("kind", ["tree", "tar", "tgz", "plain"])
def test_object_storage_gives_the_same_snapshot(kind: str, tree: Path, tmp_path: Path, s3: Any) -> None:
    WRITERS[kind](tmp_path / "data", pictures(240))
    for path in (tmp_path / "data").rglob("*.*"):
        s3.upload_file(str(path), "bucket", f"images/{kind}/{path.relative_to(tmp_path / 'data')}")
    assert run(f"s3://bucket/images/{kind}", tmp_path / "s").digest == open_artifact(tree, "snapshot").digest


def test_the_bytes_depend_on_the_images_alone(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tree(tmp_path / "data", {**pictures(240), "cat/again.png": picture(0)})
    monkeypatch.setattr("components.shared.sources.source._BUCKET_BYTES", 1000)
    monkeypatch.setattr("components.shared.sources.buckets._BUFFER_BYTES", 1000)
    report = run(source, tmp_path / "s")
    assert (report.digest, report.duplicates) == (open_artifact(tree, "snapshot").digest, 1)


def test_row_groups_and_shards_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tree(tmp_path / "data", pictures(240))
    monkeypatch.setattr("components.ingest.shards.GROUP_BYTES", 2_000)
    monkeypatch.setattr("components.ingest.shards.SHARD_BYTES", 10_000)
    run(source, tmp_path / "s")
    shards = sorted((tmp_path / "s").glob("train-*.parquet"))
    assert len(shards) > 2
    for path in shards:
        with pq.ParquetFile(path) as file:
            sizes = [sum(len(v.as_py()) for v in file.read_row_group(n)["input_1"]) for n in range(file.num_row_groups)]
        assert max(sizes) < 2_000 + len(picture(0, "BMP")) + 500
        assert sum(sizes) < 10_000 + max(sizes)
    assert sum(len(part) for part in read(tmp_path / "s").values()) == 240


class TestSplits:
    def expect(self, snapshot: Path) -> None:
        found = read(snapshot)
        assert set(found["test"]) == set(pictures(40, first=1000).values())
        assert set(found["train"]) | set(found["validation"]) == set(pictures(200).values())
        assert 5 < len(found["validation"]) < 40

    def files(self) -> dict[str, bytes]:
        train = {f"train/{name}": data for name, data in pictures(200).items()}
        return {**train, **{f"test/{name}": data for name, data in pictures(40, first=1000).items()}}

    def test_folders_above_the_classes(self, tmp_path: Path) -> None:
        run(write_tree(tmp_path / "data", self.files()), tmp_path / "s")
        self.expect(tmp_path / "s")

    def test_folders_in_an_archive(self, tmp_path: Path) -> None:
        files = {f"./pets/{name}": data for name, data in self.files().items()}
        run(write_tar(tmp_path / "pets.tar.gz", files, "w:gz"), tmp_path / "s")
        self.expect(tmp_path / "s")

    def test_names_of_archives(self, tmp_path: Path) -> None:
        train = pictures(200)
        write_tar(tmp_path / "data/train-0.tar", {name: train[name] for name in list(train)[:90]})
        write_tar(tmp_path / "data/train-1.tar", {name: train[name] for name in list(train)[90:]})
        write_tar(tmp_path / "data/test.tar", pictures(40, first=1000))
        run(tmp_path / "data", tmp_path / "s")
        self.expect(tmp_path / "s")

    def test_another_meaning(self, tmp_path: Path) -> None:
        files = {name.replace("test/", "validation/"): data for name, data in self.files().items()}
        run(write_tree(tmp_path / "data", files), tmp_path / "s", splits={"validation": "test"})
        self.expect(tmp_path / "s")

    def test_a_class_and_a_file_may_be_called_like_a_split(self, tmp_path: Path) -> None:
        vehicles = {name.replace("cat/", "train station/test "): data for name, data in pictures(240).items()}
        run(write_tree(tmp_path / "data", vehicles), tmp_path / "s")
        assert set(read(tmp_path / "s")["train"].values()) == {"train station", "dog"}
        given = {name.replace("/cat/", "/train/"): data for name, data in self.files().items()}
        run(write_tree(tmp_path / "given", given), tmp_path / "s2")
        self.expect(tmp_path / "s2")
        assert set(read(tmp_path / "s2")["train"].values()) == {"train", "dog"}

    @pytest.mark.parametrize("kind", ["tree", "tar"])
    def test_given_and_not_given_do_not_mix(self, kind: str, tmp_path: Path) -> None:
        source = WRITERS[kind](tmp_path / "data", {**self.files(), **pictures(4, first=2000)})
        with pytest.raises(InputError, match=r"mixes given splits \(.*cat/.*\) with files of no split \(.*\)"):
            run(source, tmp_path / "s")


class TestRejects:
    """What cannot be read is set aside with its reason and place; all others are there, each under its own label."""

    def bad(self) -> dict[str, bytes]:
        whole = picture(5000, "JPEG")
        frames = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in range(3)]
        animation, pixel = io.BytesIO(), io.BytesIO()
        frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:])
        Image.new("RGB", (1, 1)).save(pixel, "PNG")
        return {
            "cat/animation.gif": animation.getvalue(),
            "cat/cut.jpg": whole[: len(whole) // 2],
            "cat/empty.png": b"",
            "cat/page.jpg": b"<html>404</html>",
            "cat/pixel.png": pixel.getvalue(),
            "stray.png": picture(5001),
        }

    @pytest.mark.parametrize("kind", ["tree", "tar"])
    @pytest.mark.case(17)
    def test_each_has_its_reason_and_place(self, kind: str, tree: Path, tmp_path: Path) -> None:
        source = WRITERS[kind](tmp_path / "data", {**pictures(240), **self.bad(), "cat/notes.txt": b"no image"})
        report = run(source, tmp_path / "s", max_rejects=0.1)
        assert report.digest == open_artifact(tree, "snapshot").digest
        assert report.read == 246
        assert {row["file"].rpartition(":")[2]: row["reason"] for row in rejects(tmp_path / "s")} == {
            "cat/animation.gif": "an animation or several pages (3 frames)",
            "cat/cut.jpg": "truncated file",
            "cat/empty.png": "empty input",
            "cat/page.jpg": "no image (begins with b'<html>40')",
            "cat/pixel.png": "a side under 2 pixels (1 x 1)",
            "stray.png": "missing label",
        }
        stray = next(row for row in rejects(tmp_path / "s") if row["reason"] == "missing label")
        assert stray["image"] == f"{len(picture(5001))} bytes"

    @pytest.mark.case(17)
    def test_too_many_end_the_step(self, tmp_path: Path) -> None:
        source = write_tree(tmp_path / "data", {**pictures(40), "cat/page.jpg": b"<html>404</html>"})
        with pytest.raises(InputError, match=r"1 of 41 rows cannot be used(?s:.*)1 no image; first: cat/page.jpg"):
            run(source, tmp_path / "s")
        assert not (tmp_path / "s").exists()

    def test_the_largest_image_is_a_setting(self, tmp_path: Path) -> None:
        large = io.BytesIO()
        Image.new("RGB", (9, 8)).save(large, "PNG")
        source = write_tree(tmp_path / "data", {**pictures(240), "cat/large.png": large.getvalue()})
        assert run(source, tmp_path / "s", max_pixels=64).rejected == {"more than 64 pixels": 1}

    @pytest.mark.case(17)
    def test_a_file_that_is_too_large_is_not_even_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("components.shared.sources.trees.MOST", 10_000)
        files = {**pictures(240), "cat/large.tif": bytes(10_001)}
        for kind in ("tree", "tar"):
            report = run(WRITERS[kind](tmp_path / kind, files), tmp_path / f"snapshot-{kind}")
            assert report.rejected == {"file larger than 10,000 bytes": 1}

    def test_an_image_column_without_images(self, tmp_path: Path) -> None:
        rows = [{"image": data, "label": name[:3]} for name, data in pictures(240).items()]
        pq.write_table(pa.Table.from_pylist([*rows, {"image": None, "label": "cat"}]), tmp_path / "d.parquet")
        assert run(tmp_path / "d.parquet", tmp_path / "s").rejected == {"empty input": 1}
        pq.write_table(pa.table({"image": ["cat/1.jpg"] * 9, "label": ["cat"] * 9}), tmp_path / "d.parquet")
        with pytest.raises(InputError, match=r"9 of 9 rows cannot be used(?s:.*)no such image \(cat/1.jpg\)"):
            run(tmp_path / "d.parquet", tmp_path / "s2")


@pytest.mark.case(10, 11)
def test_duplicates_contradictions_and_leaks(tmp_path: Path) -> None:
    train, test = pictures(400), pictures(40, first=1000)
    files = {f"train/{name}": data for name, data in train.items()} | {f"test/{name}": d for name, d in test.items()}
    files["train/cat/again.png"] = train["cat/2.JPG"]
    files["train/dog/contradiction.png"] = train["cat/4.JPG"]
    files["train/cat/leak.png"] = test["cat/1000.JPG"]
    report = run(write_tree(tmp_path / "data", files), tmp_path / "s")
    assert report.duplicates == 1
    assert report.rejected == {"same input with different labels": 2, "input stands in the test split too": 1}
    assert {row["file"] for row in rejects(tmp_path / "s")} == {
        "train/cat/4.JPG",
        "train/dog/contradiction.png",
        "train/cat/leak.png",
    }
    found = read(tmp_path / "s")
    assert test["cat/1000.JPG"] in found["test"]
    assert not any(train["cat/4.JPG"] in part for part in found.values())


class TestArchives:
    @pytest.mark.case(19)
    def test_links_and_paths_that_lead_out_are_left_out(self, tree: Path, tmp_path: Path) -> None:
        path = write_tar(
            tmp_path / "x.tar",
            {**pictures(240), "../dog/1.png": picture(1000), "/dog/2.png": picture(1001), "dog/._3.png": picture(1002)},
        )
        with tarfile.open(path, "a") as archive:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
                member = tarfile.TarInfo(f"dog/odd-{kind.decode()}.png")
                member.type, member.linkname = kind, "cat/0.JPG"
                archive.addfile(member)
        assert run(path, tmp_path / "s").digest == open_artifact(tree, "snapshot").digest

    @pytest.mark.parametrize("suffix", ["tar", "tgz"])
    @pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
    @pytest.mark.case(19)
    def test_truncated(self, suffix: str, part: float, tmp_path: Path) -> None:
        whole = write_tar(tmp_path / f"whole.{suffix}", pictures(100), "w:gz" if suffix == "tgz" else "w").read_bytes()
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match=rf"cut.{suffix} is a damaged or truncated (archive|gzip file) \(it broke"):
            run(path, tmp_path / "s")
        assert not (tmp_path / "s").exists()

    def test_cut_between_two_members_or_damaged_there(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "x.tar", {name: bytes(512) for name in pictures(40)})
        whole = path.read_bytes()
        damaged = whole[: 20 * 1024] + b"\xff" * 512 + whole[20 * 1024 + 512 :]
        for content in (whole[: 20 * 1024], damaged):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"damaged or truncated archive \(it broke off after 20 files"):
                run(path, tmp_path / "s")

    @pytest.mark.case(13)
    def test_without_images(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "x.tar", {"cat/1.txt": b"1"})
        with pytest.raises(InputError, match="x.tar holds no images"):
            run(path, tmp_path / "s")


class TestWrongSources:
    def refuse(self, source: Path, message: str) -> None:
        with pytest.raises(InputError, match=message):
            run(source, source.parent / "s")

    def test_tables(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "d/a.csv", [{"image": "1.jpg", "label": "cat"}])
        self.refuse(tmp_path / "d", r"1 of 1 rows cannot be used(?s:.*)no such image \(1.jpg\)")
        (tmp_path / "d/a.csv").rename(tmp_path / "d/a.txt").write_text("no table")
        self.refuse(tmp_path / "d", r"holds no images: found 'a.txt'. Expected a folder a class with image files")

    def test_several_kinds(self, tmp_path: Path) -> None:
        write_tar(write_tree(tmp_path / "d", pictures(4)) / "more.tar", pictures(4))
        self.refuse(tmp_path / "d", r"holds archives and image files \(such as 'more.tar', 'cat/0.JPG'\)")

    def test_other_columns(self, tmp_path: Path) -> None:
        write_tree(tmp_path / "d", pictures(4))
        settings = IngestSettings(str(tmp_path / "d"), ["img"], "label", task="image-classification")
        with pytest.raises(InputError, match="tree of image files has no column 'img'; it has 'image', 'label'"):
            ingest(tmp_path / "s", settings)

    def test_images_for_texts(self, tmp_path: Path) -> None:
        write_tree(tmp_path / "d", pictures(2))
        with pytest.raises(InputError, match=r"holds no data: found 'cat/0.JPG', 'dog/1.JPG'. Expected .csv"):
            ingest(tmp_path / "s", IngestSettings(str(tmp_path / "d"), ["text"], "label"))

    def test_a_label_that_is_no_utf_8(self, tmp_path: Path) -> None:
        odd = "b\udcffd/1.png"  # as a file system gives a name of invalid bytes
        report = run(write_tar(tmp_path / "x.tar", {**pictures(240), odd: picture(999)}), tmp_path / "s")
        assert report.rejected == {"invalid UTF-8 in the label": 1}
        assert rejects(tmp_path / "s")[0]["file"] == "x.tar:b\\udcffd/1.png"
