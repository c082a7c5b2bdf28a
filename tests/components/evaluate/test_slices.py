"""Parts of the test split: by a column, and by what the champion's inventory holds."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.evaluate import leakage, slices
from components.evaluate.leakage import AGES, known_examples
from components.evaluate.slices import column_slices, metric_by
from components.shared.artifacts.artifact import Artifact, open_artifact, write_artifact
from components.shared.statistics import Statistics
from components.shared.tasks.classification.metrics import ACCURACY

Row = tuple[str, str, str]


def of(right: np.ndarray) -> Statistics:
    return Statistics({"right": right})


def snapshot_of(folder: Path, rows: list[dict[str, str | None]], names: list[str]) -> Artifact:
    """Writes a snapshot of which only the test split is of interest."""
    with write_artifact(folder, "snapshot", {}) as draft:
        for number, part in enumerate((rows[:3], rows[3:])):
            pq.write_table(pa.Table.from_pylist(part, schema=_schema(rows)), folder / f"test-{number:05d}.parquet")
        draft.write_json("snapshot.json", {"task": "text-classification", "slices": names})
    return open_artifact(folder, "snapshot")


def _schema(rows: list[dict[str, str | None]]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in rows[0]])


def inventory_of(folder: Path, rows: list[Row]) -> Path:
    """Writes an inventory of rows: id, split, label."""
    folder.mkdir()
    table = [{"id": id_.zfill(32), "file": 0, "split": split, "label": label} for id_, split, label in sorted(rows)]
    pq.write_table(pa.Table.from_pylist(table), folder / "rows.parquet", row_group_size=2)
    return folder


def examples_of(labels: str) -> list[dict[str, str | None]]:
    """Test examples with ids "1", "2", … and these labels."""
    return [{"id": str(number).zfill(32), "label": label} for number, label in enumerate(labels, 1)]


def test_each_value_of_a_column_is_scored_apart_largest_first(tmp_path: Path) -> None:
    values = ["de", "en", None, "en", "de", "en"]
    rows = [{**row, "slice_1": value} for row, value in zip(examples_of("aaaaaa"), values, strict=True)]
    (found,) = column_slices(snapshot_of(tmp_path / "snapshot", rows, ["language"]))
    right = np.array([True, True, False, True, False, False])
    assert metric_by(found, ACCURACY, of(right), of(~right)) == [
        {"column": "language", "value": "en", "support": 3, "champion": 2 / 3, "challenger": 1 / 3},
        {"column": "language", "value": "de", "support": 2, "champion": 0.5, "challenger": 0.5},
        {"column": "language", "value": "(none)", "support": 1, "champion": 0.0, "challenger": 1.0},
    ]


def test_small_values_are_one_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "VALUES", 2)
    rows = [{**row, "slice_1": value} for row, value in zip(examples_of("aaaaaaa"), "ccbbdae", strict=True)]
    (found,) = column_slices(snapshot_of(tmp_path / "snapshot", rows, ["letter"]))
    told = metric_by(found, ACCURACY, of(np.ones(7, bool)), of(np.ones(7, bool)))
    assert [(row["value"], row["support"]) for row in told] == [("b", 2), ("c", 2), ("(3 other values)", 3)]


def test_snapshot_without_slices_has_none(tmp_path: Path) -> None:
    assert column_slices(snapshot_of(tmp_path / "snapshot", examples_of("ab"), [])) == []


@pytest.mark.parametrize("rows_at_once", [2, 65_536])
def test_examples_are_old_changed_or_new(rows_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "_ROWS", rows_at_once)
    snapshot = snapshot_of(tmp_path / "snapshot", examples_of("abcde"), [])
    rows: list[Row] = [("1", "", "a"), ("1", "", "a"), ("2", "", "x"), ("4", "", "d"), ("4", "", "e"), ("9", "", "a")]
    found = known_examples(snapshot, inventory_of(tmp_path / "inventory", rows))
    # The fourth had two labels and was set aside; the others are not there.
    assert [AGES[age] for age in found.ages] == ["old", "changed", "new", "new", "new"]
    assert found.seen == 0


def test_examples_that_the_champion_learned_from_are_counted(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path / "snapshot", examples_of("abcde"), [])
    rows: list[Row] = [("1", "train", "a"), ("2", "validation", "b"), ("3", "test", "c"), ("3", "train", "c")]
    assert known_examples(snapshot, inventory_of(tmp_path / "given", rows)).seen == 2
    drawn: list[Row] = [("1", "", "a"), ("2", "train", "b")]  # by a hash, as today: from these it has not learned
    assert known_examples(snapshot, inventory_of(tmp_path / "drawn", drawn)).seen == 0


@pytest.mark.parametrize(("trained_on", "seen"), [(["train"], 2), (["train", "validation", "test"], 4)])
def test_where_each_was_dealt_tells_what_the_champion_has_seen(
    trained_on: list[str], seen: int, tmp_path: Path
) -> None:
    snapshot = snapshot_of(tmp_path / "snapshot", examples_of("abcde"), [])
    rows: list[Row] = [("1", "", "a"), ("2", "", "b"), ("3", "", "c"), ("4", "", "d")]
    folder = inventory_of(tmp_path / "inventory", rows)
    dealt = pa.array(["train", "validation", "test", "test"])
    table = pq.read_table(folder / "rows.parquet").append_column("dealt", dealt)
    pq.write_table(table, folder / "rows.parquet")
    (folder / "inventory.json").write_text(json.dumps({"trained_on": trained_on}))
    assert known_examples(snapshot, folder).seen == seen


def test_empty_inventory_knows_nothing(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path / "snapshot", examples_of("ab"), [])
    (tmp_path / "inventory").mkdir()
    empty = pa.schema([("id", pa.string()), ("file", pa.int32()), ("split", pa.string()), ("label", pa.string())])
    pq.write_table(empty.empty_table(), tmp_path / "inventory/rows.parquet")
    assert known_examples(snapshot, tmp_path / "inventory").ages.tolist() == [2, 2]
