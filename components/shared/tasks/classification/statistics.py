"""What is kept of the predictions of a classification: a few numbers an example, however many classes there are."""

import numpy as np

from components.shared.statistics import Statistics

NO_CLASS = -1  # of a prediction that is none of the classes


def statistics_of(probabilities: np.ndarray, labels: np.ndarray) -> Statistics:
    """Returns what is kept of probabilities.

    Args:
        probabilities: [examples, classes].
        labels: int [examples], the true classes.

    Returns:
        `labels` and `predicted` (the most probable class), `right`, `confidence` (its probability), `loss` (negative
        log-likelihood of the true class, in nats) and `score` (probability of the second class, which is "positive"
        where there are two).
    """
    everyone = np.arange(len(labels))
    predicted = probabilities.argmax(1)
    chosen = probabilities[everyone, labels].astype(np.float64)
    return statistics_from(
        labels,
        predicted.astype(np.int32),
        probabilities.shape[1],
        confidence=probabilities[everyone, predicted].astype(np.float32),
        loss=-np.log(np.maximum(chosen, 1e-12)),
        score=probabilities[:, 1].astype(np.float32),
    )


def statistics_from(labels: np.ndarray, predicted: np.ndarray, classes: int, **others: np.ndarray) -> Statistics:
    """Returns the statistics of predicted classes, with other arrays beside."""
    arrays = {"labels": labels.astype(np.int32), "predicted": predicted, "right": labels == predicted, **others}
    return Statistics(arrays, {"classes": classes})
