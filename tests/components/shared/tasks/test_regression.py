"""Numbers as answers: what a cell can hold, and what becomes of it up to the features."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.detect.comparison import compare
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.inventory import open_inventory
from components.shared.errors import InputError
from components.shared.tasks.regression.target import Number, Options
from components.shared.tasks.target import Asked
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_text_backbone
from tests.targets import try_task

TASK = "trial-regression"


def read(value: Any, options: Options = Options(), **asked: Any) -> Any:  # noqa: B008
    return Number(options).reader(Asked(["score"], TASK, **asked)).read(value, "a:1")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((1, 1.0), (2.5, 2.5), ("2.50", 2.5), (" -3 ", -3.0), ("1e3", 1000.0), (".5", 0.5), ("\u22122", -2.0)),
        *((-0.0, 0.0), (np.float32(0.5), 0.5), ([4.0], 4.0)),
    ],
)
def test_a_cell_holds_a_number_in_many_ways(value: Any, number: float) -> None:
    assert read(value) == (repr(number), None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing label"),
        ("", "missing label"),
        ("-", "missing label"),
        ("N/A", "missing label"),
        (float("nan"), "missing label"),
        (float("inf"), "label is no finite number"),
        ("inf", "label is no finite number"),
        ("1e999", "label is no finite number"),
        (10**400, "label is no number (int)"),
        (True, "label is no number (True)"),
        ("good", "label is no number ('good')"),
        ("4/5", "label is no number ('4/5')"),
        ([1, 2], "label is no number (list)"),
        ("1,5", "label is a number with a decimal comma; task_args: decimal takes it ('1,5')"),
        ("1,234.5", "label is a number whose thousands are parted ('1,234.5')"),
        ("1_000", "label is no number ('1_000')"),
    ],
)
def test_a_row_is_rejected_for_a_reason(value: Any, reason: str) -> None:
    assert read(value) == (None, reason)


def test_options_and_codes() -> None:
    comma = Options(decimal=",")
    assert read("1,5", comma) == ("1.5", None)
    assert read("1.234,5", comma)[1] is not None
    assert read("high", codes={"high": "3"}) == ("3.0", None)
    assert Number(comma).reader(Asked(["score"], TASK)).cells("1.5") == ["1,5"]
    for wrong in ({"tolerance": -1.0}, {"decimal": ";"}):
        with pytest.raises(InputError, match="task_args"):
            Options(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.randoms())
def test_merging_depends_on_no_order(values: list[float], draw: random.Random) -> None:
    target = Number(Options(tolerance=1e9))
    answers = [target.text(value) for value in values]
    merged = target.merge(answers)
    draw.shuffle(answers)
    assert target.merge(answers) == merged
    assert merged is not None
    assert min(values) - 1e-6 <= float(merged) <= max(values) + 1e-6


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_given_back(value: float) -> None:
    assert read(value)[0] == Number().text(value)
    assert Number().value(Number().text(value)) == value


def data(count: int = 240) -> list[dict[str, Any]]:
    draw = random.Random(3)
    return [{"text": f"row {n}", "score": round(draw.gauss(10, 2), 2)} for n in range(count)]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> None:
    try_task(monkeypatch, TASK, Number())


def run(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    settings = {"near_duplicates": 1.0, **settings}
    ingest(folder / "snapshot", IngestSettings(str(folder / "data.parquet"), ["text"], "score", task=TASK, **settings))
    return folder / "snapshot"


@pytest.mark.usefixtures("trial")
class TestSteps:
    def test_a_snapshot_tells_the_numbers_of_training_and_ranges_of_all(self, tmp_path: Path) -> None:
        snapshot = run(tmp_path, data())
        told = json.loads((snapshot / "snapshot.json").read_text())
        assert told["labels"] == []
        train = pq.read_table(snapshot / "train-00000.parquet")
        assert train.schema.field("label").type == pa.float64()
        values = train["label"].to_numpy()
        assert told["target"]["mean"] == pytest.approx(values.mean())
        assert told["target"]["deviation"] == pytest.approx(values.std())
        assert (told["target"]["low"], told["target"]["high"]) == (values.min(), values.max())
        numbers = json.loads((snapshot / "notes/profile.json").read_text())["numbers"]
        assert numbers["low"] < numbers["median"] < numbers["high"]
        sizes = np.array(
            [[counts.get(name, 0) for counts in told["classes"].values()] for name in told["classes"]["train"]]
        )
        assert len(sizes) == 10
        assert (abs(sizes.sum(1) - 24) <= 2).all()
        assert (sizes >= 2).all()  # each range is in each split

    def test_the_order_of_rows_does_not_matter(self, tmp_path: Path) -> None:
        first, second = run(tmp_path / "a", data()), run(tmp_path / "b", data()[::-1])
        assert open_artifact(first, "snapshot").digest == open_artifact(second, "snapshot").digest

    def test_the_same_input_again_has_the_mean_within_the_tolerance(self, tmp_path: Path) -> None:
        rows = [*data(), *({"text": "row 5", "score": data()[5]["score"] + step} for step in (0.25, 0.5)), *data()[:1]]
        snapshot = run(tmp_path / "a", rows, task_args={"tolerance": 0.5})
        tables = [pq.read_table(path) for path in sorted(snapshot.glob("*.parquet")) if "folds" not in path.name]
        found = {row["input_1"]: row["label"] for table in tables for row in table.to_pylist()}
        assert found["row 5"] == pytest.approx(data()[5]["score"] + 0.25)
        assert json.loads((snapshot / "notes/counts.json").read_text())["duplicates"] == 3
        inventory = open_inventory(snapshot / "notes/inventory")
        same = compare(inventory.rows(), [inventory.rows()], tasks.get(TASK, {"tolerance": 0.5}), inventory.answers)
        assert same.content.digest == inventory.data_digest  # what was merged then is merged alike now
        strict = run(tmp_path / "b", rows, max_rejects=0.1)
        assert "same input with different numbers" in (strict / "notes/rejects.csv").read_text("utf-8-sig")

    def test_numbers_that_do_not_differ_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="needs numbers that differ"):
            run(tmp_path, [{**row, "score": 1.0} for row in data()])

    def test_too_many_that_are_no_numbers_end_the_step(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="label is a number with a decimal comma"):
            run(tmp_path, [{**row, "score": str(row["score"]).replace(".", ",")} for row in data()])

    def test_features_hold_them_as_they_are(self, tmp_path: Path) -> None:
        snapshot = run(tmp_path, data(60))
        backbone = make_text_backbone("bert", tmp_path / "backbone")
        transform(snapshot, tmp_path / "features", TransformSettings(str(backbone)))
        features = open_artifact(tmp_path / "features", "features")
        assert features.read_json("features.json")["target"].keys() >= {"mean", "deviation"}
        split = FeatureSplit(features, "validation")
        rows = pq.read_table(snapshot / "validation-00000.parquet")
        assert split.targets["value"].tolist() == rows["label"].to_pylist()

    def test_detect_compares_ranges_of_then(self, tmp_path: Path) -> None:
        inventory = open_inventory(run(tmp_path / "a", data()) / "notes/inventory")
        higher = [{**row, "text": f"new {row['text']}", "score": row["score"] + 5} for row in data()]
        other = open_inventory(run(tmp_path / "b", higher) / "notes/inventory")
        found = compare(inventory.rows(), [other.rows()], tasks.get(TASK), inventory.answers).told()
        assert found["examples"]["new"] == 240
        assert found["balance"] > 0.5
        last = next(row for row in found["classes"] if row["label"].endswith("and more"))
        assert last["after"] > 5 * last["before"]
