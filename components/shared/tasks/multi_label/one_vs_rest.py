"""A logistic regression and a linear SVM a label (one against the rest), on whatever columns.

What an SVM gives becomes a probability by a sigmoid that is fitted to what is held out (Platt, 1999). The threshold
from which on a label is given, one for all labels, is chosen by micro-F1 on validation examples.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from components.shared.baselines import Baseline
from components.shared.cores import cores
from components.shared.statistics.f1 import f1_of

SVM = "Linear SVM"
KINDS = {"Logistic regression": (1.0, 10.0, 100.0), SVM: (0.1, 1.0, 10.0)}
"""What is tried of scikit-learn's C; on vectors of unit length much of it."""
THRESHOLDS = np.arange(0.05, 0.951, 0.025)
_UNCHANGED = np.array([[1.0, 0.0]])
_HELD = 5  # one part in so many is chosen on where there is no validation

Rows = Any
"""Vectors of examples, [examples, columns]: a matrix of SciPy, or an array."""
Found = Iterator[Baseline]


@dataclass(frozen=True)
class Examples:
    """Vectors of examples, with their labels.

    Attributes:
        rows: [examples, columns].
        truth: Which labels they have, bool [examples, labels].
    """

    rows: Rows
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.truth)

    def first(self, count: int) -> "Examples":
        """Returns the first ones."""
        return self if count >= len(self) else Examples(self.rows[:count], self.truth[:count])

    def parted(self) -> "tuple[Examples, Examples]":
        """Returns them in two: what is learned from, and a fifth to choose on."""
        cut = len(self) - max(len(self) // _HELD, 1)
        return self.first(cut), Examples(self.rows[cut:], self.truth[cut:])


@dataclass(frozen=True)
class Choice:
    """What was chosen on examples that are held out.

    Attributes:
        score: Micro-F1 on them.
        penalty: The C.
        threshold: From which probability on a label is given.
        curves: What makes probabilities of margins, see `_curves`.
    """

    score: float
    penalty: float
    threshold: float
    curves: np.ndarray


def baselines_on(name: str, train: Examples, held: Examples, unseen: Rows, size: int, searched: int = 0) -> Found:
    """Yields a baseline for each kind of model.

    Args:
        name: Of the columns, as the page calls them: "words".
        train: What they learn from.
        held: What penalty and threshold are chosen on; where there is none, on a part of the training.
        unseen: Vectors of the examples that are predicted.
        size: Bytes of what makes the columns.
        searched: How many of the training examples the choice is made by; 0: all.
    """
    for kind, penalties in KINDS.items():
        began = time.perf_counter()
        choice = chosen(kind, penalties, train.first(searched or len(train)), held)
        probabilities = _probabilities(_fit(kind, train, choice.penalty), unseen, choice.curves)
        given, labels = probabilities >= choice.threshold, train.truth.shape[1]
        yield Baseline(
            f"{kind} on {name}",
            f"one a label, C = {choice.penalty:g}; given from {choice.threshold:.3g} on",
            np.stack([given, probabilities], axis=1).astype(np.float64),
            8 * labels * (train.rows.shape[1] + 1) + size,
            time.perf_counter() - began,
            len(train),
        )


def chosen(kind: str, penalties: Sequence[float], own: Examples, held: Examples) -> Choice:
    """Returns penalty and threshold with the best micro-F1; of equal ones the threshold that is nearest to one half.

    Args:
        kind: Of model, one of `KINDS`.
        penalties: That are tried.
        own: What is learned from.
        held: What is chosen on; where there is none, on a part of the others.
    """
    own, held = (own, held) if len(held) else own.parted()
    best = Choice(-1.0, penalties[0], 0.5, _UNCHANGED.repeat(own.truth.shape[1], axis=0))
    for penalty in penalties:
        models = _fit(kind, own, penalty)
        curves = _curves(kind, models, held)
        probabilities = _probabilities(models, held.rows, curves)
        for threshold in sorted(THRESHOLDS.tolist(), key=lambda value: abs(value - 0.5)):
            given = probabilities >= threshold
            score = float(f1_of(*(np.asarray(part.sum()) for part in (given & held.truth, given, held.truth))))
            if score > best.score:
                best = Choice(score, penalty, threshold, curves)
    return best


def _curves(kind: str, models: Sequence[Any], held: Examples) -> np.ndarray:
    """Returns slope and intercept of a sigmoid for each label, float [labels, 2]; a logistic regression has its own."""
    from sklearn.linear_model import LogisticRegression

    found = _UNCHANGED.repeat(len(models), axis=0)
    for label, model in enumerate(models if kind == SVM else ()):
        there = held.truth[:, label]
        if not isinstance(model, float) and there.any() and not there.all():
            fit = LogisticRegression(C=1.0).fit(model.decision_function(held.rows)[:, None], there)
            found[label] = fit.coef_[0, 0], fit.intercept_[0]
    return found


def _fit(kind: str, examples: Examples, penalty: float) -> list[Any]:
    """Returns a model a label, fitted on all cores; of one that all examples have, or none, its share alone."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    rows = examples.rows.astype(np.float64)  # as the solvers want it, once for all
    full = isinstance(rows, np.ndarray)  # of full columns others are faster: their steps do not go row by row

    def fit(label: int) -> Any:
        there = examples.truth[:, label]
        if there.all() or not there.any():
            return float(there.mean()) if len(there) else 0.0
        if kind == SVM:
            return LinearSVC(C=penalty, dual=not full, random_state=0).fit(rows, there)
        solver = "lbfgs" if full else "liblinear"
        return LogisticRegression(C=penalty, solver=solver, random_state=0).fit(rows, there)

    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:  # the solver runs without Python's lock
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer steps than it would like are good enough
        return list(pool.map(fit, range(examples.truth.shape[1])))


def _probabilities(models: Sequence[Any], rows: Rows, curves: np.ndarray) -> np.ndarray:
    """Returns float [examples, labels]."""
    columns = [
        np.full(rows.shape[0], model) if isinstance(model, float) else expit(slope * model.decision_function(rows) + up)
        for model, (slope, up) in zip(models, curves, strict=True)
    ]
    return np.stack(columns, axis=1)
