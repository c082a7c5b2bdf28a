"""A probe: a linear head on what the frozen backbone makes of the examples, everything about it chosen on the data.

From one pass come several views of the examples: each pooling of the tokens, standardised or brought to length 1. On
each a squared hinge loss (one class against the rest: a linear SVM) or a logistic loss is minimised by L-BFGS, where
the vectors are; `choice.py` chooses among them. Source of the loss: Lin et al. 2023, "Linear Classifier: An
Often-Forgotten Baseline".
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.learning.cache import States
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.linear import LOGISTIC, softmax, temperature_of
from components.shared.selection import rank
from components.shared.tasks.classification.objective import scores_of

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Of the squared weights, times the mean squared length of the vectors: so they mean the same for all views."""
DENSE = (10**0.5, 10**-0.5, 10**0.25, 10**-0.25)  # what the best penalty is multiplied by in the end
_CHUNK = 16384  # examples at once
_KEPT = 2 << 30  # bytes of vectors that may stay on the device
_ITERATIONS = 100
ENOUGH = 20_000  # examples to choose a view and a loss on


@dataclass(frozen=True)
class View:
    """One way to look at the examples.

    Attributes:
        row: Which of the kept vectors of an example.
        pooling: How that was made of the tokens.
        unit: Whether it is brought to length 1; else each dimension is standardised.
    """

    row: int = 0
    pooling: str = "auto"
    unit: bool = False

    @property
    def words(self) -> str:
        """What it is, in words."""
        return f"{self.pooling} pooling, {'length 1' if self.unit else 'standardised'}"


@dataclass(frozen=True)
class Probe:
    """A fitted head, for vectors as they come: scaling and temperature are folded into it.

    Attributes:
        weight: float32 [classes, width].
        bias: float32 [classes].
        view: What it looks at.
        loss: "squared hinge" or "logistic".
        balanced: Whether classes weigh the same in the fit, whatever their size.
        chosen: The penalty with the best validation.
        validation: `validation_loss`, `accuracy` and `macro_f1`.
        train_loss: Cross-entropy in nats.
        tried: Penalties of this view, loss and balance, each with its loss on what it was chosen on.
        fits: How many there were, of all kinds.
        crossed: Whether a cross-validation of the training examples chose.
    """

    weight: Tensor
    bias: Tensor
    view: View
    loss: str
    balanced: bool
    chosen: float
    validation: dict[str, float]
    train_loss: float
    tried: dict[float, float]
    fits: int = 1
    crossed: bool = False

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        return f"{self.view.words}, {self.loss}, penalty {self.chosen:g}{', balanced' if self.balanced else ''}"

    def load_into(self, network: Network) -> None:
        """Gives a network these weights; where it normalises vectors they have the length √width."""
        scale = network.head.in_features**0.5 if self.view.unit else 1.0
        with torch.no_grad():
            network.head.weight.copy_(self.weight / scale)
            network.head.bias.copy_(self.bias)

    def to_json(self) -> dict[str, Any]:
        """Returns what the history tells of it."""
        penalties = sorted(self.tried, reverse=True)
        told = {"penalties": penalties, "validation_losses": [self.tried[value] for value in penalties]}
        kept = {name: getattr(self, name) for name in ("chosen", "loss", "balanced", "fits", "words", "crossed")}
        return {**told, **kept, "pooling": self.view.pooling, "unit": self.view.unit}


class Vectors:
    """Pooled vectors with their classes, in chunks on a device; standardised by `center` and `scale` once set."""

    def __init__(
        self, states: States, numbers: np.ndarray, labels: np.ndarray, device: torch.device, view: View | None = None
    ) -> None:
        self.states, self.numbers, self.labels, self.device = states, numbers, labels, device
        self.view = view or View()
        self.center: Tensor | float = 0.0
        self.scale: Tensor | float = 1.0
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def seen(self, view: View, most: int | None = None) -> "Vectors":
        """Returns another view of them, not standardised; of more than `most` examples evenly spaced ones."""
        step = slice(None, None, 1 if most is None else max(1, len(self) // most))
        return Vectors(self.states, self.numbers[step], self.labels[step], self.device, view)

    def some(self, chosen: np.ndarray) -> "Vectors":
        """Returns some of them, seen likewise, not standardised."""
        return Vectors(self.states, self.numbers[chosen], self.labels[chosen], self.device, self.view)

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields vectors, float32 [chunk, width], and classes, int64 [chunk]; few enough of them stay on the device."""
        if self._kept is None and len(self) * self.states.inner[0] * 4 <= _KEPT:
            self._kept = list(self._read())
        yield from self._read() if self._kept is None else self._kept

    def standardise(self, center: Tensor, scale: Tensor) -> None:
        """Sets what is subtracted, and what is divided by."""
        self.center, self.scale, self._kept = center, scale, None

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), _CHUNK):
            chosen = slice(start, start + _CHUNK)
            vectors = self.states.read(self.numbers[chosen])[:, self.view.row].float().to(self.device)
            if self.view.unit:
                vectors = nn.functional.normalize(vectors)
            labels = torch.from_numpy(self.labels[chosen].astype(np.int64)).to(self.device)
            yield (vectors - self.center) / self.scale, labels


def begun(train: Vectors, others: Vectors, classes: int) -> tuple[Tensor, Tensor, float]:
    """Standardises both as the first ones are; returns a layer of zeros, and the mean squared length of the vectors."""
    center, scale, length = _moments(train)
    train.standardise(center, scale)
    others.standardise(center, scale)
    weight = torch.zeros(classes, len(center), device=train.device, requires_grad=True)
    return weight, torch.zeros(classes, device=train.device, requires_grad=True), length


def fit_path(
    train: Vectors,
    validation: Vectors,
    classes: int,
    loss: str,
    balanced: bool,
    penalties: Sequence[float],
    selection: str,
    all_of_them: bool = False,
) -> Probe:
    """Fits from the strongest penalty to weaker ones, each from where the last one ended, while validation gains.

    Args:
        train: What it is fitted on; will be standardised as its view says.
        validation: What the penalty is chosen on.
        classes: How many there are.
        loss: "squared hinge" or "logistic".
        balanced: Whether classes weigh the same.
        penalties: That are tried, strongest first.
        selection: What is chosen by.
        all_of_them: Whether it goes on where validation does not gain: near the best one it may gain again.
    """
    weight, bias, length = begun(train, validation, classes)
    weights = class_weights(train, classes, balanced)
    best: Probe | None = None
    tried: dict[float, float] = {}
    for penalty in penalties:
        minimize(weight, bias, train, penalty * length, loss, weights)
        found = _calibrated(weight, bias, train, validation, loss, balanced, penalty)
        tried[penalty] = found.validation["validation_loss"]
        if best is None or rank(found.validation, selection) > rank(best.validation, selection):
            best = found
        elif not all_of_them:
            break
    assert best is not None, "a penalty is tried"
    return dataclasses.replace(best, tried=tried)


def _calibrated(
    weight: Tensor, bias: Tensor, train: Vectors, validation: Vectors, loss: str, balanced: bool, penalty: float
) -> Probe:
    """Returns the head for vectors as they come, its margins made probabilities by a temperature from validation."""
    margins = margins_of(weight, bias, validation)
    temperature = temperature_of(margins, validation.labels)
    scores = scores_of(softmax(margins / temperature), validation.labels)
    known = margins_of(weight, bias, train) / temperature
    train_loss = scores_of(softmax(known), train.labels)["validation_loss"]
    folded = weight.detach() / train.scale / temperature
    offset = bias.detach() / temperature - folded @ torch.as_tensor(train.center, device=folded.device)
    return Probe(folded, offset, train.view, loss, balanced, penalty, scores, train_loss, {})


def _moments(vectors: Vectors) -> tuple[Tensor, Tensor, float]:
    """Returns mean and scale of each dimension, and the mean squared length of what that makes of the vectors.

    The scale is the standard deviation, 1 where it never varies; 1 everywhere for vectors of length 1.

    Raises:
        InputError: A vector is no number.
    """
    total = sum((chunk.double().sum(0) for chunk, _ in vectors.chunks()), torch.zeros((), device=vectors.device))
    mean = total / len(vectors)
    if not bool(torch.isfinite(mean).all()):
        raise InputError(
            "What the frozen backbone makes of the examples is not a number: its weights are damaged, or overflow. "
            "Fetch the backbone again, or compute in float32 (training.precision)."
        )
    squares = sum(((chunk.double() - mean).square().sum(0) for chunk, _ in vectors.chunks()), torch.zeros_like(mean))
    deviation = (squares / len(vectors)).sqrt()
    varies = deviation > 1e-6
    if vectors.view.unit:
        return mean.float(), torch.ones_like(mean).float(), max(float(deviation.square().sum()), 1e-6)
    return mean.float(), torch.where(varies, deviation, torch.ones_like(deviation)).float(), max(1, int(varies.sum()))


def class_weights(vectors: Vectors, classes: int, balanced: bool) -> Tensor:
    """Returns what an example of each class weighs, float32 [classes]: 1, or the same for each class as a whole."""
    counts = np.bincount(vectors.labels, minlength=classes)
    weights = len(vectors) / (max(1, int((counts > 0).sum())) * np.maximum(counts, 1)) if balanced else np.ones(classes)
    return torch.from_numpy(weights.astype(np.float32)).to(vectors.device)


def minimize(weight: Tensor, bias: Tensor, vectors: Vectors, penalty: float, loss: str, weights: Tensor) -> None:
    """Minimises the mean loss + penalty / 2 · |weight|²."""
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=10,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        weight.grad, bias.grad = penalty * weight, torch.zeros_like(bias)
        objective = penalty / 2 * weight.square().sum()
        for chunk, labels in vectors.chunks():
            each, slopes = _losses(chunk @ weight.T + bias, labels, loss)
            share = weights[labels] / len(vectors)
            slopes *= share[:, None]
            objective += (each * share).sum()
            weight.grad += slopes.T @ chunk
            bias.grad += slopes.sum(0)
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _losses(margins: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Returns the loss of each example, and its slope by the margins; the squared hinge is that of one against all."""
    there = nn.functional.one_hot(labels, margins.shape[1]).to(margins.dtype)
    if loss == LOGISTIC:
        logs = margins.log_softmax(1)
        return -(logs * there).sum(1), logs.exp() - there
    signs = 2.0 * there - 1.0
    short = (1 - signs * margins).clamp(min=0)
    return short.square().sum(1), -2.0 * signs * short


@torch.no_grad()
def margins_of(weight: Tensor, bias: Tensor, vectors: Vectors) -> np.ndarray:
    """Returns what a layer makes of vectors, [examples, classes]."""
    parts = [chunk @ weight.T + bias for chunk, _ in vectors.chunks()]
    found: np.ndarray = torch.cat([bias[None][:0], *parts]).cpu().numpy()
    return found
