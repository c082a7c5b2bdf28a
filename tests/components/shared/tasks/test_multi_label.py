"""Several labels an example: what a cell can hold, and what becomes of it up to the features."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.detect.comparison import compare
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.inventory import open_inventory
from components.shared.errors import InputError
from components.shared.tasks.multi_label.target import LabelSets, Options
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_text_backbone
from tests.targets import try_task

TASK = "trial-multi-label"
PIPE = Options(delimiter="|")


def reader(options: Options = Options(), columns: tuple[str, ...] = ("labels",), **asked: Any) -> Any:  # noqa: B008
    return LabelSets(options).reader(Asked(columns, TASK, **asked))


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["b", "a"], ["a", "b"]),
        (["a", "a"], ["a"]),
        ([], []),
        (("a",), ["a"]),
        ("a", ["a"]),
        ("['b', 'a']", ["a", "b"]),
        ('["b", "a"]', ["a", "b"]),
        ("[]", []),
        ({"a": 1.0, "b": 0.0, "c": True}, ["a", "c"]),
        ('{"choices": ["b", "a"]}', ["a", "b"]),
        ([1, 2.0], ["1", "2"]),
        (["é", "e\u0301"], ["é"]),
        ("[draft", ["[draft"]),
    ],
)
def test_a_cell_holds_labels_in_many_ways(value: Any, labels: list[str]) -> None:
    assert reader().read(value, "a:1") == (json.dumps(labels, ensure_ascii=False), None)


@pytest.mark.parametrize(("value", "labels"), [("a|b", ["a", "b"]), ("b| a |", ["a", "b"]), ("a", ["a"])])
def test_a_delimiter_parts_a_text(value: str, labels: list[str]) -> None:
    assert reader(PIPE).read(value, "a:1") == (json.dumps(labels), None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing label"),
        ("", "missing label"),
        (" ", "missing label"),
        (float("nan"), "missing label"),
        (["a", None], "a label is missing in the list"),
        (["x" * 1001], "label longer than 1,000 characters"),
        (["\udcff"], "invalid UTF-8 in the label"),
        ("x" * 100_001, "labels longer than 100,000 characters"),
    ],
)
def test_a_row_is_rejected_for_a_reason(value: Any, reason: str) -> None:
    assert reader().read(value, "a:1") == (None, reason)


def test_empty_cells_have_no_label_where_the_job_says_so() -> None:
    assert reader(Options(empty_is_none=True)).read("", "a:1") == ("[]", None)
    assert reader().read(["z"], "a:1") == ('["z"]', None)
    assert reader(allowed=["a"]).read(["z"], "a:1") == (None, "unknown label")
    assert reader(codes={"1": "spam"}).read([1], "a:1") == ('["spam"]', None)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((1, 0), ('["toxic"]', None)),
        (("0", "True"), ('["rude"]', None)),
        ((0.0, 0.0), ("[]", None)),
        ((None, None), (None, "missing label")),
        ((1, None), (None, "no value in some of the label columns (rude)")),
        ((1, 0.5), (None, "a label column holds neither 0 nor 1 (rude: '0.5')")),
    ],
)
def test_columns_of_zeros_and_ones(values: Any, found: Any) -> None:
    read = reader(columns=("toxic", "rude"))
    assert read.read(values, "a:1") == found
    assert read.cells('["rude"]') == [0, 1]


def test_zeros_and_ones_in_a_list_need_names() -> None:
    with pytest.raises(InputError, match=r"holds 4 zeros and ones in a list.*data\.labels"):
        reader().read([0, 1, 1, 0], "a.parquet:3")
    assert reader(allowed=["a", "b", "c"]).read([0, 1, 1], "a:1") == ('["b", "c"]', None)


def test_labels_in_one_text_are_seen_when_all_are_known() -> None:
    census = LabelSets().census(Asked(["labels"], TASK))
    census.add({'["a|b"]': 3, '["a"]': 5, '["b"]': 2})
    with pytest.raises(InputError, match=r'task_args: \{delimiter: "\|"\}'):
        census.check(10)
    census = LabelSets().census(Asked(["labels"], TASK))
    census.add({'["News", "news "]': 3, '["news"]': 5})
    with pytest.raises(InputError, match="normalize_labels"):
        census.check(8)


def data(count: int = 120) -> list[dict[str, Any]]:
    """Texts with none, one or both of two labels, and a rare third one."""
    rows = [
        {"text": f"row {n} of {n % 4}", "labels": [name for k, name in enumerate(("x", "y")) if n % 4 >> k & 1]}
        for n in range(count)
    ]
    for row in rows[1:8:2]:
        row["labels"] = [*row["labels"], "rare"]
    return rows


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> None:
    try_task(monkeypatch, TASK, LabelSets())


def run(folder: Path, rows: list[dict[str, Any]], label: str = "labels", **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    settings = {"near_duplicates": 1.0, **settings}
    ingest(folder / "snapshot", IngestSettings(str(folder / "data.parquet"), ["text"], label, task=TASK, **settings))
    return folder / "snapshot"


@pytest.mark.usefixtures("trial")
class TestSteps:
    def test_a_snapshot_holds_lists_and_counts_each_label(self, tmp_path: Path) -> None:
        snapshot = run(tmp_path, data())
        told = json.loads((snapshot / "snapshot.json").read_text())
        assert told["labels"] == ["rare", "x", "y"]
        assert sum(told["rows"].values()) == 120
        assert sum(counts["x"] for counts in told["classes"].values()) == 60
        assert all(told["classes"][split][name] for split in told["classes"] for name in ("x", "y", "rare", NONE))
        table = pq.read_table(snapshot / "train-00000.parquet")
        assert table.schema.field("label").type == pa.list_(pa.string())
        by_text = {row["text"]: sorted(row["labels"]) for row in data()}
        assert all(row["label"] == by_text[row["input_1"]] for row in table.to_pylist())

    def test_however_the_labels_are_written_the_snapshot_is_the_same(self, tmp_path: Path) -> None:
        lists = run(tmp_path / "a", data())
        joined = [{**row, "labels": "|".join(row["labels"])} for row in data()]
        args = {"delimiter": "|", "empty_is_none": True}
        texts = run(tmp_path / "b", joined, task_args=args)
        flags = [{**row, **{name: int(name in row["labels"]) for name in ("x", "y", "rare")}} for row in data()]
        columns = run(tmp_path / "c", flags, '["x", "y", "rare"]')
        for split in ("train", "validation", "test"):
            tables = [pq.read_table(one / f"{split}-00000.parquet") for one in (lists, texts, columns)]
            assert tables[0].equals(tables[1])
            assert tables[0].equals(tables[2])

    @pytest.mark.parametrize(("rule", "labels"), [("drop", ["x", "y"]), ("merge", ["other", "x", "y"])])
    def test_rare_labels_go_and_their_examples_stay(self, rule: str, labels: list[str], tmp_path: Path) -> None:
        snapshot = run(tmp_path, data(), rare_classes=rule)
        told = json.loads((snapshot / "snapshot.json").read_text())
        assert told["labels"] == labels
        assert sum(told["rows"].values()) == 120
        tables = [pq.read_table(snapshot / f"{split}-00000.parquet") for split in told["rows"]]
        found = [row["label"] for table in tables for row in table.to_pylist()]
        assert {name for row in found for name in row} == set(labels)
        assert sum("x" in row for row in found) == sum(counts["x"] for counts in told["classes"].values())
        assert sum(not row for row in found) == sum(counts.get(NONE, 0) for counts in told["classes"].values())

    def test_what_contradicts_is_set_aside_with_its_cells(self, tmp_path: Path) -> None:
        again = [*data(), {"text": "row 3 of 3", "labels": ["x"]}, {"text": "row 2 of 2", "labels": ["y"]}]
        snapshot = run(tmp_path, again, max_rejects=0.1)
        lines = (snapshot / "notes/rejects.csv").read_text("utf-8-sig").splitlines()
        assert [line.split(",", 3)[2] for line in lines[1:]] == ["same input with different labels"] * 2
        counts = json.loads((snapshot / "notes/counts.json").read_text())
        assert counts["duplicates"] == 1

    def test_nothing_to_tell_apart_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="All examples have the label 'x'"):
            run(tmp_path / "a", [{**row, "labels": ["x"]} for row in data()])
        with pytest.raises(InputError, match="No example has a label"):
            run(tmp_path / "b", [{**row, "labels": ["x"][:0]} for row in data()])

    def test_features_hold_the_places_of_labels(self, tmp_path: Path) -> None:
        snapshot = run(tmp_path, data())
        backbone = make_text_backbone("bert", tmp_path / "backbone")
        transform(snapshot, tmp_path / "features", TransformSettings(str(backbone)))
        features = open_artifact(tmp_path / "features", "features")
        told = features.read_json("features.json")
        assert told["targets"] == ["labels"]
        assert told["columns"] == ["input_ids"]
        split = FeatureSplit(features, "train", "test")
        rows = [
            row for name in ("train", "test") for row in pq.read_table(snapshot / f"{name}-00000.parquet").to_pylist()
        ]
        assert split.ids == [row["id"] for row in rows]
        places = split.take_lists(np_range(len(split)))["labels"]
        assert [[told["labels"][n] for n in own] for own in places] == [row["label"] for row in rows]
        assert (split.labels == -1).all()

    def test_detect_compares_label_by_label(self, tmp_path: Path) -> None:
        inventory = open_inventory(run(tmp_path / "a", data()) / "notes/inventory")
        other = open_inventory(run(tmp_path / "b", data(160)) / "notes/inventory")
        found = compare(inventory.rows(), [other.rows()], tasks.get(TASK), inventory.answers).told()
        assert found["examples"] == {"before": 120, "after": 160, "new": 40, "changed": 0, "vanished": 0}
        assert {row["label"]: (row["before"], row["after"]) for row in found["classes"]}["x"] == (60, 80)

    def test_options_are_checked_by_name_and_kind(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no option 'delimeter'.*Did you mean 'delimiter'"):
            run(tmp_path / "a", data(), task_args={"delimeter": "|"})
        with pytest.raises(InputError, match=r"task_args\.empty_is_none .* bool was expected"):
            run(tmp_path / "b", data(), task_args={"empty_is_none": "yes"})


def np_range(count: int) -> Any:
    import numpy as np

    return np.arange(count)
