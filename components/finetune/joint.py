"""One linear model of what the frozen backbone makes of an example and of its words, or gradients: one convex fit.

Columns for words remember what is rare, the vector generalises ("wide and deep", Cheng et al. 2016, 1606.07792). How
much the vector counts beside the columns, the penalty and the balance are chosen on validation examples.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from components.finetune.classical import CHOICE, FIT, ClassicalFit, Sample, part_of, penalised
from components.finetune.settings import NOUNS
from components.shared.lexical.vectorizer import beside
from components.shared.linear import PENALTIES, Linear, climb, fit_linear
from components.shared.metrics import log_loss

_SCALES = (0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class JointFit:
    """One linear model of an example's vector (of length 1) and of its columns.

    Attributes:
        weight: float32 [classes, width], for vectors of length 1.
        wide: float32 [classes, columns], for the columns.
        bias: float32 [classes].
        scale: What the vector was multiplied by in the fit, which is in `weight` already.
        linear: What was chosen, with scores on validation examples.
        tried: Of each scale: `scale`, its scores.
        sides: How much each side carries, see `carried`.
        examples: How many training examples it was fitted on.
        train_loss: On them, in nats.
        seconds: Of everything.
    """

    weight: np.ndarray
    wide: np.ndarray
    bias: np.ndarray
    scale: float
    linear: Linear
    tried: list[dict[str, Any]]
    sides: dict[str, dict[str, float]]
    examples: int
    train_loss: float
    seconds: float

    @property
    def validation(self) -> dict[str, float]:
        """`validation_loss`, `accuracy` and `macro_f1`."""
        return self.linear.validation


def fit_joint(
    vectors: np.ndarray,
    validation: np.ndarray,
    fit: ClassicalFit,
    sample: Sample,
    seed: int,
    selection: str = "",
    like: JointFit | None = None,
) -> JointFit:
    """Fits one linear SVM on vectors beside the columns of words or gradients; their scale is chosen on validation.

    Args:
        vectors: float32 [training examples of `sample`, width], as the backbone gives them: `vectors[sample.numbers]`.
        validation: float32 [validation examples of `sample`, width].
        fit: Of the columns alone: they, and its balance, are taken.
        sample: Has the examples' classes.
        seed: Of the fits, and of the part that is chosen on.
        selection: What is chosen by; "" leaves it to the counts of the classes.
        like: Another fit, whose scale and penalty are taken: nothing is chosen.
    """
    began, chosen = time.perf_counter(), selection or sample.selection
    unit, unseen = csr_matrix(normalized(vectors)), csr_matrix(normalized(validation))
    size = (unit.nnz + fit.columns.nnz) * sample.classes
    few, most = (part_of(sample.labels, size, limit, seed) for limit in (CHOICE, FIT))
    tried: dict[float, Linear] = {}

    def fitted(scale: float, part: np.ndarray = few, penalties: Sequence[float] = (1.0,)) -> Linear:
        train = beside([scale * unit[part], fit.columns[part]])
        given = (sample.labels[part], beside([scale * unseen, fit.validation_columns]), sample.truth, sample.classes)
        balance = [fit.linear.balanced]
        tried[scale] = fit_linear(train, *given, seed, balances=balance, selection=chosen, penalties=penalties)
        return tried[scale]

    if like is None:
        best = climb(_SCALES, 1.0, fitted, chosen)
        scale = next(scale for scale, found in tried.items() if found is best)
    else:
        scale = like.scale
    choices = PENALTIES if like is None else (like.linear.penalty,)
    told = [{"scale": scale, **found.validation} for scale, found in sorted(tried.items())]
    linear = penalised(lambda part, penalties=choices: fitted(scale, part, penalties), few, most)
    width = vectors.shape[1]
    parts = {
        "backbone": scale * unseen @ linear.weight[:, :width].T,
        NOUNS[fit.maker.kind]: fit.validation_columns @ linear.weight[:, width:].T,
    }
    return JointFit(
        weight=scale * linear.weight[:, :width],
        wide=linear.weight[:, width:],
        bias=linear.bias,
        scale=scale,
        linear=linear,
        tried=told,
        sides=carried(parts, linear.bias, sample.truth),
        examples=len(most),
        train_loss=log_loss(linear.probabilities(beside([scale * unit[most], fit.columns[most]])), sample.labels[most]),
        seconds=time.perf_counter() - began,
    )


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors [examples, width] at length 1; where one is 0 it stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


def carried(parts: dict[str, np.ndarray], bias: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns how much each part of a sum of logits carries.

    Args:
        parts: By name, float [examples, classes].
        bias: Of the classes, which is nobody's.
        truth: The examples' classes.

    Returns:
        By name `share`, of the variance of the logits between classes that each part brings with it (shares sum up to
        1: of each its covariance with the sum), and `accuracy`, of this part alone.
    """
    centred = {name: part - part.mean(1, keepdims=True) for name, part in parts.items()}
    whole = np.sum(list(centred.values()), axis=0)
    variance = float((whole * whole).sum()) or 1.0
    return {
        name: {
            "share": float((part * whole).sum()) / variance,
            "accuracy": float((np.asarray(parts[name] + bias).argmax(1) == truth).mean()) if len(truth) else 0.0,
        }
        for name, part in centred.items()
    }
