"""A model that was measured by cross-validation: what models of the other folds say of each example; its rivals."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.evaluate.baselines import Baselines, Sample, read_sample, told_of
from components.evaluate.predictions import Classifier
from components.evaluate.sources import Sources
from components.shared import tasks
from components.shared.artifacts.snapshot import CROSSED
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError
from components.shared.tasks.scoring import Spec


class Crossed(Classifier):
    """The model, with what the models of the other folds made of each example.

    It predicts, too, so that its speed is told, and that one that cannot is found out; what it says itself of examples
    that it has learned from is not looked at.

    Attributes:
        folds: int64 [examples], of the snapshot's splits one after the other.
    """

    def __init__(self, sources: Sources, batch_size: int) -> None:
        """Reads what finetune left.

        Raises:
            InputError: It is of other examples.
        """
        super().__init__(sources.model, sources.features, batch_size, sources.splits)
        table = pq.read_table(sources.model.file(CROSSED))
        truth = [self.labels[number] for number in self.split.labels.tolist()]
        if table["id"].to_pylist() != self.split.ids or table["label"].to_pylist() != truth:
            raise InputError(
                f"{sources.model.file(CROSSED)} is of other examples than the features at {sources.features.path}. Run "
                "finetune again."
            )
        self.folds = table["fold"].to_numpy().astype(np.int64)
        self._kept = np.array(table["probabilities"].to_pylist(), np.float32)

    def probabilities(self, start: int, stop: int, inputs: Sequence[Sequence[Any]]) -> np.ndarray:
        """Returns float32 [stop - start, classes], of each example by a model that has not seen it."""
        super().probabilities(start, stop, inputs)
        return self._kept[start:stop]


def cross_baselines(sources: Sources, crossed: Crossed, terms: Terms) -> Baselines:
    """Fits the task's baselines on the same folds, by what they take where there is nothing to choose on.

    The constant prediction is that of all examples: one that is counted on the other folds alone is wrong more often
    than chance, which would be too easy to beat. A baseline that fails on a fold is left out, and why is told.

    Args:
        sources: Where the examples are.
        crossed: The folds.
        terms: By what they are fitted.
    """
    told = sources.snapshot.read_json("snapshot.json")
    scoring, spec = crossed.scoring, crossed.spec
    folds = crossed.folds
    everything = read_sample(sources.snapshot, sources.splits, len(folds))
    truth = scoring.targets(everything.labels, spec)
    constant = scoring.constant(truth, everything.counts, spec, len(truth))
    train_examples = int(len(truth) - np.bincount(folds).max())
    found = Baselines(
        {constant.name: scoring.score(constant.predictions, truth, spec)}, "", train_examples, len(truth),
        told={constant.name: told_of(constant)}, constant=constant.name,
    )  # fmt: skip
    fits = defaultdict[str, list[Baseline]](list)
    places = [folds == fold for fold in np.unique(folds)]
    try:
        for held in places:
            for baseline in _fit(told["task"], everything, truth, held, terms, spec):
                fits[baseline.name].append(baseline)
    except Exception as error:  # whatever a classical model does not like, the evaluation goes on and says so
        failure = f"{type(error).__name__}: {error}"[:500]
        print(f"The baselines of {told['task']} could not be fitted: {failure}", flush=True)
        return replace(found, failure=failure)
    for name, done in fits.items():
        if len(done) == len(places):
            predictions = scoring.cross([baseline.predictions for baseline in done], places, truth, spec)
            found.statistics[name] = scoring.score(predictions, truth, spec)
            found.told[name] = {**told_of(done[0]), "examples": train_examples}
            found.seconds[name] = sum(baseline.seconds for baseline in done)
    return found


def _fit(
    task: str, everything: Sample, truth: np.ndarray, held: np.ndarray, terms: Terms, spec: Spec
) -> list[Baseline]:
    """Fits on all examples but those of a fold, which are predicted."""
    train, test = (_inputs(everything, np.flatnonzero(places)) for places in (~held, held))
    nothing = Labelled([[] for _ in everything.inputs], truth[:0])
    found = list(tasks.get(task).baselines(Labelled(train, truth[~held]), nothing, test, terms))
    for baseline in found:
        if fault := tasks.get(task).scoring.fault(baseline.predictions, len(test[0]), spec):
            raise ValueError(f"{baseline.name} {fault}")
    return found


def _inputs(everything: Sample, places: np.ndarray) -> list[list[Any]]:
    return [[column[place] for place in places.tolist()] for column in everything.inputs]
