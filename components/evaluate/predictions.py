"""The model's predictions for the test split: written in batches, scored, and the worst mistakes remembered."""

import dataclasses
import hashlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.evaluate.examples import add_examples, has_pictures, read_columns, read_rows
from components.shared import backbones, tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import spec_of
from components.shared.backbones.network import wide_columns
from components.shared.columns import Columns, Predictor
from components.shared.gradients.look import Look
from components.shared.process.step import Progress
from components.shared.sources.identity import identity
from components.shared.statistics import Statistics, join
from components.shared.tasks.objective import head_class
from components.shared.tasks.scoring import Mistake, Spec

CHUNK = 8192  # texts at once: the more, the better they can be sorted by length
PICTURE_CHUNK = 512
MISTAKES = 20


@dataclass(frozen=True)
class Shown:
    """A mistake with the example's id and its inputs, which are texts, or files' bytes."""

    id: str
    inputs: tuple[str | bytes, ...]
    mistake: Mistake


@dataclass(frozen=True)
class Predictions:
    """What the model made of the test split.

    Attributes:
        statistics: Of all examples.
        mistakes: The worst ones, worst first.
        seconds: Of prediction alone.
        device: What it ran on.
        test_digest: Of the examples that were predicted, see `add_examples`.
        targets: Of the examples, see `Scoring.targets`.
        spec: What is told of answers.
    """

    statistics: Statistics
    mistakes: list[Shown]
    seconds: float
    device: str
    test_digest: str
    targets: np.ndarray
    spec: Spec


class Classifier:
    """A model with the features of the examples that are scored: gives probabilities for a range of examples."""

    def __init__(self, model: Artifact, features: Artifact, batch_size: int, splits: Sequence[str] = ("test",)) -> None:
        told = model.read_json("model.json")
        self.labels: list[str] = told["labels"]
        self.task = tasks.get(told["task"], told.get("task_args"))
        self.spec, self.scoring = spec_of(told), self.task.scoring
        self.splits, self.split = splits, FeatureSplit(features, *splits)
        self.batch_size = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.predictor: Predictor | None = None
        self.beside: Columns | None
        if told["family"] in backbones.WITHOUT_BACKBONE:  # it reads the raw inputs themselves
            self.predictor, self.device = Predictor(model.path), torch.device("cpu")
            self.beside = self.predictor.columns = _trusting(self.predictor.columns)
        else:
            self.family = backbones.family(told["family"])
            head = partial(head_class(told["task"]), spec=self.spec)  # also one of somebody else's
            self.network = self.family.from_model(model.path, head).to(self.device)
            self.padding = self.family.padding_of(model.path)
            self.beside = self.network.beside and _trusting(self.network.beside)
        self.seconds = 0.0
        self.predicted = hashlib.sha256()  # which examples

    def probabilities(self, start: int, stop: int, inputs: Sequence[Sequence[Any]]) -> np.ndarray:
        """Returns float32 [stop - start, classes]. In float32, as the model is served.

        Args:
            start: Of the range.
            stop: Its end.
            inputs: For each input its values in this range, raw: texts or files; nothing, where `beside` is None.
        """
        begun = time.perf_counter()
        if self.predictor is not None:
            found = self.predictor.probabilities(list(zip(*inputs, strict=True)))
        else:
            columns = dict(self.split.take(np.arange(start, stop)))
            if self.beside is not None:
                columns |= wide_columns(self.beside, inputs)
            found = self.family.predict(self.network, columns, self.padding, self.batch_size)
        self.seconds += time.perf_counter() - begun
        return found

    def answers(self, start: int, stop: int, inputs: Sequence[Sequence[Any]]) -> np.ndarray:
        """Returns predictions as the task's scoring takes them, of a range of examples.

        Args:
            start: Of the range.
            stop: Its end.
            inputs: As of `probabilities`; what an answer repeats of them is empty where there are none.
        """
        if self.predictor.head is None if self.predictor is not None else self.network.head.exclusive:
            return self.probabilities(start, stop, inputs)
        begun = time.perf_counter()
        found = self._decoded(start, stop, inputs)
        self.seconds += time.perf_counter() - begun
        return self.scoring.read(found, self.spec)

    def _decoded(self, start: int, stop: int, inputs: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """Returns the columns of the task's prediction, of a range of examples."""
        if self.predictor is not None:
            return self.predictor.predict(list(zip(*inputs, strict=True)))
        first, last = np.searchsorted(self.split.examples, [start, stop])
        rows = np.arange(first, last)
        columns = dict(self.split.take(rows))
        extras: dict[str, Any] = {**self.split.take_lists(rows), "example": self.split.examples[rows] - start}
        if self.beside is not None:
            columns |= wide_columns(self.beside, inputs, extras)
        outputs = self.family.outputs_of(self.network, columns, self.padding, self.batch_size)
        extras["inputs"] = list(zip(*inputs, strict=True)) if inputs else [("",)] * (stop - start)
        found: dict[str, list[Any]] = self.network.head.decode(defaultdict(list, outputs), defaultdict(list, extras))
        return found

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the examples; several rows may be of one."""
        _, firsts = np.unique(self.split.examples, return_index=True)
        return [self.split[int(row)] for row in firsts]


def _trusting(columns: Columns) -> Columns:
    """Returns columns that take pictures of any size: ingest has looked at them."""
    return dataclasses.replace(columns, max_pixels=sys.maxsize) if isinstance(columns, Look) else columns


def predict(classifier: Classifier, snapshot: Artifact, path: Path, progress: Progress, share: float) -> Predictions:
    """Predicts the examples that are scored and writes `predictions.parquet`, in bounded memory.

    Columns: `id`, `input_1`, … (but no pictures), `label`, and those of the task's predictions (`Scoring.columns`).

    Args:
        classifier: The model and the features.
        snapshot: Where the examples' ids and inputs are, in the features' order.
        path: The Parquet file to write.
        progress: Is told how far it is.
        share: How much of the progress' total this is.
    """
    parts, worst, done = [], list[tuple[float, int]](), 0
    total = len(classifier.ids)
    targets = []
    for truth, part in _write(classifier, snapshot, path):
        targets.append(truth)
        parts.append(part)
        worst = sorted([*worst, *_worst(classifier.scoring.worst(part), done)])[:MISTAKES]
        done += len(part)
        rate = done / max(classifier.seconds, 1e-9)
        progress.update(share * done / total, f"{done:,} of {total:,} examples · {rate:,.0f} examples/s")
    device = torch.cuda.get_device_name() if classifier.device.type == "cuda" else "CPU"
    whole = join(parts)
    mistakes = _mistakes(snapshot, classifier, whole, [place for _, place in worst])
    return Predictions(
        whole, mistakes, classifier.seconds, device, classifier.predicted.hexdigest(), np.concatenate(targets),
        classifier.spec,
    )  # fmt: skip


class _Groups:
    """Numbers what examples share that are never parted: they are drawn together.

    Args:
        shared: Which input it is; None: each example is drawn alone.
    """

    def __init__(self, shared: int | None) -> None:
        self._shared = shared
        self._numbers: dict[str, int] = {}

    def told(self, statistics: Statistics, inputs: Sequence[Sequence[Any]]) -> Statistics:
        """Returns statistics with the groups of their examples, by raw inputs: a sequence for each column."""
        if self._shared is None:
            return statistics
        keys = (identity([value]) for value in inputs[self._shared])
        numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in keys]
        return dataclasses.replace(statistics, groups=np.array(numbers, np.int64))


def _write(classifier: Classifier, snapshot: Artifact, path: Path) -> Iterator[tuple[np.ndarray, Statistics]]:
    """Predicts chunk by chunk, writes each and yields its targets, and what is kept of it."""
    pictures = has_pictures(snapshot)
    columns = ["id", "label"] if pictures and classifier.beside is None else None
    rows = PICTURE_CHUNK if pictures else CHUNK
    writer, start, ids = None, 0, classifier.ids
    groups = _Groups(classifier.task.grouped_by)
    try:
        for batch in read_columns(snapshot, classifier.splits, columns, rows):
            stop = start + batch.num_rows
            raw = [name for name in batch.schema.names if name.startswith("input_")]
            inputs = [batch.column(name).to_pylist() for name in raw] if classifier.beside or not pictures else []
            predictions = classifier.answers(start, stop, inputs)
            answers = batch.column("label").to_pylist()
            add_examples(classifier.predicted, ids[start:stop], map(classifier.task.target.text, answers))
            targets = classifier.scoring.targets(answers, classifier.spec)
            statistics = classifier.scoring.score(predictions, targets, classifier.spec)
            kept = batch.drop_columns(raw) if pictures else batch
            told = classifier.scoring.columns(predictions, statistics, classifier.spec)
            table = pa.table({**{name: kept.column(name) for name in kept.schema.names}, **told})
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            yield targets, groups.told(statistics, inputs)
            start = stop
    finally:
        if writer is not None:
            writer.close()


def _worst(badness: np.ndarray, start: int) -> list[tuple[float, int]]:
    """Returns the worst mistakes of a chunk, to be sorted: minus how bad they are, and their places."""
    wrong = np.flatnonzero(~np.isnan(badness))
    wrong = wrong[np.argsort(-badness[wrong], kind="stable")][:MISTAKES]
    return [(-float(badness[place]), start + place) for place in wrong.tolist()]


def _mistakes(snapshot: Artifact, classifier: Classifier, whole: Statistics, places: list[int]) -> list[Shown]:
    rows = read_rows(snapshot, classifier.splits, places)
    return [
        Shown(
            id=rows[place]["id"],
            inputs=tuple(value for name, value in rows[place].items() if name.startswith("input_")),
            mistake=classifier.scoring.view(whole, place, classifier.spec),
        )
        for place in places
    ]
