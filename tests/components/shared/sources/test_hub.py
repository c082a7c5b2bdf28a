from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from components.shared.errors import InputError, ServiceError
from components.shared.sources.hub import read_hub, rows_of


def dataset(labels: list[int]) -> Any:
    """A streamed dataset of the hub's kind, with class numbers."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    content = [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]
    return datasets.Dataset.from_list(content, features=features).to_iterable_dataset()


def test_class_numbers_become_names_and_unlabelled_rows_have_none() -> None:
    splits = {"train": dataset([0, 1]), "test": dataset([-1])}
    rows = list(rows_of(splits, "hf://x/y", ["text", "label"], ["label"], {}))
    assert [(row.split, row.values["label"], row.place) for row in rows] == [
        ("train", "no", "hf://x/y train:1"),
        ("train", "yes", "hf://x/y train:2"),
        ("test", None, "hf://x/y test:1"),
    ]


def test_splits_can_be_chosen() -> None:
    splits = {"train": dataset([0]), "validation_matched": dataset([1]), "test": dataset([-1])}
    chosen = {"train": "train", "validation_matched": "test"}
    rows = list(rows_of(splits, "hf://x/y", ["text", "label"], ["label"], chosen))
    assert [(row.split, row.values["label"]) for row in rows] == [("train", "no"), ("test", "yes")]


def test_unknown_split_and_column() -> None:
    splits = {"train": dataset([0])}
    with pytest.raises(InputError, match="no split 'dev'; it has 'train'"):
        list(rows_of(splits, "hf://x/y", ["text", "label"], ["label"], {"dev": "test"}))
    with pytest.raises(InputError, match="no column 'texts'; it has 'text', 'label'. Did you mean 'text'"):
        list(rows_of(splits, "hf://x/y", ["texts", "label"], ["label"], {}))


def test_a_hub_out_of_reach_is_a_service_that_failed() -> None:
    with pytest.raises(ServiceError, match="The hub did not answer for hf://owner/name"):
        list(read_hub("hf://owner/name", ["text", "label"], ["label"], {}))


def test_images_come_as_the_bytes_of_their_files(tmp_path: Path) -> None:
    file = tmp_path / "1.png"
    Image.new("RGB", (4, 4), "red").save(file)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    embedded = [{"image": {"bytes": b"not even decoded", "path": None}, "label": 0}, {"image": None, "label": 1}]
    referred = [{"image": str(file), "label": 1}]
    splits = {
        "train": datasets.Dataset.from_list(embedded, features=features).to_iterable_dataset(),
        "test": datasets.Dataset.from_list(referred, features=features).to_iterable_dataset(),
    }
    rows = list(rows_of(splits, "hf://x/y", ["image", "label"], ["label"], {}))
    assert [row.values for row in rows] == [
        {"image": b"not even decoded", "label": "cat"},
        {"image": None, "label": "dog"},
        {"image": None, "label": "dog"},
    ]
    assert [row.fault for row in rows] == [None, None, "file outside of the dataset"]  # of this machine: not opened


def test_several_columns_of_labels_have_names_of_their_own() -> None:
    kinds = {name: datasets.ClassLabel(names=names) for name, names in (("label", ["no", "yes"]), ("kind", ["a", "b"]))}
    features = datasets.Features({"text": datasets.Value("string"), **kinds})
    row = {"text": "text", "label": 1, "kind": 0}
    splits = {"train": datasets.Dataset.from_list([row], features=features).to_iterable_dataset()}
    (found,) = rows_of(splits, "hf://x/y", ["text", "label", "kind"], ["label", "kind"], {})
    assert found.values == {"text": "text", "label": "yes", "kind": "a"}
