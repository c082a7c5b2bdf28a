"""Linear classifiers on fixed features: what is chosen on validation, and how margins become probabilities.

A linear SVM (squared hinge, one class against the rest) on word counts is the baseline that fine-tuned networks often
fail to beat (Lin et al. 2023, "Linear Classifier: An Often-Forgotten Baseline for Text Classification"). Its margins
are made probabilities by one temperature, fitted on validation examples (Guo et al. 2017, 1706.04599).
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from components.shared import metrics
from components.shared.cores import cores
from components.shared.selection import rank, selection_of

SQUARED_HINGE, LOGISTIC = "squared hinge", "logistic"
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of scikit-learn's C, the inverse of the penalty."""
_LARGE = 2_000_000  # numbers that are not 0 times classes: from here on a call for each class costs little
_SCALES = (-3.0, 4.0)  # natural logarithms of the smallest and the largest factor of margins

_Weights = Mapping[int, float] | None
"""What an example of each class weighs; None: all the same."""


@dataclass(frozen=True)
class Linear:
    """A linear classifier: softmax(weight · x + bias) are its probabilities, the temperature included.

    Attributes:
        weight: float32 [classes, features].
        bias: float32 [classes].
        loss: "squared hinge" or "logistic".
        penalty: The chosen C.
        balanced: Whether classes weigh the same in the fit, whatever their size.
        validation: `validation_loss`, `accuracy` and `macro_f1` on the validation examples.
        seconds: Of all fits that were tried.
    """

    NEVER: ClassVar[float] = -30.0
    """The bias of a class without a training example."""
    weight: np.ndarray
    bias: np.ndarray
    loss: str
    penalty: float
    balanced: bool
    validation: dict[str, float]
    seconds: float = 0.0

    def logits(self, features: Any) -> np.ndarray:
        """Takes features [examples, features], dense or sparse; returns float32 [examples, classes]."""
        found: np.ndarray = np.asarray(features @ self.weight.T, np.float32) + self.bias
        return found

    def probabilities(self, features: Any) -> np.ndarray:
        """Takes features [examples, features], dense or sparse; returns float32 [examples, classes]."""
        return softmax(self.logits(features))

    @classmethod
    def empty(cls, loss: str, penalty: float = 1.0, balanced: bool = False) -> "Linear":
        """Returns settings without a fit: what one may be fitted by."""
        return cls(np.zeros((0, 0), np.float32), np.zeros(0, np.float32), loss, penalty, balanced, {})

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        return f"{self.loss}, C = {self.penalty:g}{', balanced' if self.balanced else ''}"


def fit_linear(
    train: Any,
    labels: np.ndarray,
    validation: Any,
    truth: np.ndarray,
    classes: int,
    seed: int,
    losses: Sequence[str] = (SQUARED_HINGE,),
    balances: Sequence[bool] = (False, True),
    selection: str = "",
    seconds: float = float("inf"),
    penalties: Sequence[float] = PENALTIES,
) -> Linear:
    """Fits a linear classifier; loss, penalty and the weights of classes are chosen on validation examples.

    Args:
        train: Features [training examples, features], dense or sparse.
        labels: Their classes, int [training examples].
        validation: Features [validation examples, features].
        truth: Their classes, int [validation examples].
        classes: How many there are; one without a training example gets no probability.
        seed: Of the fit.
        losses: Those that are tried.
        balances: Whether classes are weighed: what is tried.
        selection: What is chosen by, see `selection_of`; "" leaves it to the counts of the classes.
        seconds: After so many nothing more is tried.
        penalties: That are tried, ascending; the search begins at 1, where that is among them.
    """
    began = time.perf_counter()
    chosen = selection or selection_of(np.bincount(labels, minlength=classes))
    best: Linear | None = None
    for loss in losses:
        for balanced in balances:
            if best is not None and time.perf_counter() - began > seconds:
                break

            def fit(penalty: float, loss: str = loss, balanced: bool = balanced) -> Linear:
                return fit_once(train, labels, validation, truth, classes, seed, loss, penalty, balanced)

            found = climb(penalties, 1.0 if 1.0 in penalties else penalties[0], fit, chosen, began + seconds)
            if best is None or rank(found.validation, chosen) > rank(best.validation, chosen):
                best = found
    assert best is not None, "a loss and a balance are tried"
    return replace(best, seconds=time.perf_counter() - began)


def fit_once(
    train: Any,
    labels: np.ndarray,
    validation: Any,
    truth: np.ndarray,
    classes: int,
    seed: int,
    loss: str,
    penalty: float,
    balanced: bool,
) -> Linear:
    """Fits a linear classifier by what is chosen already; validation examples are for its temperature alone.

    Args:
        train: Features [training examples, features], dense or sparse.
        labels: Their classes, int [training examples].
        validation: Features [validation examples, features]; there may be none.
        truth: Their classes, int [validation examples].
        classes: How many there are; one without a training example gets no probability.
        seed: Of the fit.
        loss: "squared hinge" or "logistic".
        penalty: The C.
        balanced: Whether classes weigh the same, whatever their size.
    """
    raw = _fit(train, labels, classes, seed, loss, penalty, balanced)
    return calibrated(raw, raw.logits(validation), truth)


def climb(
    values: Sequence[float], start: float, fit: Callable[[float], Linear], selection: str, until: float = float("inf")
) -> Linear:
    """Walks along ascending values from one of them, in both directions, as long as validation gains.

    Args:
        values: Of a penalty, or of a scale.
        start: Where it begins; it is tried in any case.
        fit: Fits with a value.
        selection: What is chosen by.
        until: By `time.perf_counter`, when no other value is tried any more.
    """
    first = values.index(start)
    best = fit(start)
    for step in (1, -1):
        place = first + step
        while 0 <= place < len(values) and time.perf_counter() < until:
            found = fit(values[place])
            if rank(found.validation, selection) <= rank(best.validation, selection):
                break
            best, place = found, place + step
    return best


def calibrated(model: Linear, logits: np.ndarray, truth: np.ndarray) -> Linear:
    """Returns the classifier with the temperature that fits validation examples best, and its scores on them.

    Args:
        model: Whose margins are scaled.
        logits: Its margins of the validation examples, [examples, classes].
        truth: Their classes, int [examples].
    """
    known = model.bias != Linear.NEVER
    fair = known[truth]
    scale = np.where(known, 1.0 / temperature_of(logits[fair][:, known], np.cumsum(known)[truth[fair]] - 1), 1.0)
    probabilities = softmax(scale * logits)
    confusion = metrics.confusion_matrix(truth, probabilities.argmax(1), logits.shape[1])
    scores = {
        "validation_loss": metrics.log_loss(probabilities, truth) if len(truth) else float("nan"),
        "accuracy": metrics.accuracy(confusion),
        "macro_f1": metrics.macro_f1(confusion),
    }
    factor = scale.astype(np.float32)
    weight, bias = factor[:, None] * model.weight, factor * model.bias
    return replace(model, weight=weight, bias=bias, validation=scores)


def temperature_of(logits: np.ndarray, truth: np.ndarray) -> float:
    """Returns what logits [examples, classes] are to be divided by for the lowest log loss; 1.0 without examples.

    A little of each target is spread over all classes, as if one example more had been predicted blindly: few examples
    that are all right say nothing for certainty (as Platt 1999 does for two classes). Source: Guo et al. 2017,
    1706.04599.
    """
    from scipy.optimize import minimize_scalar

    if not len(truth):
        return 1.0
    rows, spread = np.arange(len(truth)), 1 / (len(truth) + 2)
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)

    def loss(log_scale: float) -> float:
        scaled = np.exp(log_scale) * shifted
        told = (1 - spread) * scaled[rows, truth] + spread * scaled.mean(1)
        return float((np.log(np.exp(scaled).sum(1)) - told).mean())

    found = minimize_scalar(loss, bounds=_SCALES, method="bounded")
    return float(np.exp(-found.x))


def cross_calibrated(logits: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Returns probabilities, float32 [examples, classes], of each fold with the temperature that fits the others.

    Args:
        logits: Of each example by a model that has not seen it, [examples, classes].
        truth: Classes, int [examples].
        folds: int [examples], the fold of each.
    """
    found = np.zeros(logits.shape, np.float32)
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = softmax(logits[held] / temperature_of(logits[~held], truth[~held]))
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities [examples, classes] of logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
    return probabilities


def _fit(train: Any, labels: np.ndarray, classes: int, seed: int, loss: str, penalty: float, balanced: bool) -> Linear:
    from sklearn.exceptions import ConvergenceWarning

    there, counts = np.unique(labels, return_counts=True)
    weight = np.zeros((classes, train.shape[1]), np.float32)
    bias = np.full(classes, Linear.NEVER if len(there) > 1 else 0.0, np.float32)
    if len(there) == 1:  # nothing to tell apart
        bias[there] = -Linear.NEVER
        return Linear(weight, bias, loss, penalty, balanced, {})
    weights = dict(zip(there.tolist(), (len(labels) / len(there) / counts).tolist(), strict=True)) if balanced else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer steps than it would like are good enough
        of = _one_by_one if loss == SQUARED_HINGE and len(there) > 2 and _is_large(train, len(there)) else _at_once
        found, offsets = of(train, labels, there, seed, loss, penalty, weights)
    if len(there) == 2:  # one margin: half of it for one class, half against the other
        weight[there], bias[there] = np.vstack([-found, found]) / 2, np.r_[-1, 1] * offsets / 2
    else:
        weight[there], bias[there] = found, offsets
    return Linear(weight, bias, loss, penalty, balanced, {})


def _is_large(train: Any, classes: int) -> bool:
    numbers = train.nnz if hasattr(train, "nnz") else train.size
    return bool(numbers * classes > _LARGE)


def _at_once(
    train: Any, labels: np.ndarray, _: np.ndarray, seed: int, loss: str, penalty: float, weights: _Weights
) -> tuple[np.ndarray, np.ndarray]:
    """Fits all classes in one call; returns weights [classes, features] and offsets, one row of two classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    told: dict[str, Any] = {"C": penalty, "class_weight": weights, "random_state": seed}
    model: Any = LinearSVC(**told) if loss == SQUARED_HINGE else LogisticRegression(**told, max_iter=300)
    model.fit(train, labels)
    return model.coef_, model.intercept_


def _one_by_one(
    train: Any, labels: np.ndarray, there: np.ndarray, seed: int, _: str, penalty: float, weights: _Weights
) -> tuple[np.ndarray, np.ndarray]:
    """Fits each class against the rest, as `_at_once` does, on all cores: however many, the outcome is the same."""
    from sklearn.svm import LinearSVC

    wide = train.astype(np.float64)  # as the solver wants it, once for all

    def fit(label: int) -> tuple[np.ndarray, float]:
        own = {True: weights[label], False: 1.0} if weights else None  # the rest weighs 1, as with all at once
        model = LinearSVC(C=penalty, class_weight=own, random_state=seed).fit(wide, labels == label)
        return model.coef_[0], float(model.intercept_[0])

    with ThreadPoolExecutor(cores()) as pool:  # the solver runs without Python's lock
        rows, offsets = zip(*pool.map(fit, there.tolist()), strict=True)
    return np.stack(rows), np.array(offsets)
