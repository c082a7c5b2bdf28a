"""Baselines on the same data: the majority class, and the task's own classical models."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.evaluate.examples import has_pictures
from components.shared import tasks
from components.shared.artifact import Artifact
from components.shared.outcomes import Outcome, outcome_of
from components.shared.snapshot import read_batches

MAJORITY = "Majority class"
_MAX_CHARACTERS = 50_000_000  # of a sample: long texts must not fill the memory,
_MAX_BYTES = 500_000_000  # nor photographs
_MAX_PROBABILITIES = 20_000_000  # test examples times classes


@dataclass(frozen=True)
class Baselines:
    """What the baselines made of the first test examples.

    Attributes:
        outcomes: By name; the majority class is always there.
        failure: Why the task's baselines could not be fitted, or "".
        train_examples: How many they were fitted on.
        test_examples: How many they were scored on: the first of the test split.
        curve: By how many labels a class: what the task's baselines make of the same examples if fitted on so few.
    """

    outcomes: dict[str, Outcome]
    failure: str
    train_examples: int
    test_examples: int
    curve: dict[int, dict[str, Outcome]] = field(default_factory=dict)

    @property
    def classical(self) -> dict[str, Outcome]:
        """The outcomes of the task's own models: those that learn from the inputs."""
        return {name: outcome for name, outcome in self.outcomes.items() if name != MAJORITY}


def fit_baselines(
    snapshot: Artifact, labels: np.ndarray, train_most: int, test_most: int, seed: int, curve: Sequence[int] = ()
) -> Baselines:
    """Fits the baselines on training examples and scores them on test examples.

    A snapshot is ordered by a hash, so that its first examples are a fair sample. A baseline that fails must not lose
    the evaluation: its failure is told instead.

    Args:
        snapshot: Where the examples are.
        labels: int [test examples], their classes.
        train_most: How many training examples may be used; more only so that every class is among them.
        test_most: How many test examples may be scored.
        seed: Of what is drawn at random in the fit.
        curve: For each of these numbers the baselines are fitted on the first so many examples of each class, too.
    """
    told = snapshot.read_json("snapshot.json")
    classes: list[str] = told["labels"]
    train = _read_sample(snapshot, "train", train_most, each=1)
    test = _read_sample(snapshot, "test", min(test_most, _MAX_PROBABILITIES // len(classes)))
    truth = labels[: test.size]
    counts = np.array([told["classes"]["train"].get(label, 0) for label in classes])
    outcomes = {MAJORITY: outcome_of(np.tile(counts / counts.sum(), (test.size, 1)), truth)}
    found, failure = _fit(told, train, test, truth, seed)
    sizes = {size: int(np.minimum(counts, size).sum()) for size in curve}
    few = _read_few(snapshot, {size: total for size, total in sizes.items() if total <= train_most})
    points = {size: _fit(told, sample, test, truth, seed)[0] for size, sample in few.items()}
    return Baselines({**outcomes, **found}, failure, train.size, test.size, points)


@dataclass
class _Sample:
    inputs: list[list[Any]]
    labels: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    volume: int = 0

    @property
    def size(self) -> int:
        return len(self.labels)

    def add(self, inputs: Sequence[Any], label: str) -> None:
        for column, value in zip(self.inputs, inputs, strict=True):
            column.append(value)
        self.labels.append(label)
        self.counts[label] += 1
        self.volume += sum(map(len, inputs))

    def first_of_each(self, count: int) -> "_Sample":
        """Returns a sample of the first examples of each class."""
        chosen = _Sample([[] for _ in self.inputs])
        for *inputs, label in zip(*self.inputs, self.labels, strict=True):
            if chosen.counts[label] < count:
                chosen.add(inputs, label)
        return chosen


def _fit(
    told: Mapping[str, Any], train: _Sample, test: _Sample, truth: np.ndarray, seed: int
) -> tuple[dict[str, Outcome], str]:
    """Returns the outcomes of the task's baselines, and why they could not be fitted, or ""."""
    number = {label: place for place, label in enumerate(told["labels"])}
    outcomes: dict[str, Outcome] = {}
    try:
        labels = np.array([number[label] for label in train.labels])
        found = tasks.get(told["task"]).baselines(train.inputs, labels, test.inputs, seed)
        for name, probabilities in found.items():
            if probabilities.shape != (test.size, len(number)) or not np.isfinite(probabilities).all():
                raise ValueError(f"{name} gave no probabilities of shape {(test.size, len(number))}")
            outcomes[name] = outcome_of(probabilities, truth)
    except Exception as error:  # whatever a classical model does not like, the evaluation goes on and says so
        failure = f"{type(error).__name__}: {error}"[:500]
        print(f"The baselines of {told['task']} could not be fitted: {failure}", flush=True)
        return outcomes, failure
    return outcomes, ""


def _read_few(snapshot: Artifact, sizes: Mapping[int, int]) -> dict[int, _Sample]:
    """Reads the first so many examples of each class, for several sizes; leaves out those that are too large to hold.

    Args:
        snapshot: Where the examples are.
        sizes: By the number a class, how many examples that is in all.
    """
    if not sizes:
        return {}
    most = _read_sample(snapshot, "train", 0, each=max(sizes))
    samples = {size: most.first_of_each(size) for size in sizes}
    return {size: sample for size, sample in samples.items() if sample.size == sizes[size]}


def _read_sample(snapshot: Artifact, split: str, most: int, each: int = 0) -> _Sample:
    """Reads the first examples of a split, and more only so that there are `each` of every class that has so many.

    The first examples may fill half of the memory that a sample may take; the other half is for those that are needed.
    """
    told = snapshot.read_json("snapshot.json")
    limit = _MAX_BYTES if has_pictures(snapshot) else _MAX_CHARACTERS
    sample = _Sample([[] for _ in told["inputs"]])
    missing = sum(min(each, count) for count in told["classes"][split].values())
    for batch in read_batches(snapshot, split):
        columns = [batch.column(name).to_pylist() for name in batch.schema.names if name.startswith("input_")]
        for *inputs, label in zip(*columns, batch.column("label").to_pylist(), strict=True):
            room = sample.size < most and sample.volume < limit
            if not (room or missing) or sample.volume > 2 * limit:
                return sample
            needed = sample.counts[label] < each
            missing -= needed
            if room or needed:
                sample.add(inputs, label)
    return sample
