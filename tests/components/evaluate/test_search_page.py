"""What the page tells of how the model was found: candidates, words, costs; and nothing where nothing is told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.evaluate.page.search import search
from components.shared import tasks
from tests.components.evaluate.artifacts import arm, with_notes
from tests.components.evaluate.conftest import PROBE
from tests.components.evaluate.test_report import words

FROZEN = "Frozen backbone, linear head"
HISTORY: dict[str, Any] = {
    **PROBE,
    "selection": "macro_f1",
    "budget_minutes": 3.0,
    "temperature": 1.7,
    "learned": True,
    "candidates": [
        {"name": "probe", "what": "mean of the tokens", "seconds": 21.4, "kept": False, "note": "",
         "validation": {"validation_loss": 0.4, "accuracy": 0.91, "macro_f1": 0.88}},
        {"name": "full", "what": "learning rate <3e-4>", "seconds": 83.0, "kept": True, "note": "best after 2 epochs",
         "validation": {"validation_loss": 0.3, "accuracy": 0.93, "macro_f1": 0.92}},
    ],
}  # fmt: skip
LEXICAL = {
    "sides": {"words": {"share": 0.7, "accuracy": 0.9}, "backbone": {"share": 0.3, "accuracy": 0.88}},
    "classes": {"digit 0": [["<b>zero</b>", 2.0], ["naught", 1.0]], "digit 1": [["one", 1.5]]},
}


@pytest.fixture(scope="module")
def told(digits: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> EvaluateReport:
    """Of a model with all that a search leaves in its notes, a frozen backbone to be beaten among them."""
    folder = tmp_path_factory.mktemp("search")
    rival = {**arm(FROZEN, 0.85, pretrained=True, strategy="probe"), "baseline": True, "bytes": 4_000_000}
    notes = {"history": HISTORY, "arms": [rival], "reference": None, "curve": [], "lexical": LEXICAL}
    model = with_notes(digits["model"], digits["features"], folder / "model", notes)
    return evaluate(digits["snapshot"], digits["features"], model, folder / "evaluation", EvaluateSettings())


@pytest.fixture(scope="module")
def body(told: EvaluateReport) -> str:
    return words(told.report.read_text("utf-8"), "Against the baselines", "Data")


def test_every_candidate_stands_on_the_page(body: str) -> None:
    assert "What was tried 2 candidates in 1 min 44 s of the 3 minutes that were given" in body
    assert "What does best by macro-F1 on the validation examples is kept" in body
    kept, other = (
        body.index("full kept learning rate <3e-4>; best after 2 epochs 0.920"),
        body.index("probe mean of the"),
    )
    assert kept < other  # the best comes first


def test_a_frozen_backbone_with_a_linear_head_is_a_baseline(told: EvaluateReport, body: str) -> None:
    assert told.baselines[FROZEN]["accuracy"] == pytest.approx(0.85)
    assert told.transfer is None  # it is no arm of the check of transfer
    assert f"{FROZEN} " in body
    assert "4.0 MB" in body


def test_the_strongest_rival_is_named_with_time_and_size(told: EvaluateReport, body: str) -> None:
    assert told.best_baseline == max(told.baselines, key=lambda name: told.baselines[name]["accuracy"])
    assert f"{told.best_baseline} strongest rival" in body
    assert "gradients of 8 x 8 pixels; squared hinge, C = " in body
    assert " kB " in body[body.index("SVM on HOG") :]


def test_words_that_carry_a_class_are_shown_and_are_no_html(told: EvaluateReport, body: str) -> None:
    assert "Words 70 % of what decides, alone 0.900 on validation" in body
    assert "digit 0 <b>zero</b> naught" in body
    assert "<b>zero</b>" not in told.report.read_text("utf-8")


def test_calibration_is_told_before_and_after(body: str) -> None:
    assert "before the temperature of 1.70, which validation gave" in body
    assert "Answer only when sure, and hand the rest to people" in body


def test_a_model_without_a_search_has_none_of_it(report: EvaluateReport) -> None:
    text = report.report.read_text("utf-8")
    for absent in ("What was tried", "Words that carry", "are uneven"):
        assert absent not in text


def test_noise_that_finetune_found_nothing_in_is_refused(digits: dict[str, Path], tmp_path: Path) -> None:
    history = {**PROBE, "learned": False, "reason": "12 of 100 are right.", "advice": "Check the labels."}
    model = with_notes(digits["model"], digits["features"], tmp_path / "model", {"history": history})
    settings = EvaluateSettings(promotion={"must_beat_baseline": False})
    found = evaluate(digits["snapshot"], digits["features"], model, tmp_path / "evaluation", settings)
    assert found.verdict == "nothing was learned"
    assert found.decision == "refuse"
    assert found.reasons == ["Nothing was learned: 12 of 100 are right. Check the labels."]
    assert "<h1>Nothing was learned" in found.report.read_text("utf-8")


def test_what_training_measures_alone_is_told_too() -> None:
    """Training looks at places of answers, evaluation at their words: the page has both names."""
    rows = [
        {"name": name, "seconds": 1.0, "validation": {"validation_loss": 1.0, "span_f1": value, "span_match": 0.1}}
        for name, value in (("probe", 0.4), ("full", 0.6))
    ]
    history = {"selection": "span_f1", "candidates": rows}
    model: Any = SimpleNamespace(files=["notes/history.json"], read_json=lambda _: history)
    found = search(model, tasks.get("question-answering"))
    assert found is not None
    assert [row["name"] for row in found["rows"]] == ["full", "probe"]
    assert (found["selection"], found["metric"].name, found["other"].heading) == ("span F1", "span_f1", "Span match")
