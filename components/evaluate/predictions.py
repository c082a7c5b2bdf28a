"""The model's predictions for the test split: written in batches, scored, and the worst mistakes remembered."""

import dataclasses
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.evaluate.examples import add_examples, has_pictures, read_columns, read_rows
from components.shared import backbones
from components.shared.artifact import Artifact
from components.shared.backbones.network import wide_columns
from components.shared.columns import Columns, Predictor
from components.shared.features import FeatureSplit
from components.shared.gradients.look import Look
from components.shared.outcomes import Outcome, join, outcome_of
from components.shared.step import Progress

CHUNK = 8192  # texts at once: the more, the better they can be sorted by length
PICTURE_CHUNK = 512
MISTAKES = 20


@dataclass(frozen=True)
class Mistake:
    """A test example that was predicted wrong; its inputs are texts, or files' bytes."""

    id: str
    inputs: tuple[str | bytes, ...]
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Predictions:
    """What the model made of the test split.

    Attributes:
        outcome: Of all examples.
        mistakes: The most confident ones, most confident first.
        seconds: Of prediction alone.
        device: What it ran on.
        test_digest: Of the examples that were predicted, see `add_examples`.
    """

    outcome: Outcome
    mistakes: list[Mistake]
    seconds: float
    device: str
    test_digest: str


class Classifier:
    """A model with the features of the examples that are scored: gives probabilities for a range of examples."""

    def __init__(self, model: Artifact, features: Artifact, batch_size: int, splits: Sequence[str] = ("test",)) -> None:
        told = model.read_json("model.json")
        self.labels: list[str] = told["labels"]
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
            self.network = self.family.from_model(model.path).to(self.device)
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
        truth = (self.labels[number] for number in self.split.labels[start:stop].tolist())
        add_examples(self.predicted, (self.split[place] for place in range(start, stop)), truth)
        return found


def _trusting(columns: Columns) -> Columns:
    """Returns columns that take pictures of any size: ingest has looked at them."""
    return dataclasses.replace(columns, max_pixels=sys.maxsize) if isinstance(columns, Look) else columns


def predict(classifier: Classifier, snapshot: Artifact, path: Path, progress: Progress, share: float) -> Predictions:
    """Predicts the examples that are scored and writes `predictions.parquet`, in bounded memory.

    Columns: `id`, `input_1`, … (but no pictures), `label`, `predicted` (strings), `confidence` (float),
    `probabilities` (list of float, in the order of the labels).

    Args:
        classifier: The model and the features.
        snapshot: Where the examples' ids and inputs are, in the features' order.
        path: The Parquet file to write.
        progress: Is told how far it is.
        share: How much of the progress' total this is.
    """
    outcomes, worst, done = [], list[tuple[float, int]](), 0
    total = len(classifier.split)
    names = np.array(classifier.labels, dtype=object)
    for outcome in _write(classifier, snapshot, path, names):
        outcomes.append(outcome)
        worst = sorted([*worst, *_worst(outcome, done)])[:MISTAKES]
        done += len(outcome.labels)
        rate = done / max(classifier.seconds, 1e-9)
        progress.update(share * done / total, f"{done:,} of {total:,} examples · {rate:,.0f} examples/s")
    device = torch.cuda.get_device_name() if classifier.device.type == "cuda" else "CPU"
    whole = join(outcomes)
    mistakes = _mistakes(snapshot, classifier.splits, whole, [place for _, place in worst], names)
    return Predictions(whole, mistakes, classifier.seconds, device, classifier.predicted.hexdigest())


def _write(classifier: Classifier, snapshot: Artifact, path: Path, names: np.ndarray) -> Iterator[Outcome]:
    """Predicts chunk by chunk, writes each and yields what is kept of it."""
    pictures = has_pictures(snapshot)
    columns = ["id", "label"] if pictures and classifier.beside is None else None
    rows = PICTURE_CHUNK if pictures else CHUNK
    writer, start = None, 0
    try:
        for batch in read_columns(snapshot, classifier.splits, columns, rows):
            stop = start + batch.num_rows
            raw = [name for name in batch.schema.names if name.startswith("input_")]
            inputs = [batch.column(name).to_pylist() for name in raw] if classifier.beside or not pictures else []
            probabilities = classifier.probabilities(start, stop, inputs)
            outcome = outcome_of(probabilities, classifier.split.labels[start:stop])
            kept = batch.drop_columns(raw) if pictures else batch
            table = _table(kept, probabilities, outcome, names)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            yield outcome
            start = stop
    finally:
        if writer is not None:
            writer.close()


def _table(batch: pa.RecordBatch, probabilities: np.ndarray, outcome: Outcome, names: np.ndarray) -> pa.Table:
    columns: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
    columns["predicted"] = pa.array(names[outcome.predicted], pa.string())
    columns["confidence"] = pa.array(outcome.confidence)
    offsets = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    columns["probabilities"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(probabilities.ravel()))
    return pa.table(columns)


def _worst(outcome: Outcome, start: int) -> list[tuple[float, int]]:
    """Returns the most confident mistakes of a chunk, to be sorted: minus their confidence, and their places."""
    wrong = np.flatnonzero(~outcome.right)
    wrong = wrong[np.argsort(-outcome.confidence[wrong], kind="stable")][:MISTAKES]
    return [(-float(outcome.confidence[place]), start + place) for place in wrong.tolist()]


def _mistakes(
    snapshot: Artifact, splits: Sequence[str], outcome: Outcome, places: list[int], names: np.ndarray
) -> list[Mistake]:
    rows = read_rows(snapshot, splits, places)
    return [
        Mistake(
            id=rows[place]["id"],
            inputs=tuple(value for name, value in rows[place].items() if name.startswith("input_")),
            label=str(names[outcome.labels[place]]),
            predicted=str(names[outcome.predicted[place]]),
            confidence=float(outcome.confidence[place]),
        )
        for place in places
    ]
