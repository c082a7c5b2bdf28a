"""Linear models of what is seen without a network, the words of texts or the gradients of pictures: what they share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix

from components.shared.columns import Columns
from components.shared.linear import Linear
from components.shared.selection import selection_of

if TYPE_CHECKING:
    from components.finetune.linear.fitters import Answers

CHOICE, FIT = 40_000_000, 300_000_000  # numbers that are not 0 times classes: in a fit that chooses, in the last one
_LEAST = 2_000  # examples that are chosen on, if there are so many
_SMALL_CLASS = 50  # examples


class Choice(Protocol):
    """Which columns were chosen: terms of texts, or what is looked at in pictures."""

    @property
    def words(self) -> str:
        """It in words."""


@dataclass(frozen=True)
class Sample:
    """Training and validation examples, raw: all, or a fair sample that fits into memory.

    Attributes:
        labels: int64 [training examples], their classes; all 0 where answers are no classes.
        numbers: int64 [training examples], which of the split's examples they are.
        truth: int64 [validation examples].
        validation_numbers: int64 [validation examples], which of the split's examples they are.
        classes: How many there are; where answers are no classes, how many outputs a linear layer has.
        total: How many training examples the sample is from.
        answers: What is to be answered where it is no one class of several.
    """

    labels: np.ndarray
    numbers: np.ndarray
    truth: np.ndarray
    validation_numbers: np.ndarray
    classes: int
    total: int
    answers: "Answers | None" = field(default=None, kw_only=True)

    @property
    def selection(self) -> str:
        """The metric to choose by."""
        return selection_of(np.bincount(self.labels, minlength=self.classes))

    def part(self, places: np.ndarray) -> "Sample":
        """Returns some of the training examples, with the same validation examples."""
        raise NotImplementedError

    def columns(self, maker: Columns, places: np.ndarray) -> csr_matrix:
        """Returns the columns of some of the training examples, float32 [examples, columns]."""
        raise NotImplementedError


@dataclass(frozen=True)
class ClassicalFit:
    """A linear model of the words, or of the gradients, alone.

    Attributes:
        maker: Makes its columns of raw inputs.
        linear: Its weights [classes, columns], and what was chosen, with scores on validation examples.
        columns: float32 [training examples of the sample, columns].
        validation_columns: float32 [validation examples of the sample, columns].
        choice: Which columns.
        tried: Of each choice that was tried: `reading`, its scores, `seconds`.
        examples: How many training examples it was fitted on.
        total: How many there were.
        train_loss: On the examples that it was fitted on; of classes in nats.
        seconds: Of everything.
    """

    maker: Columns
    linear: Linear
    columns: csr_matrix
    validation_columns: csr_matrix
    choice: Choice
    tried: list[dict[str, Any]]
    examples: int
    total: int
    train_loss: float
    seconds: float

    @property
    def validation(self) -> dict[str, float]:
        """`validation_loss` and the task's metrics; of classes `accuracy` and `macro_f1`."""
        return self.linear.validation

    @property
    def reading(self) -> str:
        """Which columns, in words."""
        return self.choice.words

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        return f"{self.reading}, {self.linear.words}"


def penalised(fit: Callable[..., Linear], few: np.ndarray, most: np.ndarray) -> Linear:
    """Returns a fit on `most` examples with the penalty that was chosen on `few`.

    Args:
        fit: Takes examples and `penalties`.
        few: The examples that the penalty is chosen on.
        most: The examples of the last fit.
    """
    chosen = fit(few)
    return chosen if len(most) == len(few) else fit(most, penalties=[chosen.penalty])


def part_of(labels: np.ndarray, size: int, limit: int, seed: int) -> np.ndarray:
    """Returns which examples a fit takes, ascending: so many that its size stays within the limit.

    Args:
        labels: int [examples], their classes.
        size: Of a fit on all of them.
        limit: What it may be.
        seed: Of the draw.
    """
    return drawn(np.arange(len(labels)), labels, max(_LEAST, len(labels) * limit // max(size, 1)), seed)


def drawn(numbers: np.ndarray, labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draws some examples; small classes are taken whole, so that none is lost.

    Args:
        numbers: int [examples], ascending.
        labels: int [examples], their classes.
        most: How many are drawn; all where there are no more.
        seed: Of the draw.

    Returns:
        Those that were drawn, ascending.
    """
    if len(numbers) <= most:
        return numbers
    chosen = np.random.default_rng(seed).permutation(len(numbers)) < most
    return np.asarray(numbers[chosen | (np.bincount(labels)[labels] <= _SMALL_CLASS)])
