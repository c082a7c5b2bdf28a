"""How long a search may take, and what training fits into what is left of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from components.finetune.learning import parallel
from components.finetune.learning.examples import Examples
from components.shared.backbones.network import Network

_CPU = {"float32": 6e10, "bfloat16": 1.2e11}  # operations a second that a thread gets done: an order of magnitude
_GPU = 5e13
_STEP = 0.02  # seconds that a step costs at least
_LEAST, _MOST = 1.0, 20.0  # minutes
_TRAINING = 4.0  # a step of training costs so many forward passes
_LENIENCE = 1.25  # a search that takes this much longer than it may is ended where it is
_LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)  # epochs


class Budget:
    """The time of a search, and how much of it is gone."""

    def __init__(
        self, minutes: float, clock: Callable[[], float] = time.perf_counter, began: float | None = None
    ) -> None:
        """Begins.

        Args:
            minutes: Of the search.
            clock: Tells seconds.
            began: What it told when the search began, in an earlier attempt; None: it begins now.
        """
        self.minutes, self._clock, self._began = minutes, clock, clock() if began is None else began

    @property
    def left(self) -> float:
        """Seconds that are left; all processes that train together are told the same."""
        return parallel.group().agree(60 * self.minutes - (self._clock() - self._began))

    @property
    def whole(self) -> float:
        """Seconds that there were in the beginning."""
        return 60 * self.minutes

    @property
    def is_spent(self) -> bool:
        """Whether so much more than the budget is gone that what runs is ended."""
        return self.left < -60 * self.minutes * (_LENIENCE - 1)


def minutes_for(
    network: Network, train: Examples, validation: Examples, epochs: int, batch_size: int, precision: str
) -> float:
    """Returns how long a search may take: for two whole trainings, from 1 to 20 minutes.

    It is told by the network's operations and what such a device does in a second, not measured: so it is the same the
    next time.

    Args:
        network: On its device.
        train: What it is trained on.
        validation: What candidates are judged by.
        epochs: Of a training.
        batch_size: Examples a step.
        precision: What is computed in.
    """
    places = np.linspace(0, len(train) - 1, min(8, len(train))).astype(int)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(**train.batch(places))
    threads = torch.get_num_threads()
    speed = _GPU * parallel.group().size if train.device.type == "cuda" else _CPU[precision] * threads
    forward = counter.get_total_flops() / len(places) / speed
    examples, steps = len(train) + len(validation), epochs * len(train) / batch_size
    training = epochs * (_TRAINING * len(train) + len(validation)) * forward + _STEP * steps
    return float(min(_MOST, max(_LEAST, math.ceil((examples * forward + 2 * training) / 60))))


@dataclass(frozen=True)
class Plan:
    """What training the time allows.

    Attributes:
        epochs: How many.
        races: Whether several learning rates are compared first.
        whole: Whether all blocks learn; else the last third of them.
    """

    epochs: int
    races: bool
    whole: bool

    @property
    def words(self) -> str:
        """The plan, in words."""
        rates = "three learning rates compared first" if self.races else "one learning rate"
        return f"{self.epochs} epochs, {rates}{'' if self.whole else ', the last third of the blocks'}"


def plan_for(epoch: float, left: float, wanted: int, race: float, part: float) -> Plan | None:
    """Returns what training fits into the time that is left; None where not one epoch does.

    Args:
        epoch: Seconds of an epoch with its validation, all blocks learning.
        left: Seconds that are left.
        wanted: Epochs of a whole training.
        race: What comparing learning rates costs beside the training, as a part of it.
        part: What an epoch of the last blocks alone costs, as a part of a whole one's.
    """
    affordable = left / max(epoch, 1e-9)
    if affordable >= (1 + race) * min(wanted, 2):
        epochs = min(wanted, _below(affordable / (1 + race)))
        return Plan(epochs, epochs * (1 + race) <= affordable, True)
    if affordable >= 1:
        return Plan(min(wanted, _below(affordable)), False, True)
    if affordable / part >= 1:
        return Plan(min(wanted, _below(affordable / part)), False, False)
    return None


def _below(epochs: float) -> int:
    """Returns the largest number of a coarse ladder: so that a little more or less time changes nothing."""
    return max(step for step in _LADDER if step <= max(1.0, epochs))


def rounded(seconds: float) -> float:
    """Returns a measured time as a power of 2, rounded up: the next time it will be much the same."""
    return float(2.0 ** math.ceil(math.log2(max(seconds, 1e-6))))
