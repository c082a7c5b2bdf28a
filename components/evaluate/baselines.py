"""Baselines on the same data: the majority class, and the task's own classical models."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from components.evaluate.scores import Outcome, outcome_of
from components.shared import tasks
from components.shared.artifact import Artifact
from components.shared.snapshot import read_batches

MAJORITY = "Majority class"
_MAX_CHARACTERS = 50_000_000  # of a sample: long texts must not fill the memory
_MAX_PROBABILITIES = 20_000_000  # test examples times classes


@dataclass(frozen=True)
class Baselines:
    """What the baselines made of the first test examples.

    Attributes:
        outcomes: By name; the majority class is always there.
        failure: Why the task's baselines could not be fitted, or "".
        train_examples: How many they were fitted on.
        test_examples: How many they were scored on: the first of the test split.
    """

    outcomes: dict[str, Outcome]
    failure: str
    train_examples: int
    test_examples: int


def fit_baselines(snapshot: Artifact, labels: np.ndarray, train_most: int, test_most: int, seed: int) -> Baselines:
    """Fits the baselines on training examples and scores them on test examples.

    A snapshot is ordered by a hash, so that its first examples are a fair sample. A baseline that fails must not lose
    the evaluation: its failure is told instead.

    Args:
        snapshot: Where the examples are.
        labels: int [test examples], their classes.
        train_most: How many training examples may be used; more only so that every class is among them.
        test_most: How many test examples may be scored.
        seed: Of what is drawn at random in the fit.
    """
    told = snapshot.read_json("snapshot.json")
    classes: list[str] = told["labels"]
    train = _read_sample(snapshot, "train", train_most, every=classes)
    test = _read_sample(snapshot, "test", min(test_most, _MAX_PROBABILITIES // len(classes)))
    truth = labels[: test.size]
    counts = np.array([told["classes"]["train"].get(label, 0) for label in classes])
    outcomes = {MAJORITY: outcome_of(np.tile(counts / counts.sum(), (test.size, 1)), truth)}
    number = {label: place for place, label in enumerate(classes)}
    try:
        found = tasks.get(told["task"]).baselines(
            train.inputs, np.array([number[label] for label in train.labels]), test.inputs, seed
        )
        for name, probabilities in found.items():
            if probabilities.shape != (test.size, len(classes)) or not np.isfinite(probabilities).all():
                raise ValueError(f"{name} gave no probabilities of shape {(test.size, len(classes))}")
            outcomes[name] = outcome_of(probabilities, truth)
        failure = ""
    except Exception as error:  # whatever a classical model does not like, the evaluation goes on and says so
        failure = f"{type(error).__name__}: {error}"[:500]
        print(f"The baselines of {told['task']} could not be fitted: {failure}", flush=True)
    return Baselines(outcomes, failure, train.size, test.size)


@dataclass
class _Sample:
    inputs: list[list[str]]
    labels: list[str] = field(default_factory=list)
    characters: int = 0

    @property
    def size(self) -> int:
        return len(self.labels)

    def add(self, inputs: tuple[str, ...], label: str) -> None:
        for column, value in zip(self.inputs, inputs, strict=True):
            column.append(value)
        self.labels.append(label)
        self.characters += sum(map(len, inputs))


def _read_sample(snapshot: Artifact, split: str, most: int, every: Collection[str] = ()) -> _Sample:
    """Reads the first examples of a split, and of each class of `every` that is not among them the first one."""
    sample = _Sample([[] for _ in snapshot.read_json("snapshot.json")["inputs"]])
    missing = set(every)
    for batch in read_batches(snapshot, split):
        columns = [batch.column(name).to_pylist() for name in batch.schema.names if name.startswith("input_")]
        for *inputs, label in zip(*columns, batch.column("label").to_pylist(), strict=True):
            room = sample.size < most and sample.characters < _MAX_CHARACTERS
            if not room and not missing:
                return sample
            if room or label in missing:
                missing.discard(label)
                sample.add(tuple(inputs), label)
    return sample
