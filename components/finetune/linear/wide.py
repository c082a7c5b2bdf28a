"""A network's branch for words, or for gradients: the head that goes with it, what each side carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning.examples import Examples
from components.finetune.linear.classical import ClassicalFit
from components.finetune.linear.fitters import carried, carried_answers
from components.finetune.linear.joint import JointFit
from components.finetune.linear.lexical import top_words
from components.finetune.linear.tokens import of_words
from components.finetune.settings import NOUNS
from components.shared.backbones.network import WIDE_IDS, WIDE_WEIGHTS, Network
from components.shared.columns import Columns
from components.shared.lexical.tokens import TokenTerms
from components.shared.lexical.vectorizer import Vectorizer
from components.shared.tasks.objective import Objective, Targets

_LOOKED_AT = 1_000  # validation examples, for how much each side carries
_AT_ONCE = 32


@dataclass(frozen=True)
class JointHead:
    """What a joint fit gives a network: a head for normalised vectors, and a branch."""

    maker: Columns
    fit: JointFit

    def load_into(self, network: Network) -> None:
        """Gives a network these weights."""
        network.normalized = True
        network.widen(self.maker, torch.from_numpy(np.ascontiguousarray(self.fit.wide.T)))
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(self.fit.weight / network.head.in_features**0.5))
            network.head.bias.copy_(torch.from_numpy(self.fit.bias))


def note_of(
    network: Network, validation: Examples, labels: Sequence[str], fit: ClassicalFit, objective: Objective
) -> dict[str, Any]:
    """Returns what people want to know of a network with a branch, see `carriers`."""
    assert network.wide is not None and network.beside is not None, "it has a branch"  # noqa: PT018
    parts = _parts(network, validation, NOUNS[network.beside.kind])
    bias, first = network.head.bias.detach().cpu().numpy(), np.arange(min(len(validation), _LOOKED_AT))
    wide, exclusive = network.wide.weight.detach().cpu().numpy().T, network.head.exclusive
    if exclusive:
        sides = carried(parts, bias, validation.labels[first])
    else:
        targets: Targets = validation.target_columns(first)
        if network.head.worded:  # no more is answered for than these tokens
            asked = np.concatenate([np.asarray(row) >= 0 for row in targets["starts"]])
            parts, targets = {name: part[asked] for name, part in parts.items()}, of_words(targets)
        sides = carried_answers(parts, bias, lambda logits: objective.scores({"logits": logits}, targets))
    return carriers(network.beside, wide, labels, fit, sides, exclusive)


def carriers(
    maker: Columns,
    wide: np.ndarray,
    labels: Sequence[str],
    fit: ClassicalFit,
    sides: Mapping[str, Mapping[str, float]],
    exclusive: bool = True,
) -> dict[str, Any]:
    """Returns the content of `notes/lexical.json`, or of `notes/gradients.json`.

    Args:
        maker: Of the columns.
        wide: Their weights, [outputs, columns].
        labels: The classes, or labels; [] of a number.
        fit: Of the columns alone.
        sides: How much the columns and the backbone carry.
        exclusive: Whether an example has one class of several.
    """
    return {
        "sides": sides,
        **classes_of(maker, wide, labels, exclusive),
        "alone": {**fit.validation, "chosen": fit.words, "seconds": fit.seconds},
        "tried": fit.tried,
        "columns": maker.width,
        "examples": {"fitted": fit.examples, "of": fit.total},
    }


def classes_of(maker: Columns, wide: np.ndarray, labels: Sequence[str], exclusive: bool = True) -> dict[str, Any]:
    """Returns `classes`: the words that carry each class; of gradients there is nothing to be read."""
    return {"classes": top_words(maker, wide, labels, exclusive) if isinstance(maker, Vectorizer | TokenTerms) else {}}


@torch.inference_mode()
def _parts(network: Network, examples: Examples, noun: str) -> dict[str, np.ndarray]:
    """Returns what each side brings to the first examples, or all their tokens, float32 [rows, outputs]; no bias."""
    network.eval()
    found: dict[str, list[Tensor]] = {"backbone": [], noun: []}
    numbers = np.arange(min(len(examples), _LOOKED_AT))
    for start in range(0, len(numbers), _AT_ONCE):
        batch = examples.batch(numbers[start : start + _AT_ONCE])
        ids, weights = batch.pop(WIDE_IDS), batch.pop(WIDE_WEIGHTS)
        sides = network.deep(network.encode(**batch)).float() - network.head.bias, network.aside(ids, weights)
        there = batch["attention_mask"].bool() if network.head.level == "tokens" else slice(None)
        found["backbone"].append(sides[0][there])
        found[noun].append(sides[1][there])
    return {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
