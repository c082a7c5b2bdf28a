"""The parts of the page that are a classification's own: confusion and ROC, calibration, classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.shared.charts import UNIT, path
from components.shared.tasks.scoring import Section

MATRIX_CLASSES = 30
TABLE_CLASSES = 40
_BESIDE = 6  # classes, whose matrix leaves room for the calibration


def sections_of(content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
    """Returns the sections, see `Scoring.sections`."""
    few, roc = len(content["labels"]) <= _BESIDE, content["roc"]
    curve = roc and path(list(zip(roc["fpr"], roc["tpr"], strict=True)), **UNIT)
    return [
        Section("confusion.html.j2", {"matrix": matrix_of(content), "roc": curve, **UNIT}, beside=few),
        Section("calibration.html.j2", {**UNIT}, beside=few),
        Section("classes.html.j2", {"classes": classes_of(content), "folds": folds}),
    ]


def matrix_of(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the confusion matrix, of the most confused classes where there are many."""
    confusion, labels = content["confusion"], content["labels"]
    if confusion is None:
        return None
    count = len(labels)
    wrong = [sum(confusion[n]) + sum(row[n] for row in confusion) - 2 * confusion[n][n] for n in range(count)]
    shown = sorted(sorted(range(count), key=lambda n: -wrong[n])[:MATRIX_CLASSES])
    totals = {n: sum(confusion[n]) for n in shown}
    rows = [
        {
            "label": labels[n],
            "total": totals[n],
            "cells": [
                {
                    "label": labels[m],
                    "count": confusion[n][m],
                    "share": confusion[n][m] / max(totals[n], 1),
                    "is": n == m,
                }
                for m in shown
            ],
        }
        for n in shown
    ]
    return {"rows": rows, "labels": [labels[n] for n in shown], "all": count}


def classes_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the rows of the table by class: lowest F1 first where not all are shown."""
    rows = content["classes"]
    if len(rows) > TABLE_CLASSES:
        rows = sorted((row for row in rows if row["support"]), key=lambda row: row["f1"])[:TABLE_CLASSES]
    return {"rows": rows, "all": len(content["classes"])}
