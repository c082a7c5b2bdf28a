"""`strategy: lexical`: a model of the words alone, without a backbone. Megabytes, and served without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.finetune.lexical import LexicalFit
from components.finetune.training import History
from components.finetune.wide import words_note
from components.shared.errors import InputError
from components.shared.lexical.predictor import save_vectorizer, save_weights
from components.shared.lexical.vectorizer import Vectorizer

FROZEN = "there is no backbone"
"""What is told of such a model where others tell what was frozen."""


@dataclass(frozen=True)
class WordsModel:
    """A model of the words alone.

    Attributes:
        vectorizer: Makes its columns of raw texts.
        weight: float32 [columns, classes].
        bias: float32 [classes].
    """

    vectorizer: Vectorizer
    weight: np.ndarray
    bias: np.ndarray

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return int(self.weight.size + self.bias.size)

    def save(self, folder: Path) -> None:
        """Writes `lexical.json` and `lexical.safetensors`."""
        save_vectorizer(self.vectorizer, folder)
        save_weights(self.weight, self.bias, folder)

    def cool(self, temperature: float) -> None:
        """Divides all logits by a temperature, for good."""
        for part in (self.weight, self.bias):
            np.divide(part, np.float32(temperature), out=part)

    def describe(self) -> dict[str, Any]:
        """Returns what `model.json` tells beside."""
        return {"terms": self.vectorizer.terms}


def model_of(fit: LexicalFit) -> WordsModel:
    """Returns the model of a fit, to be saved."""
    return WordsModel(fit.vectorizer, fit.linear.weight.T.copy(), fit.linear.bias.copy())


def history_of(fit: LexicalFit) -> History:
    """Returns a fit as a training of one epoch without steps."""
    entry = {"epoch": 1, "step": 0, "train_loss": fit.train_loss, **fit.validation, "seconds": fit.seconds}
    rate = fit.examples / max(fit.seconds, 1e-9)
    return History(epochs=[entry], best_epoch=1, seconds=fit.seconds, examples_per_second=rate)


def no_words(without_texts: bool) -> InputError:
    """Returns why there is no model of the words.

    Args:
        without_texts: Whether there are no texts at all, rather than none that could tell anything.
    """
    if without_texts:
        return InputError(
            "strategy: lexical reads words: it needs a task on texts, and the snapshot that the features were made "
            "from (--snapshot)."
        )
    return InputError(
        "strategy: lexical found no word, and no sequence of characters, that stands in two of the training texts. "
        "Look at data.inputs, or choose a strategy with a backbone."
    )


def note_alone(fit: LexicalFit, labels: list[str]) -> dict[str, Any]:
    """Returns the content of `notes/lexical.json`: the words carry all."""
    sides = {"words": {"share": 1.0, "accuracy": fit.validation["accuracy"]}}
    return words_note(fit.vectorizer, fit.linear.weight, labels, fit, sides)
