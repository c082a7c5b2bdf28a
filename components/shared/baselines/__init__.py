"""Classical models that a fine-tuned network has to beat: what they are given, and what is told of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from components.shared.linear import Linear
from components.shared.selection import selection_of

_EVEN = 1.2  # the largest class over the smallest


@dataclass(frozen=True)
class Labelled:
    """Examples with their classes.

    Attributes:
        inputs: Raw inputs, a sequence for each column.
        labels: What is to be predicted, [examples]: numbers of classes, int; or numbers.
    """

    inputs: Sequence[Sequence[Any]]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def places(self, count: int) -> np.ndarray:
        """Returns the places of the first examples, and of the first one of each class that is not among them."""
        if count >= len(self):
            return np.arange(len(self))
        return np.union1d(np.arange(count), np.unique(self.labels, return_index=True)[1])

    def take(self, places: np.ndarray) -> "Labelled":
        """Returns the examples at some places."""
        if len(places) == len(self):
            return self
        return Labelled([[column[place] for place in places.tolist()] for column in self.inputs], self.labels[places])


@dataclass(frozen=True)
class Terms:
    """What all baselines of a task are fitted by.

    Attributes:
        classes: How many there are.
        seed: Of the fits.
        selection: What is chosen by on validation examples, see `selection_of`; "": the counts of the classes decide.
        spec: What is told of answers.
    """

    classes: int
    seed: int = 0
    selection: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)

    def chosen_by(self, labels: np.ndarray) -> "Terms":
        """Returns them with what is chosen by, for training examples of these classes."""
        return replace(self, selection=self.selection or selection_of(np.bincount(labels, minlength=self.classes)))

    def balances(self, labels: np.ndarray) -> tuple[bool, ...]:
        """Returns whether weighing the classes is tried: where they are even it changes nothing."""
        counts = np.bincount(labels, minlength=self.classes)
        there = counts[counts > 0]
        return (False, True) if there.max() > _EVEN * there.min() else (False,)


@dataclass(frozen=True)
class Baseline:
    """A classical model that was fitted, and what it makes of the test examples.

    Attributes:
        name: As the page calls it.
        what: What was chosen, in words.
        predictions: Of the test examples, as the task's own (`components.shared.tasks.scoring`): probabilities.
        bytes: That it would take on the disk: weights, and vocabulary where there is one.
        seconds: From the raw inputs to the predictions, the search included.
        examples: How many it learned from.
        names: Of one that is made of those of several tasks: what each task calls its own.
    """

    name: str
    what: str
    predictions: np.ndarray
    bytes: int
    seconds: float
    examples: int
    names: Mapping[str, str] = field(default_factory=dict)


def size_of(model: Linear) -> int:
    """Returns the bytes of a classifier's weights."""
    return int(model.weight.nbytes + model.bias.nbytes)
