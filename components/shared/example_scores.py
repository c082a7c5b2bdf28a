"""What is kept of predictions: of each example a few numbers, however many classes there are."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

ARRAYS = ("labels", "predicted", "confidence", "loss", "score")


@dataclass(frozen=True)
class Outcome:
    """What is kept of predictions, arrays of [examples].

    Attributes:
        labels: True class.
        predicted: Most probable class.
        confidence: Probability of the predicted class.
        loss: Negative log-likelihood of the true class, in nats.
        score: Probability of the second class, which is "positive" where there are two.
        classes: How many there are.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    score: np.ndarray
    classes: int

    @property
    def right(self) -> np.ndarray:
        """Whether each example was predicted as labelled."""
        result: np.ndarray = self.labels == self.predicted
        return result

    def take(self, chosen: np.ndarray) -> "Outcome":
        """Returns the outcome of some examples: bool [examples]."""
        return Outcome(**{name: getattr(self, name)[chosen] for name in ARRAYS}, classes=self.classes)

    def first(self, count: int) -> "Outcome":
        """Returns the outcome of the first examples."""
        return Outcome(**{name: getattr(self, name)[:count] for name in ARRAYS}, classes=self.classes)


def outcome_of(probabilities: np.ndarray, labels: np.ndarray) -> Outcome:
    """Returns the outcome of probabilities [examples, classes]."""
    everyone = np.arange(len(labels))
    predicted = probabilities.argmax(1)
    chosen = probabilities[everyone, labels].astype(np.float64)
    return Outcome(
        labels=labels.astype(np.int32),
        predicted=predicted.astype(np.int32),
        confidence=probabilities[everyone, predicted].astype(np.float32),
        loss=-np.log(np.maximum(chosen, 1e-12)),
        score=probabilities[:, 1].astype(np.float32),
        classes=probabilities.shape[1],
    )


def join(parts: Iterable[Outcome]) -> Outcome:
    """Returns one outcome of many chunks."""
    every = list(parts)
    arrays = {name: np.concatenate([getattr(part, name) for part in every]) for name in ARRAYS}
    return Outcome(**arrays, classes=every[0].classes)
