"""What predictions are worth: metrics, calibration, ROC. Examples come in chunks; of each only a few numbers stay."""

from typing import Any

import numpy as np

from components.shared import metrics
from components.shared.outcomes import Outcome

BINS = 15
ROC_POINTS = 200


def metrics_of(outcome: Outcome) -> dict[str, float | None]:
    """Returns accuracy, macro_f1, log_loss, ece and, for two classes, roc_auc; None where it is not defined."""
    confusion = metrics.confusion_matrix(outcome.labels, outcome.predicted, outcome.classes)
    values = {
        "accuracy": metrics.accuracy(confusion),
        "macro_f1": metrics.macro_f1(confusion),
        "log_loss": float(outcome.loss.mean()) if len(outcome.loss) else float("nan"),
        "ece": expected_calibration_error(reliability(outcome)),
    }
    found: dict[str, float | None] = {name: None if np.isnan(value) else value for name, value in values.items()}
    if outcome.classes == 2:
        found["roc_auc"] = _roc_auc(outcome)
    return found


def class_metrics(outcome: Outcome, labels: list[str]) -> list[dict[str, Any]]:
    """Returns precision, recall, F1 and support (test examples) for each class."""
    confusion = metrics.confusion_matrix(outcome.labels, outcome.predicted, outcome.classes)
    columns = zip(labels, *metrics.precision_recall_f1(confusion), confusion.sum(1), strict=True)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for label, p, r, f, support in columns
    ]


def most_confused(confusion: np.ndarray, labels: list[str], most: int = 20) -> list[dict[str, Any]]:
    """Returns the pairs of classes that are taken for one another most often, with their counts."""
    wrong = confusion - np.diag(np.diag(confusion))
    rows, columns = np.nonzero(wrong)
    order = np.argsort(-wrong[rows, columns], kind="stable")[:most]
    return [
        {"label": labels[row], "predicted": labels[column], "count": int(wrong[row, column])}
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def reliability(outcome: Outcome) -> list[dict[str, float | int | None]]:
    """Returns 15 bins of equal width over the confidence, (low, high]: count, mean confidence, accuracy."""
    number = np.clip(np.ceil(outcome.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(number, minlength=BINS)
    confidence = np.bincount(number, outcome.confidence, BINS)
    right = np.bincount(number, outcome.right, BINS)
    return [
        {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "count": int(count),
            "confidence": float(confidence[place] / count) if count else None,
            "accuracy": float(right[place] / count) if count else None,
        }
        for place, count in enumerate(counts)
    ]


def expected_calibration_error(bins: list[dict[str, float | int | None]]) -> float:
    """Returns the mean distance of confidence and accuracy, weighted by the bins' counts (Guo et al., 1706.04599)."""
    total = sum(item["count"] or 0 for item in bins)
    if not total:
        return float("nan")
    gaps = ((item["count"] or 0) * abs((item["accuracy"] or 0) - (item["confidence"] or 0)) for item in bins)
    return float(sum(gaps) / total)


def roc(outcome: Outcome) -> dict[str, list[float]] | None:
    """Returns `fpr`, `tpr` and `threshold` (at most 200 points); None unless there are two classes and both occur."""
    points = _roc_points(outcome)
    if points is None:
        return None
    kept = _spread(points["fpr"] + points["tpr"])
    return {name: values[kept].astype(float).tolist() for name, values in points.items()}


def _roc_auc(outcome: Outcome) -> float | None:
    points = _roc_points(outcome)
    return None if points is None else float(np.trapezoid(points["tpr"], points["fpr"]))


def _roc_points(outcome: Outcome) -> dict[str, np.ndarray] | None:
    positive = outcome.labels == 1
    if outcome.classes != 2 or not positive.any() or positive.all():
        return None
    order = np.argsort(-outcome.score, kind="stable")
    scores = outcome.score[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # equal scores are one point
    hits = np.cumsum(positive[order])[ends]
    return {
        "fpr": np.append(0.0, (ends + 1 - hits) / (~positive).sum()),
        "tpr": np.append(0.0, hits / positive.sum()),
        "threshold": np.append(1.0, scores[ends]),
    }


def _spread(way: np.ndarray) -> np.ndarray:
    """Returns at most 200 places, the ends among them, at even steps along a way that only rises."""
    if len(way) <= ROC_POINTS:
        return np.arange(len(way))
    places = np.searchsorted(way, np.linspace(0.0, way[-1], ROC_POINTS))
    places[-1] = len(way) - 1
    return np.unique(places)
