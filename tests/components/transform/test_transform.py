import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from components.shared.artifact import Artifact, open_artifact
from components.shared.errors import InputError
from components.shared.features import FeatureSplit
from components.shared.snapshot import read_batches
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_bert


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
    from components.shared import snapshot as reading

    whole = transform(snapshot, tmp_path / "whole", TransformSettings(str(backbone)))

    def uneven(source: Artifact, split: str) -> Iterator[pa.RecordBatch]:
        for batch in reading.read_batches(source, split, rows=7):
            yield from (batch.slice(0, 2), batch.slice(2)) if batch.num_rows > 2 else (batch,)

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
    import shutil

    shutil.copytree(snapshot, tmp_path / "s")
    with (tmp_path / "s/train-00000.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"train-00000.parquet is not the file that was written"):
        transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(backbone)))
