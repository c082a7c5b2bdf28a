from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.artifacts.features import FeatureSplit

COLUMNS = {
    "ragged": ([[number] * (number % 4 + 1) for number in range(23)], pa.list_(pa.int32())),
    "fixed": ([[number, number + 1, 7] for number in range(23)], pa.list_(pa.uint8(), 3)),
    "encoded": ([bytes([number]) * (number % 5 + 1) for number in range(23)], pa.binary()),
}
"""Of every kind that an encoder writes: the values of 23 examples, and their type."""


def make_split(folder: Path, batches: list[int]) -> FeatureSplit:
    """Writes the examples in record batches that end at these numbers, and opens them again."""
    arrays = {name: pa.array(values, kind) for name, (values, kind) in COLUMNS.items()}
    numbers = pa.array(range(23), pa.int32())
    ids = pa.array([f"example {number}" for number in range(23)])
    table = pa.table(
        {"id": ids, **arrays, "length": numbers, "label": pa.array([n % 3 for n in range(23)], pa.int32())}
    )
    with write_artifact(folder, "features", {}) as draft:
        draft.write_json("features.json", {"columns": list(COLUMNS)})
        with pa.ipc.new_file(str(folder / "train.arrow"), table.schema) as writer:
            for start, stop in zip([0, *batches], [*batches, 23], strict=True):
                writer.write_table(table.slice(start, stop - start))
    return FeatureSplit(open_artifact(folder, "features"), "train")


@pytest.mark.parametrize("batches", [[], [1, 8, 9, 22]])
@pytest.mark.parametrize("chosen", [range(23), [22, 0, 9, 8, 1, 7, 9], [5], []])
def test_examples_are_taken_in_any_order_from_any_batch(
    tmp_path: Path, batches: list[int], chosen: range | list[int]
) -> None:
    taken = make_split(tmp_path / "f", batches).take(np.array(chosen, np.int64))
    assert list(taken) == list(COLUMNS)
    for name, (values, _) in COLUMNS.items():
        assert [row.tolist() for row in taken[name]] == [list(values[number]) for number in chosen]
        assert all(row.ndim == 1 for row in taken[name])
        assert {row.dtype for row in taken[name]} <= {np.dtype(np.int32 if name == "ragged" else np.uint8)}


def test_what_is_taken_is_a_view_of_the_file(tmp_path: Path) -> None:
    taken = make_split(tmp_path / "f", [8]).take(np.array([3, 12]))
    for rows in taken.values():
        assert not any(row.flags.owndata or row.flags.writeable for row in rows)


def test_it_is_the_sequence_of_its_ids_with_labels_and_lengths(tmp_path: Path) -> None:
    split = make_split(tmp_path / "f", [1, 8, 9, 22])
    assert list(split) == [f"example {number}" for number in range(23)]
    assert (len(split), split[22], split[8]) == (23, "example 22", "example 8")
    assert split.labels.tolist() == [number % 3 for number in range(23)]
    assert split.lengths.tolist() == list(range(23))
    for outside in (-1, 23):
        with pytest.raises(IndexError):
            split[outside]


def test_only_the_columns_that_features_json_tells_are_taken(tmp_path: Path) -> None:
    make_split(tmp_path / "all", [])
    with write_artifact(tmp_path / "one", "features", {}) as draft:
        draft.write_json("features.json", {"columns": ["fixed"]})
        (tmp_path / "one/train.arrow").write_bytes((tmp_path / "all/train.arrow").read_bytes())
    split = FeatureSplit(open_artifact(tmp_path / "one", "features"), "train")
    assert list(split.take(np.array([0]))) == ["fixed"]
