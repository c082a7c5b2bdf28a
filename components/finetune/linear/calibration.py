"""One temperature for all logits, from validation examples: folded into the head, so that it is served as it is.

Source: Guo et al. 2017, 1706.04599.
"""

from typing import Any, Protocol

import numpy as np

from components.shared.linear import softmax, temperature_of

_BINS = 10


class Model(Protocol):
    """What has logits."""

    def cool(self, temperature: float) -> None:
        """Divides all logits by a temperature, for good."""


def calibrate(model: Model, logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Divides a model's logits by the temperature that fits validation examples.

    Args:
        model: A network, or what knows words alone.
        logits: What it makes of the validation examples, [examples, classes].
        truth: Their classes, int [examples].

    Returns:
        `temperature`, and the expected calibration error `before` and `after`, on those examples. The probabilities of
        before are those of now to the power of the temperature, normalised.
    """
    temperature = temperature_of(logits, truth)
    model.cool(temperature)
    errors = [calibration_error(softmax(logits / value), truth) for value in (1.0, temperature)]
    return {"temperature": temperature, "before": errors[0], "after": errors[1]}


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Returns how far confidence and accuracy are apart, a mean over ten equal steps of confidence."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((confidence[bins == b] - right[bins == b]).sum())) for b in range(_BINS)]
    return sum(gaps) / max(1, len(truth))
