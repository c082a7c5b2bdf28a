"""A linear layer under a head's own loss, on what is seen of rows without a network, alone or beside their vectors.

A row is what the loss has one line of: an example, or a token of a text. What is seen of it are sparse columns (words,
say), and perhaps a dense vector before them. The loss is convex in the layer's outputs for all heads that have one
(`Head.linear`), and so is the fit: L-BFGS, the penalty chosen on validation.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from components.finetune.learning.examples import Batch
from components.shared.backbones.head import Encoded, Head
from components.shared.lexical.vectorizer import beside
from components.shared.linear import Linear, climb

OWN = "the task's own loss"
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Values of C, the inverse of the penalty times the number of losses: a logistic loss wants much of it."""
_START = 1.0
_ITERATIONS, _MEMORY, _ENOUGH = 100, 8, 1e-5  # of L-BFGS; a step that gains less than this part is the last
_NUMBERS = 1 << 24  # outputs whose loss is computed at once

Score = Callable[[np.ndarray], dict[str, float]]
"""Takes the layer's outputs of all validation rows, float32 [rows, outputs]; returns `Objective.scores` of them."""


@dataclass(frozen=True)
class Seen:
    """What a linear layer sees of some rows.

    Attributes:
        columns: float32 [rows, columns].
        vectors: float32 [rows, width], which stand before the columns, or None.
    """

    columns: csr_matrix
    vectors: np.ndarray | None = None

    @property
    def width(self) -> int:
        """How many numbers it sees of a row."""
        return int(self.columns.shape[1]) + (0 if self.vectors is None else int(self.vectors.shape[1]))

    @property
    def together(self) -> csr_matrix:
        """All of it as one matrix, [rows, width]."""
        return self.columns if self.vectors is None else beside([csr_matrix(self.vectors), self.columns])

    def times(self, weight: np.ndarray) -> np.ndarray:
        """Returns the product with weights [width, outputs]: float32 [rows, outputs]."""
        before = 0 if self.vectors is None else self.vectors.shape[1]
        found = np.asarray(self.columns @ np.ascontiguousarray(weight[before:]), np.float32)
        return found if self.vectors is None else found + self.vectors @ weight[:before]

    def back(self, slopes: np.ndarray) -> np.ndarray:
        """Returns the product of the transposed with slopes [rows, outputs]: float32 [width, outputs]."""
        found = np.asarray(self.columns.T @ slopes, np.float32)
        return found if self.vectors is None else np.vstack([self.vectors.T @ slopes, found])


class OwnLoss:
    """The loss of a head as a function of what its linear layer gives."""

    def __init__(self, head: Head) -> None:
        """Takes a head with a linear layer; it is not changed."""
        self.head = copy.deepcopy(head).eval().cpu()
        layer = self.head.linear()
        assert layer is not None, "it has a linear layer"
        self.outputs = layer.out_features
        layer.in_features, layer.weight = 1, nn.Parameter(torch.zeros(self.outputs, 1), requires_grad=False)
        nn.init.zeros_(layer.bias.requires_grad_(False))

    def outputs_of(self, logits: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the head's outputs, as `Objective.scores` takes them, of what the layer gives [rows, outputs]."""
        return {name: values.numpy() for name, values in self._outputs(torch.from_numpy(logits)).items()}

    def count(self, targets: Batch) -> float:
        """Returns how many losses there are of some rows."""
        rows = len(next(iter(targets.values())))
        return max(1.0, self.slopes(np.zeros((rows, self.outputs), np.float32), targets)[1])

    def mean(self, logits: np.ndarray, targets: Batch) -> float:
        """Returns the mean loss of rows, by what the layer gives of them."""
        total, count, _ = self.slopes(logits, targets)
        return total / max(1.0, count)

    def slopes(self, logits: np.ndarray, targets: Batch) -> tuple[float, float, np.ndarray]:
        """Returns the sum of the losses, how many they are, and the sum's slopes by what the layer gives.

        Args:
            logits: What the layer gives, float32 [rows, outputs].
            targets: Of these rows, as `Head.targets` makes them; of tokens flat, [rows].
        """
        total = count = 0.0
        slopes, step = np.zeros_like(logits), max(1, _NUMBERS // max(1, self.outputs))
        for start in range(0, len(logits), step):
            part = torch.from_numpy(logits[start : start + step]).requires_grad_()
            cut = {name: values[start : start + step] for name, values in targets.items()}
            loss, each = self.head.loss(self._outputs(part), cut)
            (found,) = torch.autograd.grad(loss, part)
            slopes[start : start + step] = found.numpy()
            total, count = total + float(loss.detach()), count + float(each)
        return total, count, slopes

    def _outputs(self, logits: Tensor) -> dict[str, Tensor]:
        nothing = torch.zeros(len(logits), 1)
        return self.head(Encoded(**{self.head.level: nothing}, beside=logits))  # type: ignore[no-any-return]


def fit_columns(
    loss: OwnLoss,
    train: Seen,
    targets: Batch,
    validation: Seen,
    score: Score,
    selection: str,
    penalties: Sequence[float] = PENALTIES,
) -> Linear:
    """Fits a linear layer under a head's own loss; the penalty is chosen on validation.

    Args:
        loss: Of the head.
        train: What is seen of the rows that it learns from: examples, or tokens.
        targets: Of these rows, on the CPU, as `Head.targets` makes them; of tokens flat, [rows].
        validation: What is seen of the rows that are chosen on.
        score: How well the layer's outputs of these do.
        selection: What is chosen by, see `components.shared.selection.rank`.
        penalties: Values of C that are tried, ascending; the search begins at 1, where that is among them, and goes on
            in both directions while validation gains.

    Returns:
        The layer: `weight` float32 [outputs, width], that of the vectors first, and `bias` float32 [outputs].
    """
    count, flat = loss.count(targets), np.zeros((train.width + 1) * loss.outputs)

    def fit(penalty: float) -> Linear:
        nonlocal flat
        flat = _minimise(loss, train, targets, 1 / (penalty * count), count, flat)
        weight, bias = _parts(flat, loss.outputs)
        scores = score(validation.times(weight) + bias)
        return Linear(np.ascontiguousarray(weight.T), bias, OWN, penalty, False, scores)

    return climb(penalties, _START if _START in penalties else penalties[0], fit, selection)


def _minimise(
    loss: OwnLoss, train: Seen, targets: Batch, penalty: float, count: float, start: np.ndarray
) -> np.ndarray:
    """Minimises the mean loss + penalty / 2 · |weight|², from some weights on; the bias is not penalised."""

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = _parts(flat, loss.outputs)
        total, _, slopes = loss.slopes(train.times(weight) + bias, targets)
        gradient = np.append(train.back(slopes), slopes.sum(0)) / count
        gradient[: -loss.outputs] += penalty * flat[: -loss.outputs]
        return total / count + penalty / 2 * float(np.square(flat[: -loss.outputs]).sum()), gradient

    options = {"maxiter": _ITERATIONS, "maxcor": _MEMORY, "ftol": _ENOUGH, "gtol": 1e-6}
    found: np.ndarray = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    return found


def _parts(flat: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights [width, outputs] and bias [outputs], float32."""
    found = flat.astype(np.float32)
    return found[:-outputs].reshape(-1, outputs), found[-outputs:]
