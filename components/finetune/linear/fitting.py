"""A head fitted on what the frozen backbone makes of the examples, whatever its loss: numbers, several labels, tags.

The layer that a head calls `linear` is a convex problem under the head's own loss: L-BFGS, on standardised vectors,
from strong penalties to weak ones while validation gains; what is standardised is folded into the weights. A head
without such a layer is trained by gradient steps. Of the tokens of texts each is a vector of its own.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.learning.cache import States
from components.finetune.learning.examples import Batch, Examples
from components.finetune.linear.probe import DENSE, ENOUGH, PENALTIES, View
from components.shared.backbones.head import Encoded, Head
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.selection import rank
from components.shared.tasks.objective import Objective

_CHUNK = 4096  # examples at once
_KEPT = 2 << 30  # bytes of vectors that may stay on the device
_ITERATIONS = 200
_A_MINUTE, _TOKENS, _LEAST, _FEW_ITERATIONS = 20_000, 100_000, 5_000, 60  # of tokens
_EPOCHS, _RATE, _BATCH = 20, 1e-3, 256  # of gradient steps, where a head has no linear layer


@dataclass(frozen=True)
class HeadFit:
    """A fitted head, for vectors as they come.

    Attributes:
        weights: Of the head, by name.
        view: What it looks at.
        chosen: The penalty with the best validation; 0 where it was trained by gradient steps.
        validation: `validation_loss` and the metrics.
        train_loss: The head's loss on training examples.
        tried: Penalties of this view, each with its validation loss.
        fits: How many there were, of all kinds.
    """

    weights: dict[str, Tensor]
    view: View
    chosen: float
    validation: dict[str, float]
    train_loss: float
    tried: dict[float, float]
    fits: int = 1

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        how = f"penalty {self.chosen:g}" if self.chosen else "gradient steps" if self.weights else "no weights"
        return f"{self.view.words}, the task's own loss, {how}"

    def load_into(self, network: Network) -> None:
        """Gives a network these weights; where it normalises vectors they have the length √width."""
        network.head.load_state_dict(self.weights)
        layer = network.head.linear()
        if self.view.unit and layer is not None:
            with torch.no_grad():
                layer.weight.div_(layer.in_features**0.5)

    def to_json(self) -> dict[str, Any]:
        """Returns what the history tells of it."""
        penalties = sorted(self.tried, reverse=True)
        told = {"penalties": penalties, "validation_losses": [self.tried[value] for value in penalties]}
        kept = {name: getattr(self, name) for name in ("chosen", "fits", "words")}
        return {**told, **kept, "loss": "own", "balanced": False, "pooling": self.view.pooling, "unit": self.view.unit}


@dataclass(frozen=True)
class Effort:
    """How much a fit may take, told by numbers and not by a clock, so that the next time it is the same.

    Attributes:
        rows: What a view and a penalty are chosen on.
        last: What the last fit takes; None: all.
        iterations: Of each fit.
        dense: Whether penalties between those of the path are tried in the end.
    """

    rows: int = ENOUGH
    last: int | None = None
    iterations: int = _ITERATIONS
    dense: bool = True


def effort_of(head: Head, minutes: float) -> Effort:
    """Returns how much the fit of a head may take: of tokens, of which there are many, as many as the time allows.

    Args:
        head: Of the task.
        minutes: That the whole search may take; 0: nobody said.
    """
    if head.level != "tokens":
        return Effort()
    last = int(_A_MINUTE * minutes) if minutes else _TOKENS
    return Effort(max(_LEAST, min(ENOUGH, last)), max(_LEAST, last), _FEW_ITERATIONS, dense=False)


class Vectors:
    """What enters the head: a vector an example, or one a token, with their targets, in chunks on a device."""

    def __init__(
        self,
        states: States,
        examples: Examples,
        head: Head,
        view: View,
        most: int | None = None,
        learned: bool = False,
    ) -> None:
        """Prepares them.

        Args:
            states: What the frozen backbone makes of the split.
            examples: Of it.
            head: Which they enter.
            view: What it looks at.
            most: How many are taken at most, about; None: all.
            learned: Whether they are learned from: then tokens are left out that the loss has nothing of.
        """
        self.states, self.examples, self.head, self.view, self.learned = states, examples, head, view, learned
        rows = int(states.lengths[examples.numbers].sum()) if head.level == "tokens" else len(examples)
        self.step = 1 if most is None or head.apart > 1 else max(1, rows // most)
        self.center: Tensor | float = 0.0
        self.scale: Tensor | float = 1.0
        self._kept: list[tuple[Tensor, Batch]] | None = None

    @property
    def indices(self) -> np.ndarray:
        """Which of the examples are looked at: evenly spaced ones."""
        return np.arange(len(self.examples))[:: self.step]

    def chunks(self) -> Iterator[tuple[Tensor, Batch]]:
        """Yields vectors, float32 [rows, width], and their targets; few enough of them stay on the device."""
        rows = int(self.states.lengths[self.examples.numbers[self.indices]].sum())
        if self._kept is None and rows * self.states.inner[0] * 4 <= _KEPT:
            self._kept = list(self._read())
        yield from self._read() if self._kept is None else self._kept

    def standardise(self, center: Tensor, scale: Tensor) -> None:
        """Sets what is subtracted, and what is divided by."""
        self.center, self.scale, self._kept = center, scale, None

    def _read(self) -> Iterator[tuple[Tensor, Batch]]:
        indices, device = self.indices, self.examples.device
        for start in range(0, len(indices), _CHUNK):
            chosen = indices[start : start + _CHUNK]
            numbers = self.examples.numbers[chosen]
            vectors, targets = self.states.read(numbers).to(device), self.examples.targets(chosen)
            if self.head.level == "tokens":
                lengths = torch.from_numpy(self.states.lengths[numbers]).to(device)
                there = torch.arange(vectors.shape[1], device=device) < lengths[:, None]
                if self.learned and (asked := self.head.asked(targets)) is not None:
                    there &= asked
                vectors, targets = vectors[there], {name: target[there] for name, target in targets.items()}
            else:
                vectors = vectors[:, self.view.row]
            vectors = nn.functional.normalize(vectors.float()) if self.view.unit else vectors.float()
            yield (vectors - self.center) / self.scale, targets


Look = Callable[[str, View, int | None], Vectors]
"""Takes a split ("train", "validation"), a view, and the most examples (None: all)."""


def fit_head(
    head: Head,
    objective: Objective,
    look: Look,
    views: Sequence[View],
    selection: str,
    tell: Callable[[str], None],
    like: HeadFit | None = None,
    effort: Effort = Effort(),
) -> HeadFit:
    """Fits a head: the view first, on an even part of many examples, then the penalty on a dense grid.

    Args:
        head: A new one; it is not changed.
        objective: How well it does.
        look: Gives the vectors of a split.
        views: Those that are tried.
        selection: What is chosen by.
        tell: Is told the outcome.
        like: Another one, whose view and penalty are taken: nothing is chosen.
        effort: How much it may take.

    Raises:
        InputError: A vector is no number.
    """
    fits, part = 0, ""

    def path(view: View, penalties: Sequence[float], most: int | None) -> HeadFit:
        nonlocal fits, part
        train, held = look("train", view, most), look("validation", view, None)
        if head.linear() is None:
            found = _descend(head, objective, train, held, selection)
        else:
            found = _path(head, objective, train, held, penalties, selection, effort.iterations)
        fits, part = fits + len(found.tried), f" on every {_ordinal(train.step)} row" if train.step > 1 else ""
        return found

    if like is not None:
        return path(like.view, [like.chosen], effort.last)
    best = max([path(view, PENALTIES, effort.rows) for view in views], key=lambda fit: rank(fit.validation, selection))
    grid = (
        [best.chosen, *(factor * best.chosen for factor in (DENSE if effort.dense else ()))] if best.chosen else [0.0]
    )
    dense = [path(best.view, [value], effort.last) for value in grid]
    tried = {**best.tried, **{value: loss for fit in dense for value, loss in fit.tried.items()}}
    best = dataclasses.replace(max(dense, key=lambda fit: rank(fit.validation, selection)), tried=tried, fits=fits)
    loss = best.validation["validation_loss"]
    tell(f"probe, {best.words}: validation loss {loss:.4f}, best of {fits} fits, the last{part or ' on all'}")
    return best


def _path(
    head: Head,
    objective: Objective,
    train: Vectors,
    validation: Vectors,
    penalties: Sequence[float],
    selection: str,
    iterations: int,
) -> HeadFit:
    """Fits from the strongest penalty to weaker ones, each from where the last one ended, while validation gains."""
    center, scale, length = _moments(train)
    train.standardise(center, scale)
    validation.standardise(center, scale)
    fitted = copy.deepcopy(head).eval().to(center.device)
    layer = fitted.linear()
    assert layer is not None, "it has one"
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    best: HeadFit | None = None
    tried: dict[float, float] = {}
    for penalty in penalties:
        _minimise(fitted, layer, train, penalty * length, iterations)
        scores = objective.scores(_outputs(fitted, validation), validation.examples.target_columns())
        tried[penalty] = scores["validation_loss"]
        if best is not None and rank(scores, selection) <= rank(best.validation, selection):
            break
        weights, loss = _folded(fitted, layer, center, scale), _loss_of(fitted, train)
        best = HeadFit(weights, train.view, penalty, scores, loss, {})
    assert best is not None, "a penalty is tried"
    return dataclasses.replace(best, tried=tried)


def _ordinal(number: int) -> str:
    """Returns "2nd", "3rd", "14th"."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _minimise(head: Head, layer: nn.Linear, train: Vectors, penalty: float, iterations: int) -> None:
    """Minimises the mean loss + penalty / 2 · |weight|²."""
    optimizer = torch.optim.LBFGS(
        [layer.weight, layer.bias],
        max_iter=iterations,
        history_size=10,
        tolerance_grad=1e-5,
        tolerance_change=1e-8,
        line_search_fn="strong_wolfe",
    )
    count = sum(float(_loss(head, *chunk)[1]) for chunk in train.chunks())

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = penalty / 2 * layer.weight.square().sum()
        objective.backward()  # type: ignore[no-untyped-call]
        found = objective.detach()
        for chunk in train.chunks():
            loss = _loss(head, *chunk)[0] / max(count, 1.0)
            loss.backward()  # type: ignore[no-untyped-call]
            found = found + loss.detach()
        return found

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _descend(head: Head, objective: Objective, train: Vectors, validation: Vectors, selection: str) -> HeadFit:
    """Trains a head without a linear layer by gradient steps; keeps the best epoch."""
    fitted = copy.deepcopy(head).to(train.examples.device)
    if not any(True for _ in fitted.parameters()):  # the vectors are the answer
        scores = objective.scores(_outputs(fitted, validation), validation.examples.target_columns())
        return HeadFit({}, train.view, 0.0, scores, _loss_of(fitted, train), {0.0: scores["validation_loss"]})
    optimizer = torch.optim.AdamW(fitted.parameters(), lr=_RATE)
    best: HeadFit | None = None
    draw = torch.Generator().manual_seed(0)
    for _epoch in range(_EPOCHS):
        fitted.train()
        for vectors, targets in train.chunks():
            for chosen in torch.split(torch.randperm(len(vectors), generator=draw).to(vectors.device), _BATCH):
                total, count = _loss(fitted, vectors[chosen], {name: some[chosen] for name, some in targets.items()})
                optimizer.zero_grad()
                (total / count.clamp(min=1)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        fitted.eval()
        scores = objective.scores(_outputs(fitted, validation), validation.examples.target_columns())
        if best is None or rank(scores, selection) > rank(best.validation, selection):
            weights = {name: value.detach().clone() for name, value in fitted.state_dict().items()}
            best = HeadFit(weights, train.view, 0.0, scores, _loss_of(fitted, train), {0.0: scores["validation_loss"]})
    assert best is not None, "there are epochs"
    return best


def _loss(head: Head, vectors: Tensor, targets: Batch) -> tuple[Tensor, Tensor]:
    return head.loss(head(Encoded(**{head.level: vectors})), targets)


@torch.no_grad()
def _loss_of(head: Head, vectors: Vectors) -> float:
    parts = [_loss(head, *chunk) for chunk in vectors.chunks()]
    return float(sum(float(total) for total, _ in parts) / max(1.0, sum(float(count) for _, count in parts)))


@torch.no_grad()
def _outputs(head: Head, vectors: Vectors) -> dict[str, np.ndarray]:
    """Returns what a head makes of all rows, one after the other."""
    parts = [head(Encoded(**{head.level: chunk})) for chunk, _ in vectors.chunks()]
    if not parts:
        return {"logits": np.zeros((0, getattr(head.linear(), "out_features", 0)), np.float32)}
    return {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}


def _folded(head: Head, layer: nn.Linear, center: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """Returns the weights of a head for vectors as they come."""
    with torch.no_grad():
        weight = layer.weight / scale
        bias = layer.bias - weight @ center
        kept = layer.weight.clone(), layer.bias.clone()
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        found = {name: value.detach().clone() for name, value in head.state_dict().items()}
        layer.weight.copy_(kept[0])
        layer.bias.copy_(kept[1])
    return found


def _moments(vectors: Vectors) -> tuple[Tensor, Tensor, float]:
    """Returns mean and scale of each dimension, and the mean squared length of what that makes of the vectors.

    Raises:
        InputError: A vector is no number.
    """
    zero = torch.zeros(vectors.states.inner[0], dtype=torch.float64, device=vectors.examples.device)
    count = max(1, sum(len(chunk) for chunk, _ in vectors.chunks()))
    mean = sum((chunk.double().sum(0) for chunk, _ in vectors.chunks()), zero) / count
    if not bool(torch.isfinite(mean).all()):
        raise InputError(
            "What the frozen backbone makes of the examples is not a number: its weights are damaged, or overflow. "
            "Fetch the backbone again, or compute in float32 (training.precision)."
        )
    squares = sum(((chunk.double() - mean).square().sum(0) for chunk, _ in vectors.chunks()), zero)
    deviation = (squares / count).sqrt()
    if vectors.view.unit:
        return mean.float(), torch.ones_like(mean).float(), max(float(deviation.square().sum()), 1e-6)
    varies = deviation > 1e-6
    return mean.float(), torch.where(varies, deviation, torch.ones_like(deviation)).float(), max(1, int(varies.sum()))
