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
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import spec_of
from components.shared.errors import InputError
from components.shared.statistics import Gain, Metric, Statistics, measure, paired_gain, score_of, written
from components.shared.tasks import Task
from components.shared.tasks.scoring import Duel

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
        task: What was learned.
        whole: The model's own statistics on the test split.
        arms: For each arm `name`, `pretrained`, `strategy`, `validation` and `seconds`.
        reference: The best arm without pretrained weights, by validation; None where there is no arm.
        curve: For each point of the learning curve `labels_per_class`, `examples`, `validation` and `seconds`.
        baselines: Arms that are to be beaten (a frozen backbone with a linear head): no part of the check of transfer.
    """

    model: Artifact
    task: Task
    whole: Statistics
    arms: list[dict[str, Any]]
    reference: str | None
    curve: list[dict[str, Any]]
    baselines: list[dict[str, Any]]

    def statistics(self, name: str) -> Statistics:
        """Returns what an arm made of the test examples.

        Raises:
            InputError: It predicted other examples than these.
        """
        table = pq.read_table(self.model.file(_PREDICTED), filters=[("arm", "=", name)])
        if len(table) != len(self.whole):
            raise InputError(
                f"{self.model.file(_PREDICTED)} holds {len(table):,} predictions of {name!r}; the test split has "
                f"{len(self.whole):,} examples. Run finetune again."
            )
        columns = {column: table[column].to_numpy() for column in table.column_names if column != "arm"}
        return self.task.scoring.kept(columns, self.whole, spec_of(self.model.read_json("model.json")))


def read_comparison(model: Artifact, task: Task, whole: Statistics) -> Comparison:
    """Returns what finetune trained beside the model: nothing, unless it was asked to."""
    told = model.read_json(_TOLD) if _TOLD in model.files else {}
    arms, rivals = [
        [arm for arm in told.get("arms", []) if bool(arm.get("baseline")) is wanted] for wanted in (False, True)
    ]
    return Comparison(model, task, whole, arms, told.get("reference"), told.get("curve", []), rivals)


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
    gain, metric = Gain(**reference["difference"]), comparison.task.metrics[0]
    verdict = _VERDICTS[gain.sign]
    ours, theirs = score_of(metric, comparison.whole) or 0.0, reference["metrics"][metric.name] or 0.0
    test = "" if gain.p_value is None else f" (McNemar's exact test: {p_value_of(gain.p_value)})"
    sentence = f"{_OPENINGS[verdict]}: {Duel(metric, gain, ours, theirs).numbers(comparison.reference)}{test}."
    return {"verdict": verdict, "sentence": sentence, "reference": comparison.reference, "arms": arms}


def learning_curve_of(comparison: Comparison, baselines: Baselines, train_examples: int) -> list[dict[str, Any]] | None:
    """Scores the points of the learning curve, and as its last point the model itself.

    All are scored on the test examples that the baselines were scored on.

    Returns:
        For each point `labels_per_class`, `examples`, the metrics of the `model`, and those of the task's `baselines`
        by name, fitted on the same examples. The last point is that of all training examples, with their mean a class.
    """
    task = comparison.task
    told = [point for point in comparison.curve if point["examples"] < train_examples]  # else it is the model itself
    if not told:
        return None
    first, points = baselines.test_examples, []
    for point in sorted(told, key=lambda point: int(point["labels_per_class"])):
        count = point["labels_per_class"]
        found = comparison.statistics(f"curve {count}").first(first)
        points.append(_point(task, count, point["examples"], found, baselines.curve.get(count, {})))
    mean = round(train_examples / max(comparison.whole.sizes.get("classes", 1), 1))
    return [*points, _point(task, mean, train_examples, comparison.whole.first(first), baselines.classical)]


def sentence_of_curve(points: Sequence[Mapping[str, Any]], classes: int, metric: Metric) -> str:
    """Returns what the last doublings of the labels brought.

    Args:
        points: Of the curve.
        classes: How many there are; 0 where answers are no classes.
        metric: The task's primary one.
    """
    before, last = points[-2:]
    few, many = (point["examples"] / max(classes, 1) for point in (before, last))
    low, high = (point["model"][metric.name] or 0.0 for point in (before, last))
    each = written(metric, (high - low) / math.log2(many / few), sign=True)
    return (
        f"From {few:,.0f} to {many:,.0f} labels{' a class' if classes else ''} the model's {metric.title} went from "
        f"{written(metric, low)} to {written(metric, high)}: {each} for each doubling."
    )


def p_value_of(value: float) -> str:
    """Returns a p-value in words: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _arm(comparison: Comparison, arm: Mapping[str, Any], seed: int) -> dict[str, Any]:
    found, metrics = comparison.statistics(arm["name"]), comparison.task.metrics
    gain = paired_gain(metrics[0], comparison.whole, found, seed)
    told = {name: arm[name] for name in ("name", "pretrained", "strategy", "validation")}
    return {**told, "metrics": measure(metrics, found), "difference": dataclasses.asdict(gain)}


def _point(
    task: Task, count: int, examples: int, statistics: Statistics, baselines: Mapping[str, Statistics]
) -> dict[str, Any]:
    scores = {name: measure(task.metrics, found) for name, found in baselines.items()}
    model = measure(task.metrics, statistics)
    return {"labels_per_class": count, "examples": examples, "model": model, "baselines": scores}
