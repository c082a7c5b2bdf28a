"""How a linear model is fitted on columns: one class of several by a linear SVM, all else by the loss of its head."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from components.finetune.learning.examples import Batch
from components.finetune.linear.classical import Sample
from components.finetune.linear.convex import PENALTIES as OWN_PENALTIES
from components.finetune.linear.convex import OwnLoss, Seen, fit_columns
from components.finetune.linear.parts import joined, penalties_of
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import SPLITS
from components.shared.backbones.head import Head, LinearHead
from components.shared.backbones.network import spec_of
from components.shared.linear import PENALTIES, Linear, fit_linear
from components.shared.metrics import log_loss
from components.shared.tasks.objective import Objective, Outputs, Parted, Targets, head_class, objective_of


class Fitter(Protocol):
    """Fits linear models on columns of a sample's examples; what there is to choose is chosen on its validation."""

    @property
    def penalties(self) -> Sequence[float]:
        """That are tried, ascending."""

    @property
    def balances(self) -> Sequence[bool]:
        """Whether classes weigh the same, whatever their size: what is tried."""

    @property
    def weights(self) -> int:
        """How many it may fit, columns times outputs, so that memory stays bounded."""

    @property
    def selection(self) -> str:
        """What is chosen by."""

    def fit(
        self, train: Seen, part: np.ndarray, validation: Seen, balanced: bool, penalties: Sequence[float]
    ) -> Linear:
        """Fits on some training examples.

        Args:
            train: What is seen of them.
            part: int [examples], their places in the sample.
            validation: What is seen of all validation examples of the sample.
            balanced: Whether classes weigh the same.
            penalties: That are tried.
        """

    def loss(self, linear: Linear, train: Seen, part: np.ndarray) -> float:
        """Returns the mean loss of a model on some training examples."""

    def carried(self, parts: Mapping[str, np.ndarray], bias: np.ndarray) -> dict[str, dict[str, float]]:
        """Returns how much each part of a sum carries, of the sample's validation examples, see `carried`."""


@dataclass(frozen=True)
class Classes:
    """Fits linear SVMs, whose margins are made probabilities by a temperature."""

    penalties: ClassVar[Sequence[float]] = PENALTIES
    balances: ClassVar[Sequence[bool]] = (False, True)
    weights: ClassVar[int] = 10_000_000
    sample: Sample
    seed: int
    selection: str

    def fit(
        self, train: Seen, part: np.ndarray, validation: Seen, balanced: bool, penalties: Sequence[float]
    ) -> Linear:
        """See `components.shared.linear.fit_linear`."""
        labels, truth, classes = self.sample.labels[part], self.sample.truth, self.sample.classes
        given = (train.together, labels, validation.together, truth, classes, self.seed)
        return fit_linear(*given, balances=[balanced], selection=self.selection, penalties=penalties)

    def loss(self, linear: Linear, train: Seen, part: np.ndarray) -> float:
        """Returns it in nats."""
        return log_loss(linear.probabilities(train.together), self.sample.labels[part])

    def carried(self, parts: Mapping[str, np.ndarray], bias: np.ndarray) -> dict[str, dict[str, float]]:
        """Tells beside its share the `accuracy` of each part."""
        return carried(parts, bias, self.sample.truth)


@dataclass(frozen=True)
class Answers:
    """What is to be answered of a sample's examples, and how well a linear layer of the task's own head does.

    It fits under the loss of that head. What classes are to an SVM, targets are here.

    Attributes:
        own: The loss of the head.
        objective: Of the task.
        selection: What is chosen by.
        targets: Of the training examples, as the head makes them.
        held: Target columns of the validation examples.
    """

    penalties: ClassVar[Sequence[float]] = OWN_PENALTIES
    balances: ClassVar[Sequence[bool]] = (False,)
    weights: ClassVar[int] = 2_500_000  # L-BFGS remembers some twenty of each
    own: OwnLoss
    objective: Objective
    selection: str
    targets: Batch
    held: Targets

    def fit(
        self, train: Seen, part: np.ndarray, validation: Seen, balanced: bool, penalties: Sequence[float]
    ) -> Linear:
        """See `components.finetune.linear.convex.fit_columns`."""
        if (parts := self.own.head.parted()) and isinstance(self.objective, Parted):
            fits = []
            for number, (head, objective) in enumerate(zip(parts, self.objective.parted(), strict=True)):
                alone = dataclasses.replace(self, own=OwnLoss(head), objective=objective)
                fits.append(alone.fit(train, part, validation, balanced, penalties_of(penalties, number)))
            return joined(fits, self.objective.joined([fit.validation for fit in fits]))
        given = (self.own, train, self._targets(part), validation, self.score, self.selection)
        return fit_columns(*given, penalties)

    def loss(self, linear: Linear, train: Seen, part: np.ndarray) -> float:
        """Returns that of the head."""
        return self.own.mean(train.times(linear.weight.T) + linear.bias, self._targets(part))

    def carried(self, parts: Mapping[str, np.ndarray], bias: np.ndarray) -> dict[str, dict[str, float]]:
        """Tells beside its share the task's metrics of each part."""
        return carried_answers(parts, bias, self.score)

    def score(self, logits: np.ndarray) -> dict[str, float]:
        """Returns how well outputs of the layer do, [validation examples, outputs]."""
        return self.objective.scores(self.outputs(logits), self.held)

    def outputs(self, logits: np.ndarray) -> Outputs:
        """Returns the head's outputs of such."""
        return self.own.outputs_of(logits)

    def held_targets(self) -> Batch:
        """Returns the targets of the validation examples, as the head makes them."""
        return self.own.head.targets(self.held)

    def _targets(self, part: np.ndarray) -> Batch:
        places = torch.from_numpy(part)
        return {name: values[places] for name, values in self.targets.items()}


def carried(parts: Mapping[str, np.ndarray], bias: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns how much each part of a sum of logits carries.

    Args:
        parts: By name, float [examples, classes].
        bias: Of the classes, which is nobody's.
        truth: The examples' classes.

    Returns:
        By name `share`, of the variance of the logits between classes that each part brings with it (shares sum up to
        1: of each its covariance with the sum), and `accuracy`, of this part alone.
    """
    centred = {name: part - part.mean(1, keepdims=True) for name, part in parts.items()}
    return {
        name: {
            "share": share,
            "accuracy": float((np.asarray(parts[name] + bias).argmax(1) == truth).mean()) if len(truth) else 0.0,
        }
        for name, share in _shares(centred).items()
    }


def carried_answers(
    parts: Mapping[str, np.ndarray], bias: np.ndarray, score: Callable[[np.ndarray], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Returns how much each part of a sum carries, whatever it is that is answered by it.

    Args:
        parts: By name, float [examples, outputs].
        bias: Of the outputs, which is nobody's.
        score: Takes such outputs; returns the task's metrics.

    Returns:
        By name `share`, of the outputs' variance over the examples, and the metrics of this part alone: the mean of
        what the others bring stands in for them.
    """
    means = {name: part.mean(0) for name, part in parts.items()}
    whole = bias + np.sum(list(means.values()), axis=0)
    centred = {name: part - means[name] for name, part in parts.items()}
    return {
        name: {"share": share, **score((centred[name] + whole).astype(np.float32))}
        for name, share in _shares(centred).items()
    }


def _shares(centred: Mapping[str, np.ndarray]) -> dict[str, float]:
    whole = np.sum(list(centred.values()), axis=0)
    variance = float((whole * whole).sum()) or 1.0
    return {name: float((part * whole).sum()) / variance for name, part in centred.items()}


def fitter_of(sample: Sample, seed: int, selection: str) -> Fitter:
    """Returns what fits linear models of a sample.

    Args:
        sample: Its examples.
        seed: Of the fits.
        selection: What is chosen by; "" leaves it to the counts of the classes, or to the task.
    """
    if sample.answers is None:
        return Classes(sample, seed, selection or sample.selection)
    return dataclasses.replace(sample.answers, selection=selection or sample.answers.selection)


@dataclass(frozen=True)
class Answered:
    """Where answers are that are no one class of several: in the features, whose rows are those of the snapshot.

    Attributes:
        features: Their artifact.
    """

    features: Artifact

    @property
    def head(self) -> Head:
        """A head of the task, for vectors of one number; torch's global generator stays as it is."""
        told = self.features.read_json("features.json")
        with torch.random.fork_rng(devices=[]):
            found: Head = head_class(told["task"])(1, spec_of(told))
        return found

    @property
    def has_columns(self) -> bool:
        """Whether the head answers an example as a whole by a linear layer: columns can stand beside its vector."""
        head = self.head
        return isinstance(head, LinearHead) and head.level == "pooled" and head.apart == 1

    @property
    def has_words(self) -> bool:
        """Whether the head answers for the tokens that stand for words by a linear layer: then these have columns."""
        head = self.head
        return head.worded and head.linear() is not None

    @property
    def names(self) -> list[str]:
        """What the outputs of the head's layer are called."""
        head: Any = self.head
        return list(head.names(head.spec))

    @property
    def objective(self) -> Objective:
        """Of the task."""
        told = self.features.read_json("features.json")
        return objective_of(told["task"], spec_of(told))

    @property
    def stands_alone(self) -> bool:
        """Whether columns alone can be served: without torch, and with the files of a task of ours."""
        package = tasks.get(self.features.read_json("features.json")["task"]).package
        return package.startswith(tasks.__name__) and hasattr(importlib.import_module(f"{package}.answers"), "decode")

    def of(self, sample: Sample, whole: bool) -> Sample:
        """Returns a sample with what is to be answered.

        Args:
            sample: Its examples.
            whole: Whether those of all splits, one after the other, are training examples, and none validation.
        """
        head, objective = self.head, self.objective
        train = self._columns(SPLITS if whole else ("train",), sample.numbers)
        held = self._columns(("validation",), sample.validation_numbers)
        own = OwnLoss(head)
        answers = Answers(own, objective, objective.selection(train), head.targets(train), held)
        return dataclasses.replace(sample, answers=answers, classes=own.outputs)

    def _columns(self, splits: Sequence[str], numbers: np.ndarray) -> Targets:
        split = FeatureSplit(self.features, *splits)
        flat = {name: values[numbers] for name, values in split.targets.items()}
        return {**flat, **split.take_lists(numbers)}
