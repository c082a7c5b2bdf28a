import gc
import io
import json
import shutil
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tokenizers import Tokenizer

from components.shared.artifacts.artifact import Artifact, open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import read_batches
from components.shared.backbones.pixels import open_image
from components.shared.backbones.preprocessing import FILE, Preprocessing, prepare
from components.shared.errors import InputError
from components.shared.process.step import Progress
from components.shared.storage import prefetch
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_bert, make_timm_backbone, make_vision_backbone
from tests.cases import inputs_of, sample_snapshot


def texts_of(snapshot: Path, split: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for batch in read_batches(open_artifact(snapshot, "snapshot"), split):
        for row in batch.to_pylist():
            found[row["id"]] = tuple(row[name] for name in ("input_1", "input_2") if name in row)
    return found


def test_every_example_is_encoded_as_the_backbones_own_tokenizer_does(
    pair_snapshot: Path, pair_features: Path, backbone: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(backbone / "tokenizer.json"))
    split = FeatureSplit(open_artifact(pair_features, "features"), "test")
    texts = texts_of(pair_snapshot, "test")
    assert set(split) == set(texts)
    for number, (id_, columns) in enumerate(
        zip(split, zip(*split.take(np.arange(len(split))).values(), strict=True), strict=True)
    ):
        encoding = tokenizer.encode(*texts[id_])
        assert columns[0].tolist() == encoding.ids
        assert columns[1].tolist() == encoding.type_ids
        assert split.lengths[number] == len(encoding.ids)


def test_labels_are_indices_into_the_sorted_labels(snapshot: Path, features: Path) -> None:
    source = open_artifact(snapshot, "snapshot")
    labels = {row["id"]: row["label"] for batch in read_batches(source, "train") for row in batch.to_pylist()}
    split = FeatureSplit(open_artifact(features, "features"), "train")
    names = json.loads((features / "features.json").read_text())["labels"]
    assert names == sorted(names) == ["kitchen", "ship"]
    assert all(names[index] == labels[id_] for id_, index in zip(split, split.labels, strict=True))


def test_a_single_text_has_no_token_types(features: Path) -> None:
    assert json.loads((features / "features.json").read_text())["columns"] == ["input_ids"]


def test_same_snapshot_and_backbone_give_the_same_digest(
    snapshot: Path, features: Path, backbone: Path, tmp_path: Path
) -> None:
    again = transform(snapshot, tmp_path / "again", TransformSettings(str(backbone)))
    assert again.digest == open_artifact(features, "features").digest


def test_texts_are_cut_to_the_length_that_is_wanted(snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    report = transform(snapshot, tmp_path / "f", TransformSettings(str(backbone), max_length=6))
    assert report.mean_length == 6
    assert report.at_max_length == sum(report.rows.values())


def test_many_batches_are_read_as_one_split(
    snapshot: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.shared.artifacts import snapshot as reading

    whole = transform(snapshot, tmp_path / "whole", TransformSettings(str(backbone)))

    def uneven(source: Artifact, split: str, row_bytes: int) -> Iterator[pa.RecordBatch]:
        for batch in reading.read_batches(source, split, row_bytes):
            yield from (batch.slice(0, 2), batch.slice(2)) if batch.num_rows > 2 else (batch,)

    monkeypatch.setattr(reading, "_BATCH_ROWS", 7)
    monkeypatch.setattr("components.transform.transform.read_batches", uneven)
    transform(snapshot, tmp_path / "parted", TransformSettings(str(backbone)))
    one, many = (FeatureSplit(open_artifact(tmp_path / name, "features"), "train") for name in ("whole", "parted"))
    assert len(pa.ipc.open_file(str(tmp_path / "parted/train.arrow")).read_all().column("id").chunks) > 10
    chosen = np.array([0, 6, 7, len(one) - 1, 100])
    assert list(one) == list(many)
    for left, right in zip(one.take(chosen)["input_ids"], many.take(chosen)["input_ids"], strict=True):
        assert left.tolist() == right.tolist()
    assert whole.rows["train"] == len(many)


def test_more_tokens_than_the_backbone_has_positions_for(snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_length is 65, but the backbone has positions for 64 tokens"):
        transform(snapshot, tmp_path / "f", TransformSettings(str(backbone), max_length=65))
    assert not (tmp_path / "f").exists()


def test_a_backbone_without_tokenizer(snapshot: Path, tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "backbone")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="has no tokenizer that can be read"):
        transform(snapshot, tmp_path / "f", TransformSettings(str(folder)))


def test_an_older_vocabulary_is_converted(snapshot: Path, tmp_path: Path) -> None:
    """A backbone with vocab.txt alone, as old BERTs on the hub."""
    folder = make_bert(tmp_path / "backbone")
    transform(snapshot, tmp_path / "new", TransformSettings(str(folder)))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
    (folder / "tokenizer.json").unlink()
    transform(snapshot, tmp_path / "old", TransformSettings(str(folder)))
    old, new = (FeatureSplit(open_artifact(tmp_path / name, "features"), "test") for name in ("old", "new"))
    assert [ids.tolist() for ids in old.take(np.arange(len(old)))["input_ids"]] == [
        ids.tolist() for ids in new.take(np.arange(len(new)))["input_ids"]
    ]


def test_a_damaged_snapshot_is_named(snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    shutil.copytree(snapshot, tmp_path / "s")
    with (tmp_path / "s/train-00000.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"train-00000.parquet is not the file that was written"):
        transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(backbone)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of PNG files, 32 x 32 pixels."""
    return sample_snapshot("image-classification", tmp_path_factory.mktemp("pictures"), 60)


@pytest.fixture(scope="module")
def timm_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_timm_backbone("resnet10t", tmp_path_factory.mktemp("timm"))


def squares_of(features: Path, split: str) -> dict[str, np.ndarray]:
    """Returns the pictures that training would see, by id: [side, side, 3]."""
    opened = FeatureSplit(open_artifact(features, "features"), split)
    ((kind, rows),) = opened.take(np.arange(len(opened))).items()
    side = json.loads((features / FILE).read_text())["resize"]
    assert all(row.dtype == np.uint8 and row.ndim == 1 for row in rows)
    squares = rows if kind == "pixels" else [np.asarray(Image.open(io.BytesIO(row.tobytes()))) for row in rows]
    return dict(zip(opened, (square.reshape(side, side, 3) for square in squares), strict=True))


def expected_squares(snapshot: Path, features: Path, split: str) -> dict[str, np.ndarray]:
    """Returns what the backbone's preprocessing makes of the snapshot's files, one after the other, by id."""
    preprocessing = Preprocessing.from_json(json.loads((features / FILE).read_text()))
    return {id_: prepare(open_image(data), preprocessing) for id_, (data,) in inputs_of(snapshot, split).items()}


@pytest.mark.parametrize(("pixel_gib", "column"), [(64.0, "pixels"), (0.0, "encoded")])
def test_pictures_are_as_the_backbones_preprocessing_makes_them(
    pictures: Path, timm_backbone: Path, tmp_path: Path, pixel_gib: float, column: str
) -> None:
    settings = TransformSettings(str(timm_backbone), {"img_size": 48}, pixel_gib=pixel_gib)
    report = transform(pictures, tmp_path / "f", settings)
    told = json.loads((tmp_path / "f/features.json").read_text())
    assert (told["columns"], told["family"], told["task"]) == ([column], "timm", "image-classification")
    assert (report.mean_length, report.at_max_length, sum(report.rows.values())) == (1, 0, 60)
    for split in report.rows:
        expected, found = expected_squares(pictures, tmp_path / "f", split), squares_of(tmp_path / "f", split)
        assert list(found) == list(expected)
        assert len(found) == report.rows[split] > 0
        for id_, square in found.items():
            assert square.shape == (48, 48, 3)
            if column == "pixels":
                np.testing.assert_array_equal(square, expected[id_])
            else:  # JPEG
                assert 0 < np.abs(square.astype(int) - expected[id_]).mean() < 6


@pytest.mark.parametrize("pixel_gib", [64.0, 0.0])
def test_same_pictures_and_backbone_give_the_same_digest(
    pictures: Path, timm_backbone: Path, tmp_path: Path, pixel_gib: float
) -> None:
    settings = TransformSettings(str(timm_backbone), pixel_gib=pixel_gib)
    one, again = (transform(pictures, tmp_path / name, settings).digest for name in ("one", "again"))
    other = transform(pictures, tmp_path / "other", TransformSettings(str(timm_backbone), {"img_size": 40}))
    assert one == again != other.digest


@pytest.mark.parametrize(("spare", "column"), [(0, "pixels"), (-1, "encoded")])
def test_pixels_are_kept_where_all_examples_fit_into_the_budget(
    pictures: Path, timm_backbone: Path, tmp_path: Path, spare: int, column: str
) -> None:
    budget = (60 * 32 * 32 * 3 + spare) / 2**30
    transform(pictures, tmp_path / "f", TransformSettings(str(timm_backbone), pixel_gib=budget))
    assert json.loads((tmp_path / "f/features.json").read_text())["columns"] == [column]


@pytest.mark.parametrize(
    ("name", "args", "side"),
    [("timm", {}, 32), ("timm", {"img_size": 48}, 48), ("vit", {}, 32), ("vit", {"image_size": 24}, 24),
     ("random:timm/resnet18", {}, 64), ("random:timm/resnet18", {"img_size": 64}, 64)],
)  # fmt: skip
def test_backbone_and_its_arguments_give_the_size(
    pictures: Path, timm_backbone: Path, tmp_path: Path, name: str, args: dict[str, Any], side: int
) -> None:
    folders = {"timm": timm_backbone, "vit": tmp_path / "vit"}
    if name == "vit":
        make_vision_backbone("vit", tmp_path / "vit")
    transform(pictures, tmp_path / "f", TransformSettings(str(folders.get(name, name)), args))
    assert json.loads((tmp_path / "f" / FILE).read_text())["size"] == side
    assert {square.shape for square in squares_of(tmp_path / "f", "test").values()} == {(side, side, 3)}


def test_photographs_of_any_shape_are_squares_in_the_snapshots_order(timm_backbone: Path, tmp_path: Path) -> None:
    from components.ingest.ingest import IngestSettings, ingest

    draw = np.random.default_rng(0)
    for number, (width, height) in enumerate([(90, 40), (40, 90), (33, 32), (200, 10), (5, 7), (64, 64)] * 4):
        file = tmp_path / "data" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    settings = IngestSettings(str(tmp_path / "data"), ["image"], "label", task="image-classification")
    ingest(tmp_path / "s", settings)
    transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(timm_backbone)))
    expected = expected_squares(tmp_path / "s", tmp_path / "f", "train")
    found = squares_of(tmp_path / "f", "train")
    assert list(found) == list(expected)
    assert all((found[id_] == expected[id_]).all() for id_ in expected)


def test_a_language_model_cannot_be_fed_with_pictures(pictures: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be fed with pictures: it has no preprocessor_config.json.*timm/NAME"):
        transform(pictures, tmp_path / "f", TransformSettings(str(backbone)))
    assert not (tmp_path / "f").exists()


def test_a_vision_model_cannot_be_fed_with_texts(snapshot: Path, timm_backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a vision model of timm: it has no tokenizer.*language model"):
        transform(snapshot, tmp_path / "f", TransformSettings(str(timm_backbone)))
    vision = make_vision_backbone("vit", tmp_path / "vit")
    with pytest.raises(InputError, match="has no tokenizer"):
        transform(snapshot, tmp_path / "f", TransformSettings(str(vision)))


def test_an_impossible_size_is_told(pictures: Path, timm_backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be one whole number, or a square; it is large"):
        transform(pictures, tmp_path / "f", TransformSettings(str(timm_backbone), {"img_size": "large"}))


def test_a_picture_that_cannot_be_decoded_is_named(
    pictures: Path, timm_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where ingest's check, an older one, let it pass."""
    damaged, (data,) = list(inputs_of(pictures, "train").items())[7]

    def read(file: bytes, max_pixels: int) -> Image.Image:
        return open_image(file[:-40] if file == data else file, max_pixels)

    monkeypatch.setattr("components.shared.modalities.image.open_image", read)
    with pytest.raises(InputError, match=rf"Example {damaged} of the snapshot cannot be encoded: truncated"):
        transform(pictures, tmp_path / "f", TransformSettings(str(timm_backbone)))
    assert not (tmp_path / "f").exists()


def test_memory_does_not_grow_with_the_pictures(
    timm_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = sample_snapshot("image-classification", tmp_path, 600)
    monkeypatch.setattr(prefetch, "_BYTES", 8 << 20)
    monkeypatch.setattr(Progress, "update", lambda *_: time.sleep(0.03))  # as on a slow disk
    gc.collect()
    tracemalloc.start()
    try:
        transform(snapshot, tmp_path / "f", TransformSettings(str(timm_backbone), {"img_size": 256}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    written = sum(file.stat().st_size for file in (tmp_path / "f").glob("*.arrow"))
    assert written > 600 * 256 * 256 * 3
    assert 1 << 20 < peak < 32 << 20 < written / 3
