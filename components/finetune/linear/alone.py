"""`strategy: lexical`, `gradients`: a linear model of these alone. Megabytes or less, and served without torch."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.finetune.learning.history import History
from components.finetune.linear.classical import ClassicalFit
from components.finetune.linear.fitters import Answers
from components.finetune.linear.wide import carriers
from components.finetune.settings import NOUNS
from components.shared.backbones.head import Head
from components.shared.columns import Columns, save_columns, save_weights
from components.shared.errors import InputError

FROZEN = "there is no backbone"
"""What is told of such a model where others tell what was frozen."""


@dataclass(frozen=True)
class LinearModel:
    """A linear model of words, or of gradients, without a backbone.

    Attributes:
        maker: Makes its columns of raw inputs.
        weight: float32 [columns, outputs].
        bias: float32 [outputs].
        head: Makes answers of the outputs where they are no classes: that of the task, without weights of its own.
    """

    maker: Columns
    weight: np.ndarray
    bias: np.ndarray
    head: Head | None = None

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return int(self.weight.size + self.bias.size)

    def save(self, folder: Path) -> None:
        """Writes the columns' JSON and safetensors."""
        save_columns(self.maker, folder)
        save_weights(self.maker.kind, self.weight, self.bias, folder, self._kept())

    def cool(self, temperature: float) -> None:
        """Divides all logits by a temperature, for good."""
        for part in (self.weight, self.bias):
            np.divide(part, np.float32(temperature), out=part)

    def describe(self) -> dict[str, Any]:
        """Returns what `model.json` tells beside."""
        return {"columns": self.maker.width, **({} if self.head is None else {"head": self.head.kind})}

    def _kept(self) -> dict[str, np.ndarray]:
        """Returns what the head needs to make answers (thresholds, say), by name."""
        return {} if self.head is None else {name: part.cpu().numpy() for name, part in self.head.named_buffers()}


def model_of(fit: ClassicalFit, answers: Answers | None = None) -> LinearModel:
    """Returns the model of a fit, to be saved.

    Args:
        fit: Its weights.
        answers: What is answered where it is no one class of several.
    """
    head = None if answers is None else copy.deepcopy(answers.own.head)
    return LinearModel(fit.maker, fit.linear.weight.T.copy(), fit.linear.bias.copy(), head)


def history_of(fit: ClassicalFit) -> History:
    """Returns a fit as a training of one epoch without steps."""
    entry = {"epoch": 1, "step": 0, "train_loss": fit.train_loss, **fit.validation, "seconds": fit.seconds}
    rate = fit.examples / max(fit.seconds, 1e-9)
    return History(epochs=[entry], best_epoch=1, seconds=fit.seconds, examples_per_second=rate)


def no_words() -> InputError:
    """Returns why there is no model of the words."""
    return InputError(
        "strategy: lexical found no word, and no sequence of characters, that stands in two of the training texts. "
        "Look at data.inputs, or choose a strategy with a backbone."
    )


def note_alone(fit: ClassicalFit, labels: list[str], exclusive: bool = True) -> dict[str, Any]:
    """Returns the content of `notes/lexical.json`, or `notes/gradients.json`: the columns carry all."""
    scores = {name: value for name, value in fit.validation.items() if name != "validation_loss"}
    told = {"accuracy": scores["accuracy"]} if exclusive else scores
    return carriers(
        fit.maker, fit.linear.weight, labels, fit, {NOUNS[fit.maker.kind]: {"share": 1.0, **told}}, exclusive
    )
