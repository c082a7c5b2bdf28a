"""Answers of several tasks: read with what is missing, merged, dealt by the strata of each, and made features of."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.tasks.multi_task.target import Answers
from components.shared.tasks.target import Asked

TOLD: dict[str, Any] = {
    "kind": {"task": "text-classification", "label": "kind"},
    "marks": {"task": "multi-label-classification", "label": ["new", "sold"]},
    "size": {"task": "text-regression", "label": "size", "weight": 0.5, "task_args": {"tolerance": 1.0}},
}
COLUMNS = ["kind", "new", "sold", "size"]
ASKED = Asked(COLUMNS, "multi-task")


@pytest.fixture(scope="module")
def target() -> Answers:
    found = tasks.get("multi-task", {"tasks": TOLD}).target
    assert isinstance(found, Answers)
    return found


def read(target: Answers, *values: Any) -> tuple[str | None, str | None]:
    return target.reader(ASKED).read(list(values), "a.csv:2")


def test_a_row_has_the_answers_that_somebody_gave(target: Answers) -> None:
    answer, reason = read(target, "boat", 1, 0, 2.5)
    assert reason is None
    assert answer is not None
    assert target.value(answer) == {"kind": "boat", "marks": ["new"], "size": 2.5}
    assert target.text(target.value(answer)) == answer
    assert target.reader(ASKED).cells(answer) == ["boat", 1, 0, "2.5"]
    half, _ = read(target, "", None, None, "3")
    assert half is not None
    assert target.value(half) == {"kind": None, "marks": None, "size": 3.0}
    assert target.text(target.value(half)) == half
    assert target.reader(ASKED).cells(half) == [None, None, None, "3.0"]
    assert read(target, None, None, None, None) == (None, "missing label")


def test_a_fault_names_its_task(target: Answers) -> None:
    assert read(target, "boat", 1, 0, "large")[1] == "size: label is no number ('large')"
    assert read(target, "boat", 1, None, 2)[1] == "marks: no value in some of the label columns (sold)"


def test_what_a_job_says_of_one_task_is_refused(target: Answers) -> None:
    with pytest.raises(InputError, match="under tasks.NAME.labels"):
        target.reader(Asked(COLUMNS, "multi-task", ["boat"]))
    with pytest.raises(InputError, match="data.label names 'kind', and the tasks want 'new', 'sold', 'size', too"):
        target.reader(Asked(["kind"], "multi-task"))
    with pytest.raises(InputError, match="none is named: set tasks in the job"):
        tasks.get("multi-task").target.reader(ASKED)


def test_rows_of_one_input_give_each_task_what_there_is(target: Answers) -> None:
    one, other = json.dumps({"kind": "boat"}), json.dumps({"size": "2.0"})
    assert target.merge([one, other]) == target.merge([other, one]) == json.dumps({"kind": "boat", "size": "2.0"})
    assert target.merge([other, json.dumps({"size": "3.0"})]) == json.dumps({"size": "2.5"})  # within the tolerance
    assert target.merge([one, json.dumps({"kind": "garden", "size": "2.0"})]) is None


def test_each_task_is_counted_on_the_rows_that_have_its_answer(target: Answers) -> None:
    rows = [{"kind": "ab"[n % 2]} | ({"size": str(float(n))} if n % 4 == 0 else {}) for n in range(40)]
    found = target.stratification()
    answers = sorted({json.dumps(row) for row in rows})
    for part in (rows[:25], rows[25:]):  # they come in buckets
        found.add(np.array([answers.index(json.dumps(row)) for row in part], np.int32), answers)
    memberships, splits = found.memberships(), np.repeat([0, 1, 2], [20, 10, 10])
    counts = memberships.of_splits(splits)
    assert counts["train"]["kind: a"] == counts["train"]["kind: b"] == 10
    assert sum(count for name, count in counts["train"].items() if name.startswith("size: ")) == 5
    assert memberships.count == 40
    assert np.bincount(memberships.examples).tolist() == [1 + (n % 4 == 0) for n in range(40)]
    told = found.told(splits)
    assert told["tasks"]["size"] | {"edges": []} == {
        "edges": [], "mean": 8.0, "deviation": np.sqrt(32), "low": 0.0, "high": 16.0, "examples": 5, "share": 0.25,
    }  # fmt: skip
    answer = json.dumps({"kind": "b", "size": "5.0"})
    assert target.strata(answer, told) == ("kind: b", "size: 4 to 8")


def test_a_task_without_answers_in_a_split_is_refused(target: Answers) -> None:
    counts = {
        split: Counter({"kind: a": 5, "kind: b": 5, "marks: new": 3, "marks: (none)": 2})
        for split in ("train", "validation", "test")
    }
    with pytest.raises(
        InputError, match="No example of the train and validation and test split has an answer for 'size'"
    ):
        target.check_learnable(counts, "kind and size")
    counts["train"]["kind: a"] = 0
    with pytest.raises(InputError, match="no training example: 'a'"):
        target.check_learnable({split: +found for split, found in counts.items()}, "kind")


def test_features_hold_a_column_of_each_task_and_who_has_an_answer(target: Answers) -> None:
    spec = {"tasks": {"kind": {"labels": ["a", "b"]}, "marks": {"labels": ["new", "sold"]}, "size": {"mean": 0.0}}}
    rows = [
        {"kind": "b", "marks": ["new", "sold"], "size": None},
        {"kind": None, "marks": None, "size": 2.5},
        {"kind": "a", "marks": [], "size": 1.0},
    ]
    columns = dict(zip(target.features.names, target.encode(pa.array(rows, target.type), spec), strict=True))
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "kind.label": [1, 0, 0], "kind.labelled": [1, 0, 1],
        "marks.labels": [[0, 1], [], []], "marks.labelled": [1, 0, 1],
        "size.value": [0.0, 2.5, 1.0], "size.labelled": [0, 1, 1],
    }  # fmt: skip
    assert all(columns[field.name].type == field.type for field in target.features)


def test_a_loss_of_chance_is_the_entropy_of_what_people_named(target: Answers) -> None:
    counts = {"train": {"kind: a": 30, "kind: b": 10, "marks: new": 20, "marks: sold": 10, "size: all": 40}}
    counts |= dict.fromkeys(("validation", "test"), counts["train"])
    own = {"examples": 40, "share": 1.0}
    told = {"kind": own, "marks": own, "size": {**own, "mean": 0.0, "deviation": 1.0}}
    spec = target.spec(counts, {"tasks": told})["tasks"]
    half, quarter = -2 * 0.5 * np.log(0.5), -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert [spec[name]["chance"] for name in spec] == pytest.approx([quarter, half + quarter, 1.0])
    assert [spec[name]["labels"] for name in spec] == [["a", "b"], ["new", "sold"], []]
    assert [spec[name]["head"] for name in spec] == ["classification", "multi_label", "regression"]
    assert "examples" not in spec["size"]
