"""A probe: multinomial logistic regression on pooled vectors, by L-BFGS, its penalty chosen on validation examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.cache import States

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_CHUNK = 16384  # examples at once
_KEPT = 2 << 30  # bytes of vectors that may stay on the device
_ITERATIONS = 100
_WORSE = 2  # penalties in a row that do worse end the search


@dataclass(frozen=True)
class Probe:
    """A fitted head, for vectors as they come: the scaling that it was fitted under is folded into it.

    Attributes:
        weight: float32 [classes, width].
        bias: float32 [classes].
        penalties: That were tried, strongest first.
        losses: On validation examples, in nats, for each.
        train_loss: Of the chosen one, in nats, without penalty.
        chosen: The penalty with the lowest.
    """

    weight: Tensor
    bias: Tensor
    penalties: list[float]
    losses: list[float]
    train_loss: float
    chosen: float

    def load_into(self, head: nn.Linear) -> None:
        """Gives a head these weights."""
        with torch.no_grad():
            head.weight.copy_(self.weight)
            head.bias.copy_(self.bias)


class Vectors:
    """Pooled vectors with their classes, in chunks on a device; standardised by `center` and `scale` once set."""

    def __init__(self, states: States, numbers: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self.states, self.numbers, self.labels, self.device = states, numbers, labels, device
        self.center: Tensor | float = 0.0
        self.scale: Tensor | float = 1.0
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

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
            vectors = self.states.read(self.numbers[chosen])[:, 0].float().to(self.device)
            labels = torch.from_numpy(self.labels[chosen].astype(np.int64)).to(self.device)
            yield (vectors - self.center) / self.scale, labels


def fit_probe(train: Vectors, validation: Vectors, classes: int, tell: Callable[[str], None]) -> Probe:
    """Fits a head, from the strongest penalty to weaker ones, each starting where the last one ended.

    Args:
        train: What it is fitted on.
        validation: What the penalty is chosen on.
        classes: How many there are.
        tell: Is told each penalty's outcome.
    """
    center, scale = _moments(train)
    train.standardise(center, scale)
    validation.standardise(center, scale)
    weight = torch.zeros(classes, len(center), device=train.device, requires_grad=True)
    bias = torch.zeros(classes, device=train.device, requires_grad=True)
    losses: list[float] = []
    best: tuple[Tensor, Tensor, float] | None = None
    for penalty in PENALTIES:
        train_loss = _minimize(weight, bias, train, penalty)
        losses.append(_loss(weight, bias, validation))
        tell(f"probe, penalty {penalty:g}: validation loss {losses[-1]:.4f}")
        if best is None or losses[-1] == min(losses):
            best = weight.detach().clone(), bias.detach().clone(), train_loss
        if len(losses) - 1 - int(np.argmin(losses)) >= _WORSE:
            break
    assert best is not None
    folded = best[0] / scale
    chosen = PENALTIES[int(np.argmin(losses))]
    return Probe(folded, best[1] - folded @ center, list(PENALTIES[: len(losses)]), losses, best[2], chosen)


def _moments(vectors: Vectors) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each dimension; 1 where it never varies."""
    total = sum((chunk.double().sum(0) for chunk, _ in vectors.chunks()), torch.zeros((), device=vectors.device))
    mean = total / len(vectors)
    squares = sum(((chunk.double() - mean).square().sum(0) for chunk, _ in vectors.chunks()), torch.zeros_like(mean))
    deviation = (squares / len(vectors)).sqrt()
    return mean.float(), torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)).float()


def _minimize(weight: Tensor, bias: Tensor, vectors: Vectors, penalty: float) -> float:
    """Minimises mean cross-entropy + penalty / 2 · |weight|²; returns the former."""
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_ITERATIONS, history_size=10, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        objective = 0.0
        for chunk, labels in vectors.chunks():
            loss = nn.functional.cross_entropy(chunk @ weight.T + bias, labels, reduction="sum") / len(vectors)
            loss.backward()  # type: ignore[no-untyped-call]
            objective += float(loss.detach())
        ridge = penalty / 2 * weight.square().sum()
        ridge.backward()  # type: ignore[no-untyped-call]
        return objective + float(ridge.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return _loss(weight, bias, vectors)


@torch.no_grad()
def _loss(weight: Tensor, bias: Tensor, vectors: Vectors) -> float:
    total = 0.0
    for chunk, labels in vectors.chunks():
        total += float(nn.functional.cross_entropy(chunk @ weight.T + bias, labels, reduction="sum"))
    return total / len(vectors)
