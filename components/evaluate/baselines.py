"""Baselines on the same data: one constant prediction, the task's own classical models, and what finetune left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from components.evaluate.examples import Splits, has_pictures, task_of
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import read_batches, spec_of
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.statistics import Statistics
from components.shared.tasks import Task
from components.shared.tasks.scoring import Spec

_MAX_CHARACTERS = 50_000_000  # of a sample: long texts must not fill the memory,
_MAX_BYTES = 500_000_000  # nor photographs
_MAX_PROBABILITIES = 20_000_000  # test examples times classes
_MOST_VALIDATION = 10_000  # examples that baselines are chosen and calibrated on


@dataclass(frozen=True)
class Baselines:
    """What the baselines made of the first test examples.

    Attributes:
        statistics: By name; that of the constant prediction is always there.
        failure: Why the task's baselines could not be fitted, or "".
        train_examples: How many they could learn from.
        test_examples: How many they were scored on: the first of the test split.
        told: By name `what` was chosen, the `bytes` that it takes, and how many `examples` it learned from.
        seconds: By name, of the fit and of what was chosen by it.
        curve: By how many labels a class: what the task's baselines make of the same examples if fitted on so few.
        networks: The names of those that finetune left: a frozen backbone with a linear head.
        constant: The name of the one that predicts the same for all.
    """

    statistics: dict[str, Statistics]
    failure: str
    train_examples: int
    test_examples: int
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    curve: dict[int, dict[str, Statistics]] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    constant: str = ""

    @property
    def classical(self) -> dict[str, Statistics]:
        """Those of the task's own models: those that learn from the inputs."""
        others = {self.constant, *self.networks}
        return {name: found for name, found in self.statistics.items() if name not in others}

    def beside(self, statistics: Mapping[str, Statistics], arms: Sequence[Mapping[str, Any]]) -> "Baselines":
        """Returns them with what finetune trained as baselines beside the model.

        Args:
            statistics: By name, of the whole test split.
            arms: What finetune told of each.
        """
        told = {
            arm["name"]: {"what": arm.get("what", arm["strategy"]), "bytes": arm.get("bytes"), "examples": None}
            for arm in arms
        }
        return replace(
            self,
            statistics={
                **self.statistics,
                **{name: found.first(self.test_examples) for name, found in statistics.items()},
            },
            told={**self.told, **told},
            seconds={**self.seconds, **{arm["name"]: arm["seconds"] for arm in arms}},
            networks=tuple(statistics),
        )


def fit_baselines(
    snapshot: Artifact,
    targets: np.ndarray,
    train_most: int,
    test_most: int,
    seed: int,
    curve: Sequence[int] = (),
    selection: str = "",
) -> Baselines:
    """Fits the baselines on training examples, chooses on validation, and scores them on test examples.

    A snapshot is ordered by a hash, so that its first examples are a fair sample. A baseline that fails must not lose
    the evaluation: its failure is told instead.

    Args:
        snapshot: Where the examples are.
        targets: Of the test examples, see `Scoring.targets`.
        train_most: How many training examples may be used; more only so that every class is among them.
        test_most: How many test examples may be scored.
        seed: Of what is drawn at random in the fit.
        curve: For each of these numbers the baselines are fitted on the first so many examples of each class, too.
        selection: What is chosen by; "": the counts of the classes decide.
    """
    told = snapshot.read_json("snapshot.json")
    spec, scoring = spec_of(told), task_of(snapshot).scoring
    classes: list[str] = spec.get("labels", [])
    train = read_sample(snapshot, "train", train_most, each=1)
    validation = read_sample(snapshot, "validation", _MOST_VALIDATION)
    test = read_sample(snapshot, "test", min(test_most, _MAX_PROBABILITIES // max(len(classes), 1)))
    truth, counts = targets[: test.size], told["classes"]["train"]
    constant = scoring.constant(scoring.targets(train.labels, spec), counts, spec, test.size)
    fits = _Fits(task_of(snapshot), spec, validation, test, truth, Terms(len(classes), seed, selection, spec))
    found = fits.run(train)
    sizes = {size: sum(min(count, size) for count in counts.values()) for size in curve}
    few = _read_few(snapshot, {size: total for size, total in sizes.items() if total <= train_most})
    return replace(
        found,
        statistics={constant.name: scoring.score(constant.predictions, truth, spec), **found.statistics},
        told={constant.name: told_of(constant), **found.told},
        curve={size: fits.run(sample).statistics for size, sample in few.items()},
        constant=constant.name,
    )


def told_of(baseline: Baseline) -> dict[str, Any]:
    """Returns what `evaluation.json` tells of a baseline beside its scores."""
    names = {"names": dict(baseline.names)} if baseline.names else {}
    return {**{name: getattr(baseline, name) for name in ("what", "bytes", "examples")}, **names}


@dataclass
class Sample:
    """Raw inputs, a list for each column, with their answers, and the strata that these count as."""

    inputs: list[list[Any]]
    labels: list[Any] = field(default_factory=list)
    strata: list[tuple[str, ...]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    volume: int = 0

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.labels)

    def add(self, inputs: Sequence[Any], label: Any, strata: tuple[str, ...]) -> None:
        """Adds an example with its answer, and what it counts as."""
        for column, value in zip(self.inputs, inputs, strict=True):
            column.append(value)
        self.labels.append(label)
        self.strata.append(strata)
        self.counts.update(strata)
        self.volume += sum(map(len, inputs))

    def first_of_each(self, count: int) -> "Sample":
        """Returns a sample of the first examples of each class."""
        chosen = Sample([[] for _ in self.inputs])
        for *inputs, label, strata in zip(*self.inputs, self.labels, self.strata, strict=True):
            if any(chosen.counts[stratum] < count for stratum in strata):
                chosen.add(inputs, label, strata)
        return chosen


@dataclass(frozen=True)
class _Fits:
    """What is the same for all fits of the task's baselines: what they are chosen on, and what they predict."""

    task: Task
    spec: Spec
    validation: Sample
    test: Sample
    truth: np.ndarray
    terms: Terms

    def run(self, train: Sample) -> Baselines:
        """Returns the task's own baselines; where one fails, those before it, and why."""
        found, task, spec = Baselines({}, "", train.size, self.test.size), self.task, self.spec
        try:
            learned, held = self._labelled(train), self._labelled(self.validation)
            for baseline in task.baselines(learned, held, self.test.inputs, self.terms):
                if fault := task.scoring.fault(baseline.predictions, self.test.size, spec):
                    raise ValueError(f"{baseline.name} {fault}")
                found.statistics[baseline.name] = task.scoring.score(baseline.predictions, self.truth, spec)
                found.told[baseline.name] = told_of(baseline)
                found.seconds[baseline.name] = baseline.seconds
        except Exception as error:  # whatever a classical model does not like, the evaluation goes on and says so
            failure = f"{type(error).__name__}: {error}"[:500]
            print(f"The baselines of {self.task.name} could not be fitted: {failure}", flush=True)
            return replace(found, failure=failure)
        return found

    def _labelled(self, sample: Sample) -> Labelled:
        return Labelled(sample.inputs, self.task.scoring.targets(sample.labels, self.spec))


def _read_few(snapshot: Artifact, sizes: Mapping[int, int]) -> dict[int, Sample]:
    """Reads the first so many examples of each class, for several sizes; leaves out those that are too large to hold.

    Args:
        snapshot: Where the examples are.
        sizes: By the number a class, how many examples that is in all.
    """
    if not sizes:
        return {}
    most = read_sample(snapshot, "train", 0, each=max(sizes))
    samples = {size: most.first_of_each(size) for size in sizes}
    return {size: sample for size, sample in samples.items() if sample.size == sizes[size]}


def read_sample(snapshot: Artifact, splits: Splits, most: int, each: int = 0) -> Sample:
    """Reads the first examples of splits, and more only so that there are `each` of every class that has so many.

    The first examples may fill half of the memory that a sample may take; the other half is for those that are needed.
    """
    told, target = snapshot.read_json("snapshot.json"), task_of(snapshot).target
    spec = spec_of(told)
    limit = _MAX_BYTES if has_pictures(snapshot) else _MAX_CHARACTERS
    sample = Sample([[] for _ in told["inputs"]])
    names = (splits,) if isinstance(splits, str) else splits
    missing = sum(min(each, count) for split in names for count in told["classes"][split].values())
    for batch in chain.from_iterable(read_batches(snapshot, split) for split in names):
        columns = [batch.column(name).to_pylist() for name in batch.schema.names if name.startswith("input_")]
        for *inputs, label in zip(*columns, batch.column("label").to_pylist(), strict=True):
            strata = target.strata(target.text(label), spec)
            room = sample.size < most and sample.volume < limit
            if not (room or missing) or sample.volume > 2 * limit:
                return sample
            needed = sum(sample.counts[stratum] < each for stratum in strata)
            missing -= needed
            if room or needed:
                sample.add(inputs, label, strata)
    return sample
