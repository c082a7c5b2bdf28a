"""A trained network and a linear model of words, or of gradients, as one: their logits are added, each with a factor.

The two factors are fitted on validation examples (stacked generalization, Wolpert 1992): the network keeps what it
learned, and the linear model helps where it knows better. It costs no training, and no second model to serve: the
linear model becomes a branch of the network. Of answers that are no classes it is the loss of the task's head that the
factors are fitted by, and an offset with them.
"""

from dataclasses import dataclass

import numpy as np
import torch

from components.finetune.learning.examples import Batch
from components.finetune.linear.classical import ClassicalFit
from components.finetune.linear.convex import OwnLoss
from components.shared.backbones.network import Network
from components.shared.linear import softmax

_LEAST, _MOST = 1e-3, 30.0  # of a factor


@dataclass(frozen=True)
class Fusion:
    """What the logits of both sides are multiplied by before they are added.

    Attributes:
        deep: Of the network.
        wide: Of the linear model.
        offset: What is added to the sum.
    """

    deep: float
    wide: float
    offset: float = 0.0

    @property
    def words(self) -> str:
        """It in words."""
        return f"logits times {self.deep:.2f} and {self.wide:.2f}"

    def logits(self, deep: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """Returns the logits of both together, [examples, classes]."""
        found: np.ndarray = self.deep * deep + self.wide * wide + self.offset
        return found

    def load_into(self, network: Network, fit: ClassicalFit) -> None:
        """Makes the linear model a branch of a network that has none."""
        network.widen(fit.maker, torch.from_numpy(np.ascontiguousarray(self.wide * fit.linear.weight.T)))
        with torch.no_grad():
            bias = torch.from_numpy(self.wide * fit.linear.bias + self.offset)
            network.head.weight.mul_(self.deep)
            network.head.bias.mul_(self.deep).add_(bias.to(network.head.bias))


def fuse(deep: np.ndarray, wide: np.ndarray, truth: np.ndarray) -> Fusion:
    """Fits the factors: the log loss of validation examples is convex in both.

    A little of each target is spread over all classes, as in `components.shared.linear.temperature_of`.

    Args:
        deep: Logits of the network, [validation examples, classes].
        wide: Of the linear model, likewise.
        truth: int [validation examples].
    """
    from scipy.optimize import minimize

    sides = [side - side.max(1, keepdims=True) for side in (deep.astype(np.float64), wide.astype(np.float64))]
    targets = np.full(deep.shape, 1 / (len(truth) + 2) / deep.shape[1])
    targets[np.arange(len(truth)), truth] += 1 - 1 / (len(truth) + 2)

    def loss(factors: np.ndarray) -> tuple[float, np.ndarray]:
        logits = factors[0] * sides[0] + factors[1] * sides[1]
        shares = softmax(logits)
        each = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - (targets * logits).sum(1)
        slopes = [float(((shares - targets) * side).sum(1).mean()) for side in sides]
        return float(each.mean()), np.array(slopes)

    found = minimize(loss, np.array([0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=[(_LEAST, _MOST)] * 2)
    return Fusion(*map(float, found.x))


def fuse_answers(loss: OwnLoss, deep: np.ndarray, wide: np.ndarray, targets: Batch) -> Fusion:
    """Fits the factors, and an offset, under the loss of a head, which is convex in them.

    Args:
        loss: Of the head.
        deep: What the head's layer gives in the network, [validation examples, outputs].
        wide: What the linear model gives, likewise.
        targets: Of the examples, as the head makes them.
    """
    from scipy.optimize import minimize

    count = loss.count(targets)

    def value(found: np.ndarray) -> tuple[float, np.ndarray]:
        total, _, slopes = loss.slopes((found[0] * deep + found[1] * wide + found[2]).astype(np.float32), targets)
        gradient = [float((slopes * side).sum()) for side in (deep, wide)]
        return total / count, np.array([*gradient, float(slopes.sum())]) / count

    bounds = [(_LEAST, _MOST)] * 2 + [(None, None)]
    found = minimize(value, np.array([0.5, 0.5, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Fusion(*map(float, found.x))
