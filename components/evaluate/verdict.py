"""What the model is worth: against its strongest rival, against chance, and whether anything was learned at all."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.evaluate.baselines import Baselines
from components.evaluate.comparison import NOT_SHOWN, WORSE, best_of, ranked, verdict_of
from components.shared.artifacts.artifact import Artifact
from components.shared.gate import BETTER, NOTHING_LEARNED, WORDS_SUFFICE
from components.shared.statistics import Metric, Statistics, measure, paired_gain, written
from components.shared.tasks import Task
from components.shared.tasks.scoring import Duel

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


def compare(
    statistics: Statistics, baselines: Baselines, learnt: Learnt, task: Task, metric: Metric, seed: int
) -> dict[str, Any]:
    """Returns what `evaluation.json` tells of the model beside its baselines, the verdict first of all.

    The rival is the baseline that is strongest by the metric that decides. A model with a backbone has to be better
    than it; one of words or gradients alone has to be better than chance, and not worse: the smaller model is what is
    wanted where the backbone adds nothing.

    Args:
        statistics: The model's, of the whole test split.
        baselines: On the first of the same examples.
        learnt: What finetune told.
        task: What was learned.
        metric: That decides.
        seed: Of the bootstrap.
    """
    ours = statistics.first(baselines.test_examples)
    scores = {name: measure(task.metrics, found) for name, found in baselines.statistics.items()}
    mine = measure(task.metrics, ours)[metric.name] or 0.0
    found = {
        name: Duel(
            metric, paired_gain(metric, ours, theirs, seed), mine, scores[name][metric.name] or 0.0, learnt.crossed
        )
        for name, theirs in baselines.statistics.items()
    }
    best = best_of(scores, metric, task.metrics)
    better, shown = task.scoring.chance(ours, found[baselines.constant], baselines.constant, seed)
    chance = {"better": better, "sentence": shown}
    verdict, sentence = _verdict(found[best], best, chance, learnt, task, not baselines.failure)
    return {
        "baselines": scores,
        "baselines_told": baselines.told,
        "baselines_failure": baselines.failure,
        "baselines_train_examples": baselines.train_examples,
        "baselines_test_examples": baselines.test_examples,
        "best_baseline": best,
        "difference": dataclasses.asdict(found[best].gain),
        "differences": {name: dataclasses.asdict(duel.gain) for name, duel in found.items()},
        "chance": chance,
        "learned": {"learned": not learnt.failure, "told": learnt.failure},
        "alone": learnt.alone,
        "backbone_tried": bool(_tried(learnt)),
        "verdict": verdict,
        "sentence": sentence,
    }


def _verdict(
    rival: Duel, name: str, chance: Mapping[str, Any], learnt: Learnt, task: Task, complete: bool
) -> tuple[str, str]:
    numbers = rival.numbers(name)
    if learnt.failure:
        return NOTHING_LEARNED, f"Nothing was learned: {learnt.failure}"
    if not chance["better"]:
        shown = "a cross-validation" if learnt.crossed else "the test examples"
        return NOTHING_LEARNED, (
            f"Nothing was learned that {shown} could show: {chance['sentence']}. That is no better than "
            f"chance. {_ADVICE}"
        )
    verdict = verdict_of(rival.gain, complete)
    if verdict == WORSE:
        return WORSE, f"The model is worse than a baseline: {numbers}. Don't use it."
    if learnt.alone:
        return (
            WORDS_SUFFICE,
            f"{_of_candidates(learnt, task)}{numbers}, {'and better' if verdict == BETTER else 'not worse'} than it.",
        )
    if verdict == BETTER:
        return BETTER, f"The model is better than every baseline: {numbers}."
    if complete:
        return NOT_SHOWN, f"No gain over the best baseline was shown: {numbers}. The interval includes 0."
    return NOT_SHOWN, f"No gain was shown, because not all baselines could be fitted: {numbers}."


def _of_candidates(learnt: Learnt, task: Task) -> str:
    """Returns what validation said of the model without a backbone, and of the best candidate with one, if any."""
    name = learnt.history.get("selection", task.metrics[0].name)
    metric = next((metric for metric in task.metrics if metric.name == name), task.metrics[0])
    kept = next((row for row in learnt.history.get("candidates", []) if row.get("kept")), None)
    others = _tried(learnt)
    if kept is None or not others:
        return f"This is a model of the {learnt.alone} alone; no backbone was tried beside it: "
    best = max(others, key=lambda row: ranked(metric, row["validation"]))
    ours, theirs = (written(metric, row["validation"].get(metric.name, float("nan"))) for row in (kept, best))
    where = "In the end" if learnt.crossed else "On the test examples"
    return (
        f"The backbone adds nothing here: on validation the {learnt.alone} alone have {metric.title} {ours}, the best "
        f"candidate with a backbone ({best['name']}) {theirs}. {where}: "
    )


def _tried(learnt: Learnt) -> list[Mapping[str, Any]]:
    """Returns the candidates with a backbone that validation saw beside the model that was kept."""
    candidates = [row for row in learnt.history.get("candidates", []) if row.get("validation")]
    return [row for row in candidates if not row.get("kept") and row["name"] not in ALONE]
