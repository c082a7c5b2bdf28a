"""Logistic regression on fixed features: what the tasks' classical baselines end in."""

import warnings
from typing import Any

import numpy as np


def logistic_regression(
    train: Any, labels: np.ndarray, test: Any, seed: int, strength: float = 10.0, steps: int = 1000
) -> np.ndarray:
    """Fits on training features and returns the test examples' probabilities, float64 [test examples, classes].

    Args:
        train: Features [training examples, features], dense or sparse.
        labels: Their classes, int [training examples]; every class is among them.
        test: Features [test examples, features].
        seed: Of the fit.
        strength: Of the fit to the data against regularisation (`C`).
        steps: At most so many of L-BFGS; fewer than it would like are baseline enough.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=steps, C=strength, random_state=seed).fit(train, labels)
    probabilities: np.ndarray = model.predict_proba(test)
    return probabilities
