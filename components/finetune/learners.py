"""How examples are led through a network: as they are, or from where its frozen part was computed before."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from components.finetune import parallel
from components.finetune.anatomy import Anatomy, Prefix
from components.finetune.cache import States
from components.finetune.examples import Examples
from components.shared import metrics
from components.shared.backbones.network import Network

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes the context that a forward pass runs in."""


class Learner(Protocol):
    """Leads examples through a network: as they are, or from where its frozen part was computed before."""

    @property
    def examples(self) -> Examples:
        """Which they are."""

    def logits(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns logits [batch, classes] and targets: int64 [batch], or float [batch, classes]."""


@dataclass(frozen=True)
class Direct:
    """Leads examples through the whole network."""

    examples: Examples

    def logits(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns logits and targets, both of augmented examples where the network is in training."""
        batch, targets = self.examples.batch(indices), self.examples.targets(indices)
        if self.examples.augment and network.training:
            batch, targets = self.examples.augment(batch, targets, draw)
        return network(**batch), targets


@dataclass(frozen=True)
class Resumed:
    """Leads examples through the upper part of a network, from states that were computed once."""

    examples: Examples
    anatomy: Anatomy
    stage: int
    states: States

    def logits(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns logits and targets."""
        states = self.states.read(self.examples.numbers[indices]).to(self.examples.device)
        with Prefix(network, self.anatomy).resumed(self.stage, states):
            return network(**self.examples.batch(indices)), self.examples.targets(indices)


@dataclass(frozen=True)
class Pooled:
    """Leads examples through the head alone, from the vectors that the frozen backbone made of them."""

    examples: Examples
    states: States
    row: int = 0  # of the vectors that were kept of an example

    def logits(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns logits and targets."""
        vectors = self.states.read(self.examples.numbers[indices])[:, self.row].to(self.examples.device)
        return network.classify(vectors, **self.examples.wide_batch(indices)), self.examples.targets(indices)


def predict(network: Network, learner: Learner, batch_size: int, autocast: Autocast) -> np.ndarray:
    """Returns probabilities [examples, classes], float32."""
    logits = torch.from_numpy(logits_of(network, learner, batch_size, autocast))
    probabilities: np.ndarray = logits.softmax(-1).numpy()
    return probabilities


def logits_of(network: Network, learner: Learner, batch_size: int, autocast: Autocast) -> np.ndarray:
    """Returns logits [examples, classes], float32; the longest examples first, in batches of like length."""
    network.eval()
    group = parallel.group()
    order = group.share(np.argsort(-learner.examples.lengths, kind="stable"))
    found = np.zeros((len(learner.examples), network.head.out_features), np.float32)
    draw = np.random.default_rng(0)  # not used: nothing is augmented in evaluation
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            with autocast():
                logits, _ = learner.logits(network, chosen, draw)
            found[chosen] = logits.float().cpu().numpy()
    if group.size > 1:
        found = group.total(torch.from_numpy(found).to(learner.examples.device)).cpu().numpy()
    return found


def scores_of(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns validation_loss, accuracy and macro_f1 of probabilities [examples, classes]."""
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
    return {
        "validation_loss": metrics.log_loss(probabilities, labels),
        "accuracy": metrics.accuracy(confusion),
        "macro_f1": metrics.macro_f1(confusion),
    }
