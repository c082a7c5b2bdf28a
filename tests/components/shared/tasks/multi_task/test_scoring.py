"""Several tasks are scored each by its own metrics, on the examples that have an answer, and gated by each of them."""

from typing import Any

import numpy as np
import pytest

from components.evaluate.baselines import Baselines
from components.evaluate.members import compare_all, duels_of
from components.evaluate.verdict import Learnt
from components.shared import gate, tasks
from components.shared.baselines import Labelled, Terms
from components.shared.errors import InputError
from components.shared.statistics import Statistics, measure, paired_gain, score_of
from components.shared.tasks.multi_task.samples import TASKS as OF_SAMPLE
from components.shared.tasks.scoring import Scored

TASK: Any = tasks.get(
    "multi-task",
    {
        "tasks": {
            "kind": {"task": "text-classification", "label": "kind"},
            "marks": {"task": "multi-label-classification", "label": "marks"},
            "size": {"task": "text-regression", "label": "size", "weight": 2.0},
        }
    },
)
SPEC: dict[str, Any] = {
    "labels": [],
    "tasks": {
        "kind": {"labels": ["a", "b", "c"]},
        "marks": {"labels": ["new", "sold"]},
        "size": {"labels": [], "mean": 0.0, "deviation": 10.0},
    },
}
DRAW = np.random.default_rng(3)
COUNT = 400
KINDS, MARKS, SIZES = DRAW.integers(0, 3, COUNT), DRAW.random((COUNT, 2)) < 0.4, DRAW.normal(0, 10, COUNT)
TOLD = {name: np.arange(COUNT) % every != 0 for name, every in (("kind", 4), ("marks", 3), ("size", 5))}


def named(row: np.ndarray) -> list[str]:
    return [name for name, there in zip(("new", "sold"), row, strict=True) if there]


VALUES = [
    {
        "kind": "abc"[KINDS[n]] if TOLD["kind"][n] else None,
        "marks": named(MARKS[n]) if TOLD["marks"][n] else None,
        "size": float(SIZES[n]) if TOLD["size"][n] else None,
    }
    for n in range(COUNT)
]
SCORING = TASK.scoring
TARGETS = SCORING.targets(VALUES, SPEC)


def predicted(noise: dict[str, float], seed: int = 1) -> np.ndarray:
    """Predictions that are the farther off the more noise a task has: a share of wrong kinds and marks, a deviation."""
    draw = np.random.default_rng(seed)
    kinds = np.where(draw.random(COUNT) < noise["kind"], (KINDS + 1) % 3, KINDS)
    marks = MARKS ^ (draw.random(MARKS.shape) < noise["marks"])
    sizes = SIZES + draw.normal(0, 10 * noise["size"], COUNT)
    shares = (np.eye(3)[kinds] * 0.85 + 0.05).tolist()
    columns = {
        "kind": [{"label": "", "confidence": 0.9, "probabilities": row} for row in shares],
        "marks": [{"labels": named(row), "probabilities": row * 0.8 + 0.1} for row in marks],
        "size": [{"value": value} for value in sizes.tolist()],
    }
    found = SCORING.read(columns, SPEC)
    assert isinstance(found, np.ndarray)
    return found


GOOD = {"kind": 0.1, "marks": 0.1, "size": 0.3}


def scored(seed: int = 1, **noise: float) -> Statistics:
    found = SCORING.score(predicted({**GOOD, **noise}, seed), TARGETS, SPEC)
    assert isinstance(found, Statistics)
    return found


def test_a_metric_of_a_task_is_its_own_on_the_examples_that_have_an_answer() -> None:
    statistics, predictions = scored(), predicted(GOOD)
    told = measure(TASK.metrics, statistics)
    for number, part in enumerate(TASK.members):
        there, own = TOLD[part.name], SPEC["tasks"][part.name]
        truth = part.task.scoring.targets([value[part.name] for value in np.array(VALUES)[there]], own)
        alone = part.task.scoring.score(np.array([row[number] for row in predictions])[there], truth, own)
        for metric in part.task.metrics:
            if metric.applies(alone):
                assert told[f"{part.name}.{metric.name}"] == pytest.approx(score_of(metric, alone))
        same = TASK.of_member(statistics, part.name)
        assert len(same) == there.sum()
        ours, theirs = (TASK.of_member(scored(seed), part.name) for seed in (1, 2))
        assert paired_gain(part.metric, ours, theirs, 0).examples == there.sum()
    mean = (told["kind.accuracy"] + told["marks.micro_f1"] + 2 * told["size.pearson"]) / 4  # type: ignore[operator]
    assert told["mean_score"] == pytest.approx(mean)


def test_a_bootstrap_draws_examples_of_all_tasks_at_once() -> None:
    weights = np.random.default_rng(0).multinomial(COUNT, np.full(COUNT, 1 / COUNT), size=3).astype(float)
    statistics = scored()
    places = np.repeat(np.arange(COUNT), weights[1].astype(int))
    for metric in TASK.metrics:
        if metric.applies(statistics):
            assert metric.value(statistics, weights)[1] == pytest.approx(metric.value(statistics.take(places))[0])


def test_answers_of_examples_without_a_label_are_told_too() -> None:
    predictions, statistics = predicted(GOOD), scored()
    columns = SCORING.columns(predictions, statistics, SPEC)
    assert columns["kind.predicted"].to_pylist() == ["abc"[row[0].argmax()] for row in predictions]
    assert columns["size.value"].to_pylist() == [row[2] for row in predictions]
    none = SCORING.targets([{"kind": None, "marks": [], "size": 1.0}] * COUNT, SPEC)
    told = SCORING.columns(predictions, SCORING.score(predictions, none, SPEC), SPEC)
    assert told["kind.predicted"].null_count == COUNT


def test_mistakes_are_the_worst_answers_of_any_task() -> None:
    statistics = scored(size=0.0, kind=0.2, marks=0.0)
    bad = SCORING.worst(statistics)
    wrong = TOLD["kind"] & (statistics["kind.labels"] != statistics["kind.predicted"])
    assert (~np.isnan(bad) == wrong).all()
    view = SCORING.view(statistics, int(np.flatnonzero(wrong)[0]), SPEC)
    assert view.badge == "0.900"
    assert view.title.startswith("kind: labelled")
    assert view.said[0][0] == "kind: predicted"
    assert all(word.startswith(("kind", "but")) for word, _ in view.said)


def test_a_model_is_as_good_as_its_worst_task() -> None:
    constant = SCORING.constant(TARGETS, {"kind: a": 9, "kind: b": 1}, SPEC, COUNT)
    rivals = {"Same": SCORING.score(constant.predictions, TARGETS, SPEC), "Classical models 1": scored(2, kind=0.3)}
    told = {"Classical models 1": {"names": {"kind": "SVM", "marks": "SVM", "size": "Ridge"}}}
    baselines = Baselines(rivals, "", COUNT, COUNT, told=told, constant="Same")

    def compared(statistics: Statistics) -> dict[str, Any]:
        return compare_all(statistics, baselines, Learnt(), TASK, TASK.metrics[0], 0)

    better = compared(scored(kind=0.05, marks=0.01, size=0.1))
    assert better["verdict"] == "better"
    assert [row["best_baseline"] for row in better["members"]] == ["SVM", "SVM", "Ridge"]
    assert better["members"][0]["difference"]["examples"] == TOLD["kind"].sum()
    assert "kind: The model is better than every baseline: accuracy" in better["sentence"]
    worse = compared(scored(kind=0.05, marks=0.01, size=0.9))
    assert worse["verdict"] == "worse"
    assert worse["rival"] == "Ridge (size)"
    assert worse["sentence"].startswith("Of 3 tasks one or more are worse than a baseline. size: The model is worse")
    nothing = compared(scored(kind=0.667, marks=0.01, size=0.1))
    assert nothing["verdict"] == "nothing was learned"
    assert "kind: Nothing was learned" in nothing["sentence"]
    assert "marks" not in nothing["sentence"]


def decided(ours: Statistics, theirs: Statistics, **rules: Any) -> gate.Decision:
    metric, first = TASK.metrics[0], score_of(TASK.metrics[0], ours)
    gain = paired_gain(metric, ours, theirs, 0)
    compared = {
        "version": "1", "failure": "", "test_digest": "x", "challenger_test_digest": "x", "metric": metric.name,
        "champion": score_of(metric, theirs), "challenger": first, "difference": vars(gain), "classes": [],
        "slices": [], "members": duels_of(ours, theirs, TASK, 0),
    }  # fmt: skip
    content = {
        "metrics": measure(TASK.metrics, ours), "verdict": "better", "sentence": "", "difference": vars(gain),
        "champion": compared,
    }  # fmt: skip
    return gate.decide(content, gate.rules_of(rules, TASK), TASK)


def test_a_task_that_became_worse_refuses_the_model_by_its_name() -> None:
    champion = scored(2, kind=0.4, marks=0.2, size=0.1)
    gains = scored(kind=0.05, marks=0.02, size=0.1)
    assert decided(gains, champion).verdict == "promote"
    forgets = scored(kind=0.01, marks=0.02, size=0.3)
    found = decided(forgets, champion)
    assert measure(TASK.metrics, forgets)["mean_score"] > measure(TASK.metrics, champion)["mean_score"]  # type: ignore[operator]
    assert found.verdict == "refuse"
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("It is worse than the champion at 'size': Pearson correlation 0.")
    assert decided(forgets, champion, max_task_drop=0.2).verdict == "promote"
    assert (
        "loses more than 0.01 at 'size' (promotion.max_task_drop)"
        in decided(forgets, champion, max_task_drop=0.01).reasons[0]
    )
    assert (
        decided(forgets, champion, metric="kind.accuracy", max_task_drop=0.2).verdict == "refuse"
    )  # compared by the mean


def test_the_rule_is_for_several_tasks() -> None:
    with pytest.raises(InputError, match="max_task_drop is for several tasks in one model, and text-regression is one"):
        gate.rules_of({"max_task_drop": 0.1}, tasks.get("text-regression"))
    with pytest.raises(InputError, match="promotion.metric is 'accuracy'; allowed: 'mean_score', 'kind.accuracy'"):
        gate.rules_of({"metric": "accuracy"}, TASK)


def test_evaluation_tells_of_each_task_and_the_page_has_its_sections() -> None:
    from pathlib import Path

    told = SCORING.details(Scored(scored(), SPEC, Path("none")))["tasks"]
    assert told["kind"]["examples"] == TOLD["kind"].sum()
    assert np.sum(told["kind"]["confusion"]) == TOLD["kind"].sum()
    assert told["size"]["primary"] == "pearson"
    sections = SCORING.sections({"tasks": told}, False)
    assert [section.context["name"] for section in sections if section.template == "member.html.j2"] == list(told)
    assert {"confusion.html.j2", "labels.html.j2", "scatter.html.j2"} <= {
        section.context.get("template") for section in sections
    }
    breakdown = SCORING.breakdown(scored(), SPEC)
    assert list(breakdown.names) == ["kind: a", "kind: b", "kind: c", "marks: new", "marks: sold"]


def test_baselines_of_each_task_learn_from_its_own_examples() -> None:
    task: Any = tasks.get("multi-task", {"tasks": OF_SAMPLE})
    rows = task.sample(400, 1)
    values = [{"kind": row["kind"], "size": row["size"]} for row in rows]
    labels = sorted({value["kind"] for value in values if value["kind"]})
    spec = {"tasks": {"kind": {"labels": labels}, "size": {"labels": [], "deviation": 1.0}}}
    targets, texts = task.scoring.targets(values, spec), [row["input_1"] for row in rows]
    train, held = (Labelled([texts[part]], targets[part]) for part in (slice(200), slice(200, 300)))
    found = list(task.baselines(train, held, [texts[300:]], Terms(0, spec=spec)))
    assert len(found) >= 2
    assert found[0].names["size"].startswith("Ridge")
    for one in found:
        assert task.scoring.fault(one.predictions, 100, spec) is None
        assert one.examples < 200  # every fifth row lacks an answer
    scores = [measure(task.metrics, task.scoring.score(one.predictions, targets[300:], spec)) for one in found]
    assert max(score["kind.accuracy"] or 0 for score in scores) > 0.9
    assert max(score["size.pearson"] or 0 for score in scores) > 0.9
