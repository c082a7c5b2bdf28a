"""A model that was measured by cross-validation: what models of the other folds say of each example; its rivals."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.evaluate.baselines import MAJORITY, Baselines, Sample, read_sample
from components.evaluate.predictions import Classifier
from components.evaluate.sources import Sources
from components.shared import tasks
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError
from components.shared.linear import cross_calibrated
from components.shared.outcomes import outcome_of
from components.shared.snapshot import CROSSED


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

    The majority class is that of all examples: one that is counted on the other folds alone is wrong more often than
    chance, which would be too easy to beat. A baseline that fails on a fold is left out, and why is told.

    Args:
        sources: Where the examples are.
        crossed: The folds.
        terms: By what they are fitted.
    """
    told = sources.snapshot.read_json("snapshot.json")
    truth, folds = crossed.split.labels.astype(np.int64), crossed.folds
    everything = read_sample(sources.snapshot, sources.splits, len(truth))
    counts = np.bincount(truth, minlength=terms.classes)
    majority = outcome_of(np.tile(counts / counts.sum(), (len(truth), 1)), truth)
    train_examples = int(len(truth) - np.bincount(folds).max())
    found = Baselines({MAJORITY: majority}, "", train_examples, len(truth))
    found.told[MAJORITY] = {"what": "", "bytes": 4 * terms.classes, "examples": len(truth)}
    fits = defaultdict[str, list[Baseline]](list)
    logits = defaultdict[str, np.ndarray](lambda: np.zeros((len(truth), terms.classes)))
    try:
        for fold in np.unique(folds):
            held = folds == fold
            for baseline in _fit(told["task"], everything, truth, held, terms):
                fits[baseline.name].append(baseline)
                logits[baseline.name][held] = np.log(np.maximum(baseline.probabilities, 1e-12))
    except Exception as error:  # whatever a classical model does not like, the evaluation goes on and says so
        failure = f"{type(error).__name__}: {error}"[:500]
        print(f"The baselines of {told['task']} could not be fitted: {failure}", flush=True)
        return Baselines(found.outcomes, failure, train_examples, len(truth), found.told)
    for name, done in fits.items():
        if len(done) == len(np.unique(folds)):
            found.outcomes[name] = outcome_of(cross_calibrated(logits[name], truth, folds), truth)
            found.told[name] = {"what": done[0].what, "bytes": done[0].bytes, "examples": train_examples}
            found.seconds[name] = sum(baseline.seconds for baseline in done)
    return found


def _fit(task: str, everything: Sample, truth: np.ndarray, held: np.ndarray, terms: Terms) -> list[Baseline]:
    """Fits on all examples but those of a fold, which are predicted."""
    train, test = (_inputs(everything, np.flatnonzero(places)) for places in (~held, held))
    nothing = Labelled([[] for _ in everything.inputs], np.zeros(0, np.int64))
    found = list(tasks.get(task).baselines(Labelled(train, truth[~held]), nothing, test, terms))
    for baseline in found:
        if baseline.probabilities.shape != (len(test[0]), terms.classes) or np.isnan(baseline.probabilities).any():
            raise ValueError(f"{baseline.name} gave no probabilities of shape {(len(test[0]), terms.classes)}")
    return found


def _inputs(everything: Sample, places: np.ndarray) -> list[list[Any]]:
    return [[column[place] for place in places.tolist()] for column in everything.inputs]
