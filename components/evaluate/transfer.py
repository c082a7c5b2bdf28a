"""Did transfer help, and would more labels? What finetune trained beside the model, on the same test examples.

Transfer is negative where the same network does better without what it learned before: Wang et al., Characterizing and
Avoiding Negative Transfer (1811.09751).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from components.evaluate.baselines import Baselines
from components.evaluate.comparison import Difference, numbers_of, paired_difference
from components.evaluate.scores import metrics_of
from components.shared.artifact import Artifact
from components.shared.errors import InputError
from components.shared.outcomes import Outcome

POSITIVE, NONE_SHOWN, NEGATIVE = "positive", "none shown", "negative"
_VERDICTS = {1: POSITIVE, 0: NONE_SHOWN, -1: NEGATIVE}
_OPENINGS = {
    POSITIVE: "Positive transfer",
    NONE_SHOWN: "No gain from transfer was shown",
    NEGATIVE: "Negative transfer, the model is worse than one without pretrained weights",
}
_TOLD, _PREDICTED = "notes/comparison.json", "notes/comparison.parquet"


@dataclass(frozen=True)
class Comparison:
    """What finetune trained beside the model.

    Attributes:
        model: The artifact, in whose notes it is told.
        whole: The model's own outcome on the test split.
        arms: For each arm `name`, `pretrained`, `strategy`, `validation` and `seconds`.
        reference: The best arm without pretrained weights, by validation; None where there is no arm.
        curve: For each point of the learning curve `labels_per_class`, `examples`, `validation` and `seconds`.
        baselines: Arms that are to be beaten (a frozen backbone with a linear head): no part of the check of transfer.
    """

    model: Artifact
    whole: Outcome
    arms: list[dict[str, Any]]
    reference: str | None
    curve: list[dict[str, Any]]
    baselines: list[dict[str, Any]]

    def outcome(self, name: str) -> Outcome:
        """Returns what an arm made of the test examples.

        Raises:
            InputError: It predicted other examples than these.
        """
        columns = ["predicted", "confidence", "loss", "score"]
        table = pq.read_table(self.model.file(_PREDICTED), columns=columns, filters=[("arm", "=", name)])
        if len(table) != len(self.whole.labels):
            raise InputError(
                f"{self.model.file(_PREDICTED)} holds {len(table):,} predictions of {name!r}; the test split has "
                f"{len(self.whole.labels):,} examples. Run finetune again."
            )
        arrays = {column: table[column].to_numpy() for column in columns}
        return Outcome(labels=self.whole.labels, classes=self.whole.classes, **arrays)


def read_comparison(model: Artifact, whole: Outcome) -> Comparison:
    """Returns what finetune trained beside the model: nothing, unless it was asked to."""
    told = model.read_json(_TOLD) if _TOLD in model.files else {}
    arms, rivals = [
        [arm for arm in told.get("arms", []) if bool(arm.get("baseline")) is wanted] for wanted in (False, True)
    ]
    return Comparison(model, whole, arms, told.get("reference"), told.get("curve", []), rivals)


def transfer_of(comparison: Comparison, seed: int) -> dict[str, Any] | None:
    """Compares the model with every arm; the verdict is that over the reference, the best without pretrained weights.

    Returns:
        `verdict` ("positive" or "negative" only where the interval excludes 0, else "none shown"), `sentence`,
        `reference`, and `arms`: what finetune told of each, with its `metrics` and the model's `difference` to it.
    """
    if comparison.reference is None:
        return None
    arms = [_arm(comparison, arm, seed) for arm in comparison.arms]
    reference = next(arm for arm in arms if arm["name"] == comparison.reference)
    difference = Difference(**reference["difference"])
    verdict = _VERDICTS[difference.sign]
    accuracy = (float(comparison.whole.right.mean()), reference["metrics"]["accuracy"])
    sentence = (
        f"{_OPENINGS[verdict]}: {numbers_of(difference, accuracy, comparison.reference)} "
        f"(McNemar's exact test: {p_value_of(difference.p_value)})."
    )
    return {"verdict": verdict, "sentence": sentence, "reference": comparison.reference, "arms": arms}


def learning_curve_of(comparison: Comparison, baselines: Baselines, train_examples: int) -> list[dict[str, Any]] | None:
    """Scores the points of the learning curve, and as its last point the model itself.

    All are scored on the test examples that the baselines were scored on.

    Returns:
        For each point `labels_per_class`, `examples`, the metrics of the `model`, and those of the task's `baselines`
        by name, fitted on the same examples. The last point is that of all training examples, with their mean a class.
    """
    told = [point for point in comparison.curve if point["examples"] < train_examples]  # else it is the model itself
    if not told:
        return None
    first, points = baselines.test_examples, []
    for point in sorted(told, key=lambda point: int(point["labels_per_class"])):
        count = point["labels_per_class"]
        outcome = comparison.outcome(f"curve {count}").first(first)
        points.append(_point(count, point["examples"], outcome, baselines.curve.get(count, {})))
    mean = round(train_examples / comparison.whole.classes)
    return [*points, _point(mean, train_examples, comparison.whole.first(first), baselines.classical)]


def sentence_of_curve(points: Sequence[Mapping[str, Any]], classes: int) -> str:
    """Returns what the last doublings of the labels brought."""
    before, last = points[-2:]
    few, many = (point["examples"] / classes for point in (before, last))
    low, high = (point["model"]["accuracy"] for point in (before, last))
    return (
        f"From {few:,.0f} to {many:,.0f} labels a class the model's accuracy went from {low:.3f} to {high:.3f}: "
        f"{(high - low) / math.log2(many / few):+.3f} for each doubling."
    )


def p_value_of(value: float) -> str:
    """Returns a p-value in words: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _arm(comparison: Comparison, arm: Mapping[str, Any], seed: int) -> dict[str, Any]:
    outcome = comparison.outcome(arm["name"])
    difference = paired_difference(comparison.whole.right, outcome.right, seed)
    told = {name: arm[name] for name in ("name", "pretrained", "strategy", "validation")}
    return {**told, "metrics": metrics_of(outcome), "difference": dataclasses.asdict(difference)}


def _point(count: int, examples: int, outcome: Outcome, baselines: Mapping[str, Outcome]) -> dict[str, Any]:
    scores = {name: metrics_of(found) for name, found in baselines.items()}
    return {"labels_per_class": count, "examples": examples, "model": metrics_of(outcome), "baselines": scores}
