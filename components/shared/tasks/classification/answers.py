"""What a classification answers, of probabilities. It goes with a registered model, also with one without torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def columns_of(probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, list[Any]]:
    """Returns the columns of a prediction: `label`, its probability `confidence`, and `probabilities`.

    Args:
        probabilities: [rows, classes].
        labels: The classes, in that order.
    """
    values = probabilities.astype(float).reshape(len(probabilities), len(labels))
    return {
        "label": [labels[number] for number in values.argmax(1)],
        "confidence": values.max(1, initial=0.0).tolist(),
        "probabilities": values.tolist(),
    }


def decode(logits: np.ndarray, spec: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Returns the same columns, of logits.

    Args:
        logits: [rows, classes].
        spec: What data tell: `labels`.
        kept: Of the head: nothing.
    """
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True, initial=-np.inf))
    return columns_of(powers / powers.sum(1, keepdims=True), spec["labels"])
