"""The page of a retraining: the decision first, champion and challenger, the data, and all versions over time."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from components.evaluate.evaluate import EvaluateReport
from components.evaluate.page.history import history, known_versions
from components.evaluate.page.promotion import changes
from components.shared.charts import Mark, timeline
from components.shared.gate import PROMOTE, Decision
from components.shared.registry.registry import Version
from components.shared.statistics import wilson
from components.shared.tasks.classification.metrics import ACCURACY
from tests.components.evaluate.champions import CHANGES
from tests.components.evaluate.conftest import Retraining
from tests.components.evaluate.test_report import Elements, words

DECISION = Decision(PROMOTE, ("It is better than the champion.",))
CONTENT: dict[str, Any] = {"metrics": {"accuracy": 0.9}, "examples": 400, "rows": {"train": 3000}, "changes": CHANGES}


def version(number: int, *aliases: str, **tags: str) -> Version:
    told = {
        "model_digest": f"{number}",
        "test_accuracy": "0.8",
        "test_examples": "200",
        "train_examples": "1500",
        **tags,
    }
    return Version("demo", str(number), list(aliases), "2026-11-24T09:00:00Z", "", {}, "", told)


def test_page_begins_with_the_decision_and_its_reasons(retraining_report: EvaluateReport) -> None:
    text = retraining_report.report.read_text("utf-8")
    assert re.findall(r"<h1>(.*?)</h1>", text) == ["To be promoted: better than version 1"]
    body = Elements(text[text.index("<main>") : text.index("<h2>")]).text
    assert retraining_report.reasons[0] in body
    assert "have labels that the champion does not know, and count as wrong for it: harbour" in " ".join(body.split())
    assert "labels that today’s data has no more; where it predicts one, it counts as wrong: galley" in body
    assert re.findall(r"<h2>(.*?)</h2>", text)[:5] == [
        "Champion and challenger", "Data since the champion", "Over time", "Verdict over the baselines",
        "Against the baselines",
    ]  # fmt: skip


def test_page_shows_champion_and_challenger_side_by_side(retraining_report: EvaluateReport) -> None:
    text = retraining_report.report.read_text("utf-8")
    body = words(text, "Champion and challenger", "Data since the champion")
    for told in ("Parameters", "Weights on disk 148 kB 148 kB × 1.00", "A batch of 64", "Accuracy by channel", "old",
                 "changed", "new", "<b>chat</b>", "harbour", "Recall by class"):  # fmt: skip
        assert told in body
    assert "b" not in Elements(text[: text.index("<h2>Over time")]).names  # a value of a slice is no element


def test_page_tells_what_changed_in_the_data(retraining_report: EvaluateReport) -> None:
    body = words(retraining_report.report.read_text("utf-8"), "Data since the champion", "Over time")
    assert CHANGES["sentence"] in body
    for told in ("New 160", "Gone 40", "New labels: harbour.", "Vanished labels: galley.", "accuracy 0.570",
                 "p = 0.012", "harbour 0 → 60 0.0 % 16.7 % +16.7", "Altogether 29.2 %"):  # fmt: skip
        assert told in body


def test_page_shows_all_versions(retraining_report: EvaluateReport) -> None:
    body = words(retraining_report.report.read_text("utf-8"), "Over time", "Verdict over the baselines")
    content = json.loads((retraining_report.report.parents[1] / "evaluation.json").read_text("utf-8"))
    value = content["metrics"]["accuracy"]
    low, high = wilson(value, content["examples"])
    assert f"This model not yet {value:.3f} {low:.3f} to {high:.3f} 184 0.570 to be promoted 1 20" in body
    assert body.endswith("champion")


@pytest.mark.usefixtures("registry")
def test_page_of_a_first_model_says_that_there_is_no_champion(retrained: Retraining, tmp_path: Path) -> None:
    text = retrained.today.evaluate(tmp_path / "evaluation").report.read_text("utf-8")
    assert "<h1>To be promoted: the first champion</h1>" in text
    assert "There is no champion yet." in text
    assert not {"Champion and challenger", "Data since the champion", "Over time"} & set(
        re.findall(r"<h2>(.*?)</h2>", text)
    )


@pytest.mark.usefixtures("registry")
def test_model_that_nobody_registered_has_no_versions() -> None:
    assert known_versions("nobody") == []


def test_history_tells_what_became_of_each_version() -> None:
    versions = [
        version(5, decision="refuse", reasons="It is worse.", drift_score="0.7"),
        version(4, "champion", decision="promote", promoted_at="2026-11-23"),
        version(3, "previous", decision="promote", promoted_at="2026-11-22"),
        version(2, decision="promote", promoted_at="2026-11-21"),
        version(1, decision="await approval", test_accuracy="a lot", train_examples="nan", test_examples="0"),
    ]
    told = history(versions, DECISION, CONTENT, "new", ACCURACY)
    assert told
    points = told["points"]
    assert [(point.name, point.look, point.outcome) for point in points] == [
        ("this", "now", "to be promoted"),
        ("5", "other", "refused"),
        ("4", "champion", "champion"),
        ("3", "promoted", "previous"),
        ("2", "promoted", "was champion"),
        ("1", "other", "awaits approval"),
    ]
    assert (points[1].drift, points[0].drift) == (0.7, 0.57)
    assert (points[-1].value, points[-1].low, points[-1].examples) == (None, None, None)  # people write tags, too
    assert [title for title, _ in told["charts"]] == [
        "Test accuracy, with 95 % interval", "Training examples", "Drift of the inputs",
    ]  # fmt: skip
    assert [mark["title"] for mark in told["charts"][2][1]["marks"]] == [
        "version 5: refused",
        "this model: to be promoted",
    ]


def test_model_that_was_registered_before_is_no_version_of_its_own() -> None:
    assert history([version(1)], DECISION, CONTENT, "1", ACCURACY) is None
    told = history([version(2), version(1)], DECISION, CONTENT, "2", ACCURACY)
    assert told
    assert [point.name for point in told["points"]] == ["this", "1"]


def test_only_the_newest_versions_are_shown() -> None:
    told = history([version(number) for number in range(50, 0, -1)], DECISION, CONTENT, "new", ACCURACY)
    assert told
    assert [point.name for point in told["points"]] == ["this", *map(str, range(50, 20, -1))]
    assert told["all"] == 51
    names = [name for _, name in told["charts"][0][1]["names"]]
    assert names[-1] == "this"
    assert len(names) <= 10


@pytest.mark.parametrize(("right", "examples"), [(0, 20), (17, 20), (20, 20), (720, 1000)])
def test_interval_of_an_accuracy_is_wilsons(right: int, examples: int) -> None:
    expected = binomtest(right, examples).proportion_ci(method="wilson")
    assert wilson(right / examples, examples) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_chart_over_time_leaves_out_what_is_not_known() -> None:
    assert timeline(["1", "this"], [Mark(None, "other", ""), Mark(None, "now", "")], 0.1) is None
    drawn = timeline(["1", "this"], [Mark(None, "other", ""), Mark(0.5, "now", "this", 0.4, 0.6)], 0.1)
    assert drawn
    (mark,) = drawn["marks"]
    assert mark["ends"] == [drawn["y"](0.4), drawn["y"](0.6)]
    bars = timeline(["1"], [Mark(20.0, "now", "")], 1.0, bars=True)
    assert bars
    assert bars["y"](0) == 216


def test_without_a_champion_there_are_no_changes() -> None:
    assert changes({}) is None
    assert changes({"sentence": "There is no champion yet.", "champion": "", "drift": {}}) is None
    assert changes({"sentence": "All is new.", "champion": "1"}) == {
        "sentence": "All is new.", "champion": "1", "counts": [], "labels": [], "classes": [], "all": 0,
        "balance": None, "drift": None,
    }  # fmt: skip
