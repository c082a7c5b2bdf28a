"""What evaluate asks of a task: statistics of predictions, and what the page shows of them alone.

A prediction is a row of a NumPy array: probabilities [examples, classes], numbers [examples], or objects where answers
have no fixed size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Gain, Metric, Statistics, written

CHANCE = 0.99
"""Of the interval that tells chance: a useful model is far from it; of noise one in two hundred tries may pass."""

Spec = Mapping[str, Any]
"""What is told of answers, see `components.shared.artifacts.snapshot.spec_of`."""


@dataclass(frozen=True)
class Breakdown:
    """A metric of each part of the examples, such as recall by class.

    Attributes:
        names: Of the parts.
        support: int [parts], how many examples each has.
        values: float [parts], NaN where it has none.
    """

    names: Sequence[str]
    support: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Duel:
    """A model beside a rival.

    Attributes:
        metric: That decides.
        gain: By it.
        ours: The model's value of it.
        theirs: The rival's.
        crossed: Whether both were measured by cross-validation.
    """

    metric: Metric
    gain: Gain
    ours: float
    theirs: float
    crossed: bool = False

    def numbers(self, name: str) -> str:
        """Returns both values, the difference and its interval as part of a sentence.

        Args:
            name: The rival's.
        """
        gain, metric = self.gain, self.metric
        where = "by cross-validation over {:,} examples" if self.crossed else "on {:,} test examples"
        return (
            f"{metric.title} {written(metric, self.ours)} against {written(metric, self.theirs)} ({name}), "
            f"{gain.words(metric)}, {where.format(gain.examples)}"
        )


@dataclass(frozen=True)
class Scored:
    """The model's predictions of the examples that are scored.

    Attributes:
        statistics: Of all of them.
        spec: What is known of the target.
        file: `predictions.parquet`.
        history: What finetune told of the training.
    """

    statistics: Statistics
    spec: Spec
    file: Path
    history: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        template: Its file in the task's folder; it may import the page's macros ("charts.html.j2").
        context: What it shows.
        beside: Whether it stands beside the next section where there is room.
    """

    template: str
    context: Mapping[str, Any]
    beside: bool = False


class Part(NamedTuple):
    """A part of a text that has a name.

    Attributes:
        name: What it is taken for.
        input: Which of the inputs it stands in.
        start: Its first character.
        end: The one after its last.
    """

    name: str
    input: int
    start: int
    end: int


@dataclass(frozen=True)
class Mistake:
    """How one example that was predicted badly is shown.

    Attributes:
        badge: How bad, or how sure.
        title: For a picture, as one line.
        said: What is said of it: pairs of a word and a value, which may be parts of its texts.
        marks: Parts of its texts that are marked: which input, what the part says or from where to where it stands, and
            whether it is "right" or was "found".
    """

    badge: str
    title: str
    said: Sequence[tuple[str, str | Sequence["Part"]]]
    marks: Sequence[tuple[int, str | tuple[int, int], str]] = ()


class Scoring(Protocol):
    """What evaluate asks of a task."""

    @property
    def mistakes(self) -> tuple[str, str, str]:
        """What the page says above mistakes.

        The heading; what is said of some, with `{wrong}`, `{all}`, `{what}` and `{shown}`; and what is said where there
        is none, with `{one}`.
        """

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns the targets of a snapshot's rows as `score` and baselines take them, [examples]."""

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns predictions out of the columns that a model answers (the task's prediction), [examples]."""

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """Returns what is wrong with predictions of so many examples ("gave no numbers"); None where nothing is."""

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of predictions.

        Args:
            predictions: Of a model or a baseline.
            targets: Of the same examples, see `targets`.
            spec: What is known of the target today.
            learned: What the model knew of it, where that may be something else: the champion's labels.
        """

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns statistics out of the columns that finetune kept of another model's predictions.

        Args:
            columns: By name, [examples].
            whole: Of the same examples, by the model.
            spec: What is known of the target.
        """

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns the columns of `predictions.parquet` that tell predictions."""

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns what predicts the same for all of so many examples: the largest class, the mean.

        Args:
            targets: Of the training examples that were read, see `targets`.
            counts: Of all training examples, by stratum.
            spec: What is known of the target.
            size: How many examples are predicted.
        """

    def cross(
        self, parts: Sequence[np.ndarray], places: Sequence[np.ndarray], targets: np.ndarray, spec: Spec
    ) -> np.ndarray:
        """Returns a baseline's predictions of all examples, out of those of each fold by a fit on the others.

        Args:
            parts: Predictions of each fold.
            places: bool [examples] of each fold.
            targets: Of all examples.
            spec: What is known of the target.
        """

    def chance(self, ours: Statistics, constant: Duel, name: str, seed: int) -> tuple[bool, str]:
        """Returns whether a model is better than chance, and what shows that, as part of a sentence.

        Args:
            ours: The model's statistics.
            constant: It beside what predicts the same for all.
            name: Of the latter.
            seed: Of the bootstrap.
        """

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns what `max_class_drop` is about, see `Task.part`."""

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns what `evaluation.json` holds of this task alone, beside `metrics`."""

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns how bad each prediction is, float [examples]; NaN for one that is no mistake."""

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns how one mistake is shown."""

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns the task's own parts of the page.

        Args:
            content: What `evaluation.json` holds.
            folds: Whether it was measured by cross-validation.
        """

    def unevenness(self, counts: Mapping[str, int], selection: str) -> str:
        """Returns what the page says of uneven data; "" for none.

        Args:
            counts: Training examples by stratum.
            selection: The metric that chose the model; "" where that is not told.
        """


class CommonScoring:
    """What most tasks have in common; each overrides what differs."""

    def cross(
        self, parts: Sequence[np.ndarray], places: Sequence[np.ndarray], targets: np.ndarray, spec: Spec
    ) -> np.ndarray:
        """Returns the predictions of all folds, each where it belongs."""
        found = np.empty((len(targets), *parts[0].shape[1:]), parts[0].dtype)
        for part, held in zip(parts, places, strict=True):
            found[held] = part
        return found

    def chance(self, ours: Statistics, constant: Duel, name: str, seed: int) -> tuple[bool, str]:
        """Chance is to predict the same for all."""
        return constant.gain.low > 0, constant.numbers(name)

    def unevenness(self, counts: Mapping[str, int], selection: str) -> str:
        """Says nothing: that parts differ in size is as it should be."""
        return ""
