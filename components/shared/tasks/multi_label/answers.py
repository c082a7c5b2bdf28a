"""What a multi-label classification answers. It goes with a registered model, also with one without torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

PREDICTION = pa.schema({"labels": pa.list_(pa.string()), "probabilities": pa.list_(pa.float64())})
"""The labels that are given, and the probability of each label that there is, in the order of the metadata's labels."""


def decode(logits: np.ndarray, spec: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Returns the columns of a prediction: `labels` (those from their thresholds on) and `probabilities`.

    Args:
        logits: [rows, labels].
        spec: What data tell: `labels`.
        kept: Of the head: `thresholds`, from which probability on each label is given.
    """
    probabilities = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -500, 500)))
    given = probabilities >= np.asarray(kept["thresholds"], np.float64)
    return {
        "labels": [[name for name, is_given in zip(spec["labels"], row, strict=True) if is_given] for row in given],
        "probabilities": probabilities.tolist(),
    }
