"""Cross-validation where examples are few: each fold is predicted by a model of the others, the last model is of all.

What was chosen (terms, view, penalty, learning rate, epochs) is repeated on other examples and not chosen anew: so the
examples that it was chosen on, the validation split, are predicted a little too well; all the others are not.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.finetune.learning import parallel
from components.finetune.learning.examples import Examples
from components.finetune.learning.learners import Direct, logits_of
from components.finetune.linear import alone
from components.finetune.linear.classical import ClassicalFit
from components.finetune.linear.raw import Raw
from components.finetune.linear.wide import carriers, classes_of
from components.finetune.settings import ALONE, FinetuneSettings
from components.finetune.study import Study, Trained
from components.shared.artifacts.artifact import Artifact, Draft, open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import CROSSED, SPLITS, TRAINED_ON, read_folds
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.linear import cross_calibrated
from components.shared.tasks.objective import head_class

_NO_END = 1_000_000  # epochs: nothing ends a training that has no validation


@dataclass(frozen=True)
class Folds:
    """All examples of a snapshot, in the order of its splits.

    Attributes:
        ids: Of the examples.
        labels: int64 [examples], their classes.
        numbers: int64 [examples], the fold of each.
    """

    ids: list[str]
    labels: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def all(self) -> np.ndarray:
        """The places of all examples."""
        return np.arange(len(self))


def folds_of(features: Artifact, snapshot: Path | None, settings: FinetuneSettings) -> tuple[Folds | None, str]:
    """Returns the folds that a snapshot asks for, or None; and where it asks in vain, why.

    Raises:
        InputError: The features were made from another snapshot.
    """
    if snapshot is None:
        return None, ""
    source = open_artifact(snapshot, "snapshot")
    if (made_from := features.inputs.get("snapshot", "nothing")) != source.digest:
        raise InputError(
            f"The features at {features.path} were made from snapshot {made_from[:12]}, but the one at {source.path} "
            f"is {source.digest[:12]}. Name the snapshot that they were made from."
        )
    found = read_folds(source)
    if not found:
        return None, ""
    if not head_class(features.read_json("features.json")["task"]).exclusive:
        return None, "of this task there is none"
    if settings.transfer_check or settings.learning_curve:
        return None, "evaluation.transfer_check and evaluation.learning_curve measure on the test split"
    if settings.known and settings.replay < 1:
        return None, "retrain.replay leaves old examples out"
    split = FeatureSplit(features, *SPLITS)
    numbers = np.array([found[id_] for id_ in split.ids], np.int64)
    return Folds(split.ids, split.labels.astype(np.int64), numbers), ""


class Refits(Protocol):
    """Repeats what was chosen on other examples."""

    def fit(self, numbers: np.ndarray) -> Any:
        """Returns a model of some of all examples."""

    def logits(self, model: Any, numbers: np.ndarray) -> np.ndarray:
        """Returns what such a model makes of some of all examples, float32 [examples, classes]."""

    def put(self, model: Any, trained: Trained) -> None:
        """Makes such a model the one that was trained."""


class ClassicalRefits:
    """Repeats a model of the words, or of the gradients, alone."""

    def __init__(self, raw: Raw, like: ClassicalFit, folds: Folds) -> None:
        self.raw, self.like = raw, like
        self.sample = dataclasses.replace(raw, whole=True).sample(folds.all)

    def fit(self, numbers: np.ndarray) -> ClassicalFit:
        """Returns the model of some examples, of texts with their own vocabulary.

        Raises:
            InputError: They hold no word that could tell anything.
        """
        found = self.raw.fit(self.sample.part(numbers), self.raw.seed, like=self.like)
        if found is None:
            raise alone.no_words()
        return found

    def logits(self, model: ClassicalFit, numbers: np.ndarray) -> np.ndarray:
        """Returns what such a model makes of some examples, float32 [examples, classes]."""
        return model.linear.logits(self.sample.columns(model.maker, numbers))

    def put(self, model: ClassicalFit, trained: Trained) -> None:
        """Makes such a model the one that was trained."""
        trained.network, before = alone.model_of(model), trained.carriers or {}
        trained.carriers = carriers(model.maker, model.linear.weight, self.raw.labels, model, before.get("sides", {}))
        trained.carriers |= {name: before[name] for name in ("alone", "tried") if name in before}


class NetworkRefits:
    """Repeats a head on a frozen backbone, or a training: with the chosen settings, for the epochs that were best."""

    def __init__(self, study: Study, trained: Trained, everything: Examples, scratch: Path, columns: Path) -> None:
        """Prepares them.

        Args:
            study: That the model comes from.
            trained: The model as it was chosen.
            everything: All examples, in the order of the splits.
            scratch: A folder for what frozen parts make of them, of all processes that train together.
            columns: A folder for columns, of this process alone.
        """
        self.study, self.trained, self.everything, self.scratch = study, trained, everything, scratch
        self._states = {"train": dict[int, Any](), "validation": dict[int, Any]()}
        self._states["validation"] = self._states["train"]  # of the same examples
        self._raw = study.raw and dataclasses.replace(study.raw, whole=True, scratch=columns)

    def fit(self, numbers: np.ndarray) -> tuple[Study, Trained]:
        """Returns the model of some examples, with the study that it comes from."""
        study, like = self._study(numbers), self.trained
        if like.strategy == "probe":
            study.prepare(["probe"])
            joint = study.heads.joint if like.probe is None else None
            return study, study.probed(joint or study.heads.probe, silent=True)
        assert like.settings is not None, "it learned by some"
        settings = dataclasses.replace(like.settings, epochs=max(1, like.history.best_epoch), patience=_NO_END)
        study.prepare(["probe", like.strategy] if like.from_probe else [like.strategy])
        trial = study.trial(like.strategy, settings, like.from_probe)
        trial.run()
        trained = study.finish(trial)
        return study, study.fused_by(trained, like.fusion) if like.fusion else trained

    def logits(self, model: tuple[Study, Trained], numbers: np.ndarray) -> np.ndarray:
        """Returns what such a model makes of some examples, float32 [examples, classes]."""
        study, network = model[0], model[1].network
        assert isinstance(network, Network), "a network was trained"
        examples = dataclasses.replace(self.everything, numbers=numbers)
        learner = Direct(study.with_columns(examples, "train", network))
        return logits_of(network, learner, 2 * self.study.settings.batch_size, study.autocast)

    def put(self, model: tuple[Study, Trained], trained: Trained) -> None:
        """Makes such a model the one that was trained."""
        trained.network, network = model[1].network, model[1].network
        if trained.carriers and isinstance(network, Network) and network.wide is not None:
            weights, maker = network.wide.weight.detach().cpu().numpy().T, network.beside
            assert maker is not None, "it has a branch"
            labels = self.study.raw.labels if self.study.raw else []
            trained.carriers = {**trained.carriers, **classes_of(maker, weights, labels), "columns": maker.width}

    def _study(self, numbers: np.ndarray) -> Study:
        augment = self.study.train.augment
        self.scratch.mkdir(parents=True, exist_ok=True)
        return dataclasses.replace(
            self.study,
            train=dataclasses.replace(self.everything, numbers=numbers, augment=augment),
            validation=dataclasses.replace(self.everything, numbers=numbers[:0]),
            raw=self._raw,
            like=self.study.heads,
            states=self._states,
            scratch=self.scratch,
            listener=lambda *_: None,
            tell=lambda _: None,
            attached=False,
        )


@dataclass(frozen=True)
class Crossed:
    """What came of a cross-validation.

    Attributes:
        folds: Of the examples.
        logits: float32 [examples, classes], of each example by the model that has not seen it.
        seconds: Of all fits.
    """

    folds: Folds
    logits: np.ndarray
    seconds: float

    @property
    def probabilities(self) -> np.ndarray:
        """float32 [examples, classes]: of each fold with the temperature that fits the others."""
        return cross_calibrated(self.logits, self.folds.labels, self.folds.numbers)

    def write(self, file: Path, labels: list[str]) -> None:
        """Writes `folds.parquet`: `id`, `label`, `fold` and `probabilities` of all examples."""
        names = [labels[number] for number in self.folds.labels.tolist()]
        columns = {"id": self.folds.ids, "label": names, "fold": pa.array(self.folds.numbers, pa.int8())}
        probabilities = pa.array(list(self.probabilities), pa.list_(pa.float32()))
        file.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({**columns, "probabilities": probabilities}), file)

    def told(self) -> dict[str, Any]:
        """Returns what the history tells of it."""
        return {"folds": len(np.unique(self.folds.numbers)), "examples": len(self.folds), "seconds": self.seconds}


def cross_validate(refits: Refits, folds: Folds, classes: int) -> Crossed:
    """Predicts each fold by a model of the others."""
    began, logits = time.perf_counter(), np.zeros((len(folds), classes), np.float32)
    for fold in np.unique(folds.numbers):
        held = np.flatnonzero(folds.numbers == fold)
        logits[held] = refits.logits(refits.fit(np.flatnonzero(folds.numbers != fold)), held)
    return Crossed(folds, logits, time.perf_counter() - began)


def finish(refits: Refits, folds: Folds, classes: int, trained: Trained, tell: Callable[[str], None]) -> Crossed:
    """Measures a model by cross-validation, and makes it one of all examples.

    Args:
        refits: Repeats what was chosen.
        folds: Of all examples.
        classes: How many there are.
        trained: The model as it was chosen; becomes the last one.
        tell: Is told a line.
    """
    found = cross_validate(refits, folds, classes)
    right = int((found.logits.argmax(1) == folds.labels).sum())
    refits.put(refits.fit(folds.all), trained)
    tell(
        f"cross-validation: {right} of {len(folds)} examples are right, each predicted by a model of the other folds; "
        f"the model that is kept is trained on all, in {found.seconds:.1f} s"
    )
    return found


def save_crossed(crossed: Crossed | None, draft: Draft, labels: list[str]) -> dict[str, Any]:
    """Writes the predictions of a cross-validation, where there was one; returns what `model.json` tells of it."""
    if crossed is None:
        return {}
    crossed.write(draft.path / CROSSED, labels)
    return {TRAINED_ON: list(SPLITS)}


def too_long(trained: Trained, folds: Folds, examples: int, minutes: float) -> str:
    """Returns why a training is not repeated on every fold: "" where it is.

    Args:
        trained: As it was chosen.
        folds: Of all examples.
        examples: That it was chosen on.
        minutes: That all trainings may take.
    """
    history = trained.history
    if trained.strategy in (*ALONE, "probe") or not history.epochs:
        return ""
    once = history.seconds * history.best_epoch / len(history.epochs) * len(folds) / max(examples, 1)
    needed = parallel.group().agree(once * len(np.unique(folds.numbers)) / 60)
    if needed <= minutes:
        return ""
    return f"it would take {needed:.0f} minutes, and {minutes:g} are given (training.minutes)"
