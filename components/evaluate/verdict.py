"""What the model is worth: against its strongest rival, against chance, and whether anything was learned at all."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.evaluate.baselines import MAJORITY, Baselines
from components.evaluate.chance import Kappa, kappa_of
from components.evaluate.comparison import (
    NAMES,
    NOT_SHOWN,
    WORSE,
    Difference,
    best_of,
    numbers_of,
    paired_difference,
    verdict_of,
)
from components.evaluate.f1 import paired_f1_difference
from components.evaluate.scores import metrics_of
from components.shared.artifact import Artifact
from components.shared.gate import BETTER, NOTHING_LEARNED, WORDS_SUFFICE
from components.shared.outcomes import Outcome

ALONE = {"lexical": "words", "gradients": "gradients"}
"""Families of models without a backbone, and what they see."""
_HISTORY = "notes/history.json"
_ADVICE = (
    "Look whether the labels belong to the inputs (graft profile), whether the classes can be told apart at all by "
    "what is in them, and give training more examples or more time."
)


@dataclass(frozen=True)
class Learnt:
    """What finetune told of a model.

    Attributes:
        history: `notes/history.json`, {} where there is none.
        family: Of the model: "lexical" is one of words alone, "gradients" of gradients: without a backbone.
    """

    history: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""

    @property
    def alone(self) -> str:
        """What the model sees, where it has no backbone, else ""."""
        return ALONE.get(self.family, "")

    @property
    def crossed(self) -> bool:
        """Whether it was measured by cross-validation."""
        return "folds" in self.measured

    @property
    def measured(self) -> Mapping[str, Any]:
        """Of a cross-validation `folds`, `examples` and `seconds`; `reason` where it was asked for in vain."""
        found: Mapping[str, Any] = self.history.get("crossed") or {}
        return found

    @property
    def failure(self) -> str:
        """Why nothing was learned, and what to change; "" where something was, or nothing is told."""
        if self.history.get("learned", True):
            return ""
        reason = str(self.history.get("reason") or "validation does no better than chance").rstrip(".")
        return f"{reason}. {self.history.get('advice') or _ADVICE}"


def learnt_of(model: Artifact) -> Learnt:
    """Returns what finetune told of a model."""
    history = model.read_json(_HISTORY) if _HISTORY in model.files else {}
    return Learnt(history, str(model.read_json("model.json")["family"]))


@dataclass(frozen=True)
class Compared:
    """The model beside one baseline.

    Attributes:
        difference: By the metric that decides.
        ours: The model's value of it.
        theirs: The baseline's.
        crossed: Whether both were measured by cross-validation.
    """

    difference: Difference
    ours: float
    theirs: float
    crossed: bool = False

    def numbers(self, name: str) -> str:
        """Returns both values, the difference and its interval as part of a sentence."""
        return numbers_of(self.difference, (self.ours, self.theirs), name, self.crossed)


def compare(outcome: Outcome, baselines: Baselines, learnt: Learnt, metric: str, seed: int) -> dict[str, Any]:
    """Returns what `evaluation.json` tells of the model beside its baselines, the verdict first of all.

    The rival is the baseline that is strongest by the metric that decides. A model with a backbone has to be better
    than it; one of words or gradients alone has to be better than chance, and not worse: the smaller model is what is
    wanted where the backbone adds nothing.

    Args:
        outcome: The model's, of the whole test split.
        baselines: On the first of the same examples.
        learnt: What finetune told.
        metric: That decides: "accuracy" or "macro_f1".
        seed: Of the bootstrap.
    """
    ours = outcome.first(baselines.test_examples)
    scores = {name: metrics_of(found) for name, found in baselines.outcomes.items()}
    found = {
        name: Compared(
            _difference(ours, theirs, metric, seed),
            metrics_of(ours)[metric] or 0.0,
            scores[name][metric] or 0.0,
            learnt.crossed,
        )
        for name, theirs in baselines.outcomes.items()
    }
    best = best_of(scores, metric)
    chance = _chance(ours, found[MAJORITY], metric, seed)
    verdict, sentence = _verdict(found[best], best, chance, learnt, not baselines.failure)
    return {
        "baselines": scores,
        "baselines_told": baselines.told,
        "baselines_failure": baselines.failure,
        "baselines_train_examples": baselines.train_examples,
        "baselines_test_examples": baselines.test_examples,
        "best_baseline": best,
        "difference": dataclasses.asdict(found[best].difference),
        "differences": {name: dataclasses.asdict(compared.difference) for name, compared in found.items()},
        "chance": chance,
        "learned": {"learned": not learnt.failure, "told": learnt.failure},
        "alone": learnt.alone,
        "verdict": verdict,
        "sentence": sentence,
    }


def _difference(ours: Outcome, theirs: Outcome, metric: str, seed: int) -> Difference:
    if metric == "accuracy":
        return paired_difference(ours.right, theirs.right, seed)
    return paired_f1_difference(ours.labels, ours.predicted, theirs.predicted, ours.classes, seed)


def _chance(ours: Outcome, majority: Compared, metric: str, seed: int) -> dict[str, Any]:
    """Returns whether the model is `better` than chance, and a `sentence`.

    Cohen's kappa tells whether predictions and labels agree more than by chance. By accuracy the model has to beat the
    largest class, too; by macro-F1 that would be too easy, since guessing beats it.
    """
    if metric == "accuracy" and majority.difference.low <= 0:
        return {"better": False, "sentence": f"{majority.numbers(MAJORITY)}"}
    kappa: Kappa = kappa_of(ours, seed)
    return {"better": kappa.low > 0, "sentence": kappa.words}


def _verdict(rival: Compared, name: str, chance: Mapping[str, Any], learnt: Learnt, complete: bool) -> tuple[str, str]:
    numbers = rival.numbers(name)
    if learnt.failure:
        return NOTHING_LEARNED, f"Nothing was learned: {learnt.failure}"
    if not chance["better"]:
        shown = "a cross-validation" if learnt.crossed else "the test examples"
        return NOTHING_LEARNED, (
            f"Nothing was learned that {shown} could show: {chance['sentence']}. That is no better than "
            f"chance. {_ADVICE}"
        )
    verdict = verdict_of(rival.difference, complete)
    if verdict == WORSE:
        return WORSE, f"The model is worse than a baseline: {numbers}. Don't use it."
    if learnt.alone:
        return WORDS_SUFFICE, f"The backbone adds nothing here: {_of_candidates(learnt)}{numbers}, not worse than it."
    if verdict == BETTER:
        return BETTER, f"The model is better than every baseline: {numbers}."
    if complete:
        return NOT_SHOWN, f"No gain over the best baseline was shown: {numbers}. The interval includes 0."
    return NOT_SHOWN, f"No gain was shown, because not all baselines could be fitted: {numbers}."


def _of_candidates(learnt: Learnt) -> str:
    """Returns what validation said of the model without a backbone, and of the best candidate with one."""
    metric = learnt.history.get("selection", "accuracy")
    candidates = [row for row in learnt.history.get("candidates", []) if row.get("validation")]
    kept = next((row for row in candidates if row.get("kept")), None)
    others = [row for row in candidates if row is not kept and row["name"] not in ALONE]
    if kept is None or not others:
        return f"the {learnt.alone} alone are what is delivered: "
    best = max(others, key=lambda row: row["validation"].get(metric) or float("-inf"))
    values = (row["validation"].get(metric, float("nan")) for row in (kept, best))
    ours, theirs = (f"{value:.3f}" for value in values)
    return (
        f"on validation the {learnt.alone} alone have {NAMES.get(metric, metric)} {ours}, the best candidate with a "
        f"backbone ({best['name']}) {theirs}. {'In the end' if learnt.crossed else 'On the test examples'}: "
    )
