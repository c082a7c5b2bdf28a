"""What is drawn of a classification: classes, the most confused ones, the reliability diagram, the ROC curve."""

from typing import Any

import numpy as np

from components.shared import metrics
from components.shared.statistics import Statistics
from components.shared.tasks.classification.metrics import BINS, bins_of

ROC_POINTS = 200


def confusion_of(statistics: Statistics) -> np.ndarray:
    """Returns int64 counts [classes, classes]: rows are true classes, columns predictions."""
    return metrics.confusion_matrix(statistics["labels"], statistics["predicted"], statistics.sizes["classes"])


def class_metrics(statistics: Statistics, labels: list[str]) -> list[dict[str, Any]]:
    """Returns precision, recall, F1 and support (test examples) for each class."""
    confusion = confusion_of(statistics)
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


def reliability(statistics: Statistics) -> list[dict[str, float | int | None]]:
    """Returns 15 bins of equal width over the confidence, (low, high]: count, mean confidence, accuracy."""
    number = bins_of(statistics["confidence"])
    counts = np.bincount(number, minlength=BINS)
    confidence = np.bincount(number, statistics["confidence"], BINS)
    right = np.bincount(number, statistics["right"], BINS)
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


def roc(statistics: Statistics) -> dict[str, list[float]] | None:
    """Returns `fpr`, `tpr` and `threshold` (at most 200 points); None unless there are two classes and both occur."""
    points = _roc_points(statistics)
    if points is None:
        return None
    kept = _spread(points["fpr"] + points["tpr"])
    return {name: values[kept].astype(float).tolist() for name, values in points.items()}


def _roc_points(statistics: Statistics) -> dict[str, np.ndarray] | None:
    positive = statistics["labels"] == 1
    if statistics.sizes["classes"] != 2 or not positive.any() or positive.all():
        return None
    order = np.argsort(-statistics["score"], kind="stable")
    scores = statistics["score"][order]
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
