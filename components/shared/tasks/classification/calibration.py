"""How far the model's confidence can be trusted: before and after its temperature, and what a threshold would bring."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.shared.statistics import Statistics, score_of, wilson
from components.shared.tasks.classification.metrics import ECE

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Fixed ones: a threshold that is chosen on the test examples would promise too much."""
_ROWS = 8192


def calibration_of(predictions: Path, statistics: Statistics, history: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns what the model's temperature did; None where finetune tells none.

    Args:
        predictions: `predictions.parquet`, whose probabilities are those after it.
        statistics: Of the same examples.
        history: What finetune told, of which `temperature`.

    Returns:
        `temperature`, and the expected calibration errors on the test examples `before` and `after`.
    """
    temperature = history.get("temperature")
    if not isinstance(temperature, int | float) or not temperature > 0:
        return None
    classes, parts = statistics.sizes["classes"], [np.zeros(0, np.float32)]
    with pq.ParquetFile(predictions) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["probabilities"]):
            flat = batch.column(0).flatten().to_numpy().astype(np.float64).reshape(-1, classes)
            logarithms = temperature * np.log(np.maximum(flat, 1e-30))
            powers = np.exp(logarithms - logarithms.max(1, keepdims=True))
            parts.append((powers.max(1) / powers.sum(1)).astype(np.float32))
    uncalibrated = replace(statistics, arrays={**statistics.arrays, "confidence": np.concatenate(parts)})
    before, after = (score_of(ECE, found) for found in (uncalibrated, statistics))
    return {"temperature": float(temperature), "before": before, "after": after}


def thresholds_of(statistics: Statistics) -> list[dict[str, Any]]:
    """Returns what comes of answering only where the model is sure enough, and handing the rest to people.

    Returns:
        For each threshold that some example reaches `threshold`, `answered` (examples), `share` (of all), `precision`,
        and `low` and `high`, the ends of its interval (Wilson 1927).
    """
    rows, before = [], -1
    for threshold in THRESHOLDS:
        sure = statistics["confidence"] >= threshold
        answered = int(sure.sum())
        if answered and answered != before:
            right = int(statistics["right"][sure].sum())
            low, high = wilson(right / answered, answered)
            told = {"threshold": threshold, "answered": answered, "share": answered / len(sure)}
            rows.append({**told, "precision": right / answered, "low": low, "high": high})
            before = answered
    return rows
