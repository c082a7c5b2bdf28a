"""A head fitted by gradient steps on what the frozen backbone makes of the examples, whose rows it takes whole.

For heads that look at all tokens of a row at once (a question and its context): no layer of them is a problem of its
own. It costs little beside the one pass of the backbone, and training of every weight begins well from there (Kumar et
al. 2022, 2202.10054).
"""

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from components.finetune.learning.batches import epoch_batches, steps_of
from components.finetune.learning.cache import States
from components.finetune.learning.examples import Batch, Examples
from components.finetune.learning.schedule import Rates, linear
from components.finetune.linear.fitting import HeadFit
from components.finetune.linear.probe import View
from components.shared.backbones.head import Encoded, Head
from components.shared.backbones.segments import SEGMENTS
from components.shared.selection import rank
from components.shared.tasks.objective import Objective

_RATE, _BATCH, _WARMUP, _NORM = 3e-3, 16, 0.1, 1.0
_EPOCHS, _STEPS = (6, 30), 300  # the fewest and the most; that there are at least
_TOKENS = 1_000_000  # of training: more tell a head of so few weights nothing new
_TOGETHER = 64  # rows that are looked at, at once


class StepsFit(HeadFit):
    """A head that was fitted by steps."""

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        return "the task's own loss, gradient steps over whole rows"


@dataclass(frozen=True)
class Rows:
    """What enters the head: the vectors of all tokens of a row, with their targets.

    Attributes:
        states: Of a split, by its rows.
        examples: Those rows that are looked at.
    """

    states: States
    examples: Examples

    def some(self) -> "Rows":
        """Returns evenly spaced ones, so many that they have a million tokens."""
        step = max(1, math.ceil(int(self.examples.lengths.sum()) / _TOKENS))
        return Rows(self.states, dataclasses.replace(self.examples, numbers=self.examples.numbers[::step]))

    def read(self, indices: np.ndarray) -> tuple[Encoded, Batch]:
        """Returns what the head takes of some rows, and their targets."""
        numbers, device = self.examples.numbers[indices], self.examples.device
        tokens = self.states.read(numbers).to(device).float()
        there = np.arange(tokens.shape[1]) < self.states.lengths[numbers][:, None]
        segments = self.examples.batch(indices).get(SEGMENTS)
        encoded = Encoded(tokens=tokens, mask=torch.from_numpy(there).to(device), segments=segments)
        return encoded, self.examples.targets(indices)


def fit_by_steps(
    head: Head,
    objective: Objective,
    train: Rows,
    validation: Rows,
    selection: str,
    tell: Callable[[str], None],
    seed: int,
) -> StepsFit:
    """Trains a head; keeps the epoch that does best on validation.

    Args:
        head: A new one; it is not changed.
        objective: How well it does.
        train: What it learns from.
        validation: What the epoch is chosen on.
        selection: The metric that it is chosen by.
        tell: Is told the outcome.
        seed: Of the order of the rows.
    """
    few = train.some()
    steps = steps_of(len(few.examples), _BATCH)
    epochs = min(_EPOCHS[1], max(_EPOCHS[0], math.ceil(_STEPS / steps)))
    fitted = copy.deepcopy(head).to(few.examples.device)
    optimizer = torch.optim.AdamW(fitted.parameters(), lr=_RATE)
    rates, done = Rates(optimizer, linear(_WARMUP, epochs * steps)), itertools.count()
    found: list[StepsFit] = []
    for epoch in range(epochs):
        losses = []
        fitted.train()
        for indices in epoch_batches(few.examples.lengths, _BATCH, seed, epoch):
            encoded, targets = few.read(indices)
            total, count = fitted.loss(fitted(encoded), targets)
            optimizer.zero_grad()
            (total / count.clamp(min=1)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(fitted.parameters(), _NORM)
            rates.set(next(done))
            optimizer.step()
            losses.append(float(total.detach() / count.clamp(min=1)))
        scores = objective.scores(_outputs(fitted.eval(), validation), validation.examples.target_columns())
        weights = {name: value.detach().clone() for name, value in fitted.state_dict().items()}
        view, tried = View(0, "tokens", unit=False), {0.0: scores["validation_loss"]}
        found.append(StepsFit(weights, view, 0.0, scores, float(np.mean(losses)), tried, epochs))
    best = max(found, key=lambda fit: rank(fit.validation, selection))
    tell(
        f"probe, {best.words}: validation loss {best.validation['validation_loss']:.4f}, best of {epochs} epochs over "
        f"{len(few.examples):,} rows"
    )
    return best


@torch.no_grad()
def _outputs(head: Head, rows: Rows) -> dict[str, np.ndarray]:
    """Returns what a head makes of the tokens of all rows, one row after the other."""
    parts: dict[str, list[np.ndarray]] = {}
    lengths = rows.states.lengths[rows.examples.numbers]
    for start in range(0, len(lengths), _TOGETHER):
        indices = np.arange(start, min(start + _TOGETHER, len(lengths)))
        for name, values in head(rows.read(indices)[0]).items():
            kept = zip(values.float().cpu().numpy(), lengths[indices].tolist(), strict=True)
            parts.setdefault(name, []).extend(row[:length] for row, length in kept)
    if not parts:
        return {"logits": np.zeros((0, getattr(head, "out_features", 0)), np.float32)}
    return {name: np.concatenate(values) for name, values in parts.items()}
