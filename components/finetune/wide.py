"""A network's branch for words: what it starts from, what it carries when the training is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from components.finetune.examples import Examples
from components.finetune.joint import JointFit, carried
from components.finetune.lexical import LexicalFit, top_words
from components.finetune.settings import LEXICAL, FinetuneSettings, strategies_of
from components.finetune.words import WordColumns, Words, read_words
from components.shared import tasks
from components.shared.artifact import Artifact, open_artifact
from components.shared.backbones.network import WIDE_IDS, WIDE_WEIGHTS, Network
from components.shared.errors import InputError
from components.shared.lexical.vectorizer import Vectorizer
from components.shared.snapshot import SPLITS

NOTE = "notes/lexical.json"
_LOOKED_AT = 1_000  # validation examples, for how much each side carries
_AT_ONCE = 32


@dataclass(frozen=True)
class RawTexts:
    """The texts that the features were made from.

    Attributes:
        snapshot: Where they are, in the features' order.
        labels: The classes, in the features' order.
        seed: Of a sample, where there are more than fit into memory.
        scratch: A folder for columns, which can be made.
        whole: Whether the examples of all splits, one after the other, are training examples, and none validation.
    """

    snapshot: Artifact
    labels: list[str]
    seed: int
    scratch: Path
    whole: bool = False

    def words(self, numbers: np.ndarray) -> Words:
        """Reads the texts of some training examples, and of validation."""
        return read_words(self.snapshot, self.labels, self.seed, numbers, self.whole)

    def columns(self, vectorizer: Vectorizer, split: str) -> WordColumns:
        """Makes the columns of a split; of all examples, where they are taken as a whole."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        number = len(list(self.scratch.iterdir()))
        splits = SPLITS if self.whole else (split,)
        return WordColumns(self.snapshot, splits, vectorizer, self.scratch / f"{number}-{split}")


def texts_of(features: Artifact, snapshot: Path | None, settings: FinetuneSettings, scratch: Path) -> RawTexts | None:
    """Returns the texts that the features were made from; None where there are none, or they are not to be looked at.

    Raises:
        InputError: They were made from another snapshot, or texts are asked for that are not there.
    """
    told = features.read_json("features.json")
    has_texts = bool(pa.types.is_string(tasks.get(told["task"]).input_type))
    if snapshot is None or not has_texts:
        if settings.lexical == "true":
            raise InputError(
                "training.lexical is true, but there are no texts to read: it needs a task on texts, and the snapshot "
                "that the features were made from (--snapshot)."
            )
        return None
    if settings.lexical == "false" and LEXICAL not in strategies_of(settings.strategy):
        return None
    source = open_artifact(snapshot, "snapshot")
    if (made_from := features.inputs.get("snapshot", "nothing")) != source.digest:
        raise InputError(
            f"The features at {features.path} were made from snapshot {made_from[:12]}, but the one at {source.path} "
            f"is {source.digest[:12]}. Name the snapshot that they were made from."
        )
    return RawTexts(source, told["labels"], settings.seed, scratch)


@dataclass(frozen=True)
class JointHead:
    """What a joint fit gives a network: a head for normalised vectors, and a branch for words."""

    vectorizer: Vectorizer
    fit: JointFit

    def load_into(self, network: Network) -> None:
        """Gives a network these weights."""
        network.normalized = True
        network.widen(self.vectorizer, torch.from_numpy(np.ascontiguousarray(self.fit.wide.T)))
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(self.fit.weight / network.head.in_features**0.5))
            network.head.bias.copy_(torch.from_numpy(self.fit.bias))


@dataclass(frozen=True)
class Branch:
    """A branch that was trained before: of a champion that training starts from."""

    vectorizer: Vectorizer
    weight: Tensor

    @classmethod
    def taken_from(cls, network: Network) -> "Branch | None":
        """Takes the branch out of a network; None where it has none."""
        if network.wide is None or network.vectorizer is None:
            return None
        found = cls(network.vectorizer, network.wide.weight.detach())
        network.narrow()
        return found


def start_branch(network: Network, fit: LexicalFit, before: Branch | None) -> None:
    """Adds a branch to a network that is about to be trained.

    It starts as the model of the words alone; or, where the network's head was trained beside a branch, with that one's
    weights of the terms that are still there.
    """
    if before is None:
        network.widen(fit.vectorizer, torch.from_numpy(np.ascontiguousarray(fit.linear.weight.T)))
        with torch.no_grad():
            network.head.bias.add_(torch.from_numpy(fit.linear.bias).to(network.head.bias))
        return
    rows = {name: row for row, name in enumerate(before.vectorizer.names())}
    weight = torch.zeros(fit.vectorizer.width, network.head.out_features)
    for place, name in enumerate(fit.vectorizer.names()):
        if name in rows:
            weight[place] = before.weight[rows[name]].cpu()
    network.widen(fit.vectorizer, weight)


def is_within_reach(fit: LexicalFit, words: Words) -> bool:
    """Whether the words alone do better on validation than always naming the commonest class, beyond chance."""
    share = np.bincount(words.truth, minlength=words.classes).max() / max(len(words.truth), 1)
    accuracy = fit.validation["accuracy"]
    return bool(accuracy - share > 2 * np.sqrt(accuracy * (1 - accuracy) / max(len(words.truth), 1)))


def note_of(network: Network, validation: Examples, labels: Sequence[str], fit: LexicalFit) -> dict[str, Any]:
    """Returns what people want to know of a network with a branch for words, see `words_note`."""
    assert network.wide is not None and network.vectorizer is not None, "it has a branch"  # noqa: PT018
    parts = _parts(network, validation)
    truth = validation.labels[: len(parts["words"])]
    sides = carried(parts, network.head.bias.detach().cpu().numpy(), truth)
    return words_note(network.vectorizer, network.wide.weight.detach().cpu().numpy().T, labels, fit, sides)


def words_note(
    vectorizer: Vectorizer,
    wide: np.ndarray,
    labels: Sequence[str],
    fit: LexicalFit,
    sides: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Returns the content of `notes/lexical.json`.

    Args:
        vectorizer: Of the columns.
        wide: Their weights, [classes, columns].
        labels: The classes.
        fit: Of the words alone.
        sides: How much the words and the backbone carry.
    """
    return {
        "sides": sides,
        "classes": top_words(vectorizer, wide, labels),
        "alone": {**fit.validation, "chosen": fit.words, "seconds": fit.seconds},
        "tried": fit.tried,
        "terms": vectorizer.terms,
        "examples": {"fitted": fit.examples, "of": fit.total},
    }


@torch.inference_mode()
def _parts(network: Network, examples: Examples) -> dict[str, np.ndarray]:
    """Returns the logits that each side brings to the first examples, float32 [examples, classes], without the bias."""
    network.eval()
    found: dict[str, list[Tensor]] = {"backbone": [], "words": []}
    numbers = np.arange(min(len(examples), _LOOKED_AT))
    for start in range(0, len(numbers), _AT_ONCE):
        batch = examples.batch(numbers[start : start + _AT_ONCE])
        ids, weights = batch.pop(WIDE_IDS), batch.pop(WIDE_WEIGHTS)
        found["backbone"].append(network.deep(network.pooled(**batch)).float() - network.head.bias)
        assert network.wide is not None
        found["words"].append(network.wide(ids, per_sample_weights=weights))
    return {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
