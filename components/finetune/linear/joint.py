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

from components.finetune.linear.classical import CHOICE, FIT, ClassicalFit, Sample, part_of, penalised
from components.finetune.linear.convex import Seen
from components.finetune.linear.fitters import fitter_of
from components.finetune.settings import NOUNS
from components.shared.linear import Linear, climb

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
        sides: How much each side carries, see `components.finetune.linear.fitters.carried`.
        examples: How many training examples it was fitted on.
        train_loss: On them; of classes in nats.
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
        """`validation_loss` and the task's metrics; of classes `accuracy` and `macro_f1`."""
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
    """Fits one linear model on vectors beside the columns of words or gradients; their scale is chosen on validation.

    Args:
        vectors: float32 [training examples of `sample`, width], as the backbone gives them: `vectors[sample.numbers]`.
        validation: float32 [validation examples of `sample`, width].
        fit: Of the columns alone: they, and its balance, are taken.
        sample: Has the examples' classes, or answers.
        seed: Of the fits, and of the part that is chosen on.
        selection: What is chosen by; "" leaves it to the counts of the classes, or to the task.
        like: Another fit, whose scale and penalty are taken: nothing is chosen.
    """
    began, fitter = time.perf_counter(), fitter_of(sample, seed, selection)
    unit, unseen = normalized(vectors), normalized(validation)
    size = (np.count_nonzero(unit) + fit.columns.nnz) * sample.classes
    few, most = (part_of(sample.labels, size, limit, seed) for limit in (CHOICE, FIT))
    tried: dict[float, Linear] = {}

    def seen(scale: float, part: np.ndarray) -> Seen:
        return Seen(fit.columns[part], scale * unit[part])

    def held(scale: float) -> Seen:
        return Seen(fit.validation_columns, scale * unseen)

    def fitted(scale: float, part: np.ndarray = few, penalties: Sequence[float] = (1.0,)) -> Linear:
        tried[scale] = fitter.fit(seen(scale, part), part, held(scale), fit.linear.balanced, penalties)
        return tried[scale]

    if like is None:
        best = climb(_SCALES, 1.0, fitted, fitter.selection)
        scale = next(scale for scale, found in tried.items() if found is best)
    else:
        scale = like.scale
    choices = fitter.penalties if like is None else (like.linear.penalty,)
    told = [{"scale": scale, **found.validation} for scale, found in sorted(tried.items())]
    linear = penalised(lambda part, penalties=choices: fitted(scale, part, penalties), few, most)
    width = vectors.shape[1]
    parts = {
        "backbone": csr_matrix(scale * unseen) @ linear.weight[:, :width].T,
        NOUNS[fit.maker.kind]: fit.validation_columns @ linear.weight[:, width:].T,
    }
    return JointFit(
        weight=scale * linear.weight[:, :width],
        wide=linear.weight[:, width:],
        bias=linear.bias,
        scale=scale,
        linear=linear,
        tried=told,
        sides=fitter.carried(parts, linear.bias),
        examples=len(most),
        train_loss=fitter.loss(linear, seen(scale, most), most),
        seconds=time.perf_counter() - began,
    )


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors [examples, width] at length 1; where one is 0 it stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found
