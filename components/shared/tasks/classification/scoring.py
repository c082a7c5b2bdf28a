"""What evaluate asks of a classification: whose probabilities are worth what, and what the page shows of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.linear import cross_calibrated
from components.shared.selection import is_uneven
from components.shared.statistics import Statistics
from components.shared.tasks.classification.calibration import calibration_of, thresholds_of
from components.shared.tasks.classification.chance import kappa_of, words_of
from components.shared.tasks.classification.curves import class_metrics, confusion_of, most_confused, reliability, roc
from components.shared.tasks.classification.metrics import METRICS
from components.shared.tasks.classification.sections import sections_of
from components.shared.tasks.classification.statistics import NO_CLASS, statistics_from, statistics_of
from components.shared.tasks.scoring import Breakdown, Duel, Mistake, Scored, Section, Spec

MAX_CONFUSION = 200  # classes; a larger matrix is megabytes of zeros
MAJORITY = "Majority class"


class ClassificationScoring:
    """Predictions are probabilities, float [examples, classes]; targets the numbers of classes, int [examples]."""

    mistakes = (
        "Most confident mistakes",
        "{wrong:,} of {all:,} {what} are predicted wrong; these {shown} with most confidence. Wrong labels in the data "
        "show up here first.",
        "None: every {one} is predicted as it is labelled. Look whether the label is in the input before you believe "
        "it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns the numbers of labels, int64 [examples]."""
        number = {label: place for place, label in enumerate(spec["labels"])}
        return np.array([number[label] for label in values], np.int64)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns `probabilities`."""
        return np.array(columns["probabilities"], np.float64)

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """Probabilities are finite, and as many as there are examples and classes."""
        shape = (size, len(spec["labels"]))
        if predictions.shape != shape or not np.isfinite(predictions).all():
            return f"gave no probabilities of shape {shape}"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of probabilities.

        Of a model with other labels only `labels`, `predicted` and `right` are told: a label that today's data has no
        more, and an example whose label the model does not know, count as wrong, as do probabilities that are none.
        """
        if learned is None:
            return statistics_of(predictions, targets)
        number = {label: place for place, label in enumerate(spec["labels"])}
        today = np.array([number.get(label, NO_CLASS) for label in learned["labels"]], np.int32)
        finite = np.isfinite(predictions).all(1)
        predicted = np.where(finite, today[predictions.argmax(1)], NO_CLASS).astype(np.int32)
        return statistics_from(targets, predicted, len(spec["labels"]))

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of `predicted`, `confidence`, `loss` and `score`; or of a prediction's own columns."""
        if "probabilities" in columns:
            return self.score(self.read({k: list(v) for k, v in columns.items()}, spec), whole["labels"], spec)
        others = {name: columns[name] for name in ("confidence", "loss", "score")}
        return statistics_from(whole["labels"], columns["predicted"], whole.sizes["classes"], **others)

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `predicted` (string), `confidence` (float), `probabilities` (list of float, in the labels' order)."""
        names = np.array(spec["labels"], dtype=object)
        offsets = np.arange(len(predictions) + 1, dtype=np.int32) * predictions.shape[1]
        return {
            "predicted": pa.array(names[statistics["predicted"]], pa.string()),
            "confidence": pa.array(statistics["confidence"]),
            "probabilities": pa.ListArray.from_arrays(pa.array(offsets), pa.array(predictions.ravel())),
        }

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns the shares of the classes."""
        labels = spec["labels"]
        found = np.array([counts.get(label, 0) for label in labels])
        shares = np.tile(found / found.sum(), (size, 1))
        return Baseline(MAJORITY, "", shares, 4 * len(labels), 0.0, int(found.sum()))

    def cross(
        self, parts: Sequence[np.ndarray], places: Sequence[np.ndarray], targets: np.ndarray, spec: Spec
    ) -> np.ndarray:
        """Returns probabilities, calibrated across the folds: each fold by a temperature of the others."""
        logits, folds = np.zeros((len(targets), len(spec["labels"]))), np.zeros(len(targets), np.int64)
        for number, (part, held) in enumerate(zip(parts, places, strict=True)):
            logits[held] = np.log(np.maximum(part, 1e-12))
            folds[held] = number
        return cross_calibrated(logits, targets, folds)

    def chance(self, ours: Statistics, constant: Duel, name: str, seed: int) -> tuple[bool, str]:
        """Cohen's kappa tells whether predictions and labels agree more than by chance.

        By accuracy the model has to beat the largest class, too; by macro-F1 that would be too easy: guessing beats it.
        """
        if constant.metric.proportion and constant.gain.low <= 0:
            return False, constant.numbers(name)
        kappa = kappa_of(ours, seed)
        return kappa.low > 0, words_of(kappa)

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns the recall of each class."""
        labels, truth = spec["labels"], statistics["labels"]
        support = np.bincount(truth, minlength=len(labels))
        right = np.bincount(truth, statistics["right"], len(labels))
        with np.errstate(invalid="ignore"):
            return Breakdown(labels, support, right / support)

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns classes, confusion, calibration, thresholds and, for two classes, the ROC curve."""
        statistics, labels = scored.statistics, list(scored.spec["labels"])
        confusion = confusion_of(statistics)
        return {
            "labels": labels,
            "classes": class_metrics(statistics, labels),
            "confusion": confusion.tolist() if len(labels) <= MAX_CONFUSION else None,
            "most_confused": most_confused(confusion, labels),
            "reliability": reliability(statistics),
            "roc": roc(statistics),
            "calibration": calibration_of(scored.file, statistics, scored.history),
            "thresholds": thresholds_of(statistics),
        }

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns the confidence of what is predicted wrong."""
        return np.where(statistics["right"], np.nan, statistics["confidence"].astype(np.float64))

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns its confidence, the class that is predicted, and that which it is labelled."""
        label, predicted = (spec["labels"][statistics[name][place]] for name in ("labels", "predicted"))
        said = [("predicted", predicted), ("but labelled", label)]
        return Mistake(
            f"{float(statistics['confidence'][place]):.3f}", f"labelled {label}, predicted {predicted}", said
        )

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns the confusion matrix, calibration and thresholds, and the table of classes."""
        return sections_of(content, folds)

    def unevenness(self, counts: Mapping[str, int], selection: str) -> str:
        """Returns which classes differ most, and what that means for the metrics."""
        there = {label: count for label, count in counts.items() if count}
        if not is_uneven(np.array(list(there.values()))):
            return ""
        largest, smallest = max(there, key=lambda label: there[label]), min(there, key=lambda label: there[label])
        title = next((metric.title for metric in METRICS if metric.name == selection), selection)
        chosen = f"The model was chosen by {title}. " if selection else ""
        return (
            f"The classes are uneven: {_short(largest)} has {there[largest]:,} training examples, {_short(smallest)} "
            f"has {there[smallest]:,}, {there[largest] / there[smallest]:.0f} times fewer. {chosen}Accuracy says "
            "little about the small ones: look at macro-F1 and at recall by class."
        )


def _short(label: str) -> str:
    return label if len(label) <= 60 else label[:59].rstrip() + "…"
