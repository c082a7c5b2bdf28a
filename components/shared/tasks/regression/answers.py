"""What a regression answers. It goes with a registered model, also with one without torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

PREDICTION = pa.schema({"value": pa.float64()})
"""One number, in the unit of the data."""


def decode(logits: np.ndarray, spec: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Returns the column of a prediction, `value`.

    Args:
        logits: [rows, 1], in standard deviations from the mean.
        spec: What data tell: `mean` and `deviation`.
        kept: Of the head: nothing.
    """
    return {"value": (logits.astype(np.float64).reshape(-1) * spec["deviation"] + spec["mean"]).tolist()}
