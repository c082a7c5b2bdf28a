"""The verdict: over the strongest rival, over chance, and for a model of words alone."""

from typing import Any

import numpy as np
import pytest

from components.evaluate.baselines import Baselines
from components.evaluate.verdict import Learnt, compare
from components.shared import tasks
from components.shared.gate import PROMOTE, REFUSE, Rules, decide
from components.shared.statistics import Statistics
from components.shared.tasks import metric_of
from components.shared.tasks.classification.chance import kappa_of
from components.shared.tasks.classification.scoring import MAJORITY
from components.shared.tasks.classification.statistics import statistics_of

CLASSES, EXAMPLES = 4, 400
LABELS = np.arange(EXAMPLES) % CLASSES
TASK = tasks.get("text-classification")
NETWORK = Learnt(family="transformers")


def with_accuracy(accuracy: float, seed: int = 0, labels: np.ndarray = LABELS) -> Statistics:
    """What a model made of the test examples that has so many of them right."""
    right = np.random.default_rng(seed).permutation(len(labels)) < accuracy * len(labels)
    return statistics_of(np.eye(CLASSES)[np.where(right, labels, (labels + 1) % CLASSES)], labels)


def verdict(
    model: Statistics, learnt: Learnt = NETWORK, metric: str = "accuracy", failure: str = "", **rivals: Statistics
) -> dict[str, Any]:
    """What is told of a model beside the majority class and some rivals."""
    labels = model["labels"]
    majority = statistics_of(np.tile(np.bincount(labels, minlength=CLASSES) / len(labels), (len(labels), 1)), labels)
    baselines = Baselines({MAJORITY: majority, **rivals}, failure, 100, len(labels), constant=MAJORITY)
    return compare(model, baselines, learnt, TASK, metric_of(TASK, metric), seed=0)


def decided(told: dict[str, Any], model: Statistics, **rules: Any) -> Any:
    metrics = {"accuracy": float(model["right"].mean()), "macro_f1": 0.5, "log_loss": 1.0}
    return decide({**told, "metrics": metrics, "champion": None}, Rules(**rules), TASK)


@pytest.mark.parametrize(
    ("model", "rival", "expected", "says"),
    [
        (
            0.95,
            0.80,
            "better",
            "better than every baseline: accuracy 0.950 against 0.800 (svm), a difference of +0.150",
        ),
        (0.80, 0.95, "worse", "worse than a baseline: accuracy 0.800 against 0.950 (svm)"),
        (0.81, 0.80, "not shown", "No gain over the best baseline was shown"),
    ],
)
def test_the_strongest_baseline_is_the_rival(model: float, rival: float, expected: str, says: str) -> None:
    told = verdict(with_accuracy(model), svm=with_accuracy(rival, 1), weak=with_accuracy(0.5, 2))
    assert (told["verdict"], told["best_baseline"]) == (expected, "svm")
    assert says in told["sentence"]
    assert "on 400 test examples" in told["sentence"]


def test_a_model_worse_than_the_strongest_baseline_is_not_promoted() -> None:
    model = with_accuracy(0.8)
    told = verdict(model, svm=with_accuracy(0.95, 1), weak=with_accuracy(0.5, 2))
    decision = decided(told, model)
    assert decision.verdict == REFUSE
    assert "worse than a baseline" in decision.reasons[0]
    assert decided(told, model, must_beat_baseline=False).verdict == PROMOTE  # who asks for it gets it


def test_a_backbone_has_to_pay_and_words_alone_do_not() -> None:
    model = with_accuracy(0.81)
    rival = with_accuracy(0.80, 1)
    assert decided(verdict(model, svm=rival), model).verdict == REFUSE
    told = verdict(model, Learnt(family="lexical"), svm=rival)
    assert told["verdict"] == "the backbone adds nothing"
    assert told["sentence"].startswith("This is a model of the words alone; no backbone was tried beside it: ")
    assert not told["backbone_tried"]
    assert decided(told, model).verdict == PROMOTE


def test_words_alone_are_held_against_the_strongest_rival_too() -> None:
    model = with_accuracy(0.7)
    told = verdict(model, Learnt(family="lexical"), frozen=with_accuracy(0.95, 1))
    assert (told["verdict"], told["best_baseline"]) == ("worse", "frozen")
    assert decided(told, model).verdict == REFUSE


def test_the_first_sentence_says_what_validation_said_of_the_backbone() -> None:
    def candidate(name: str, accuracy: float, kept: bool = False) -> dict[str, Any]:
        return {"name": name, "validation": {"accuracy": accuracy}, "seconds": 1.0, "kept": kept}

    history = {"selection": "accuracy", "candidates": [candidate("lexical", 0.95, True), candidate("probe", 0.94)]}
    told = verdict(with_accuracy(0.95), Learnt(history, "lexical"), svm=with_accuracy(0.94, 1))
    assert (
        "The backbone adds nothing here: on validation the words alone have accuracy 0.950, the best candidate with a "
        "backbone (probe) 0.940" in (told["sentence"])
    )


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("family", ["transformers", "lexical"])
def test_a_model_at_chance_is_refused_whatever_the_rules(metric: str, family: str) -> None:
    guesses = np.random.default_rng(3).integers(0, CLASSES, EXAMPLES)
    model = statistics_of(np.eye(CLASSES)[guesses], LABELS)
    told = verdict(model, Learnt(family=family), metric)
    assert told["verdict"] == "nothing was learned"
    decision = decided(told, model, must_beat_baseline=False, metric=metric)
    assert decision.verdict == REFUSE
    assert "no better than chance" in decision.reasons[0]
    assert "graft profile" in decision.reasons[0]  # what to do


def test_what_finetune_says_about_learning_is_heard() -> None:
    history = {"learned": False, "reason": "the loss never left ln(4)", "advice": "Try learning_rate 1e-4."}
    model = with_accuracy(0.9)
    told = verdict(model, Learnt(history, "timm"), svm=with_accuracy(0.5, 1))
    assert told["sentence"] == "Nothing was learned: the loss never left ln(4). Try learning_rate 1e-4."
    assert decided(told, model, must_beat_baseline=False).verdict == REFUSE


def test_better_is_not_shown_while_a_baseline_is_missing() -> None:
    told = verdict(with_accuracy(0.95), failure="ValueError: no", svm=with_accuracy(0.5, 1))
    assert told["verdict"] == "not shown"
    assert "not all baselines could be fitted" in told["sentence"]


def test_where_macro_f1_decides_a_rare_class_is_worth_more_than_accuracy() -> None:
    labels = np.repeat([0, 1, 2, 3], [370, 10, 10, 10])
    rare = with_accuracy(0.9, labels=labels)  # finds the rare classes
    told = verdict(rare, metric="macro_f1", svm=statistics_of(np.eye(CLASSES)[np.zeros(400, int)], labels))
    assert told["difference"]["metric"] == "macro_f1"
    assert told["verdict"] == "better"
    assert verdict(rare)["verdict"] == "nothing was learned"  # by accuracy the largest class does as well


def test_kappa_is_zero_for_whatever_does_not_look() -> None:
    constant = statistics_of(np.eye(CLASSES)[np.zeros(EXAMPLES, int)], LABELS)
    assert kappa_of(constant, seed=0).value == 0
    # Of 400 in 4 classes 90 % are right, a quarter of which chance brings.
    assert kappa_of(with_accuracy(0.9), seed=0).value == pytest.approx((0.9 - 0.25) / 0.75, abs=1e-6)
    few = kappa_of(with_accuracy(0.9), seed=0)
    assert few.low < few.value < few.high
