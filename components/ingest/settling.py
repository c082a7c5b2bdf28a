"""What becomes of a bucket's rows: one of each input is kept, under a class, unless they contradict or it is rare."""

import numpy as np
import pyarrow as pa

from components.ingest.rare import RareClasses
from components.ingest.rejects import Rejects
from components.shared.sources.buckets import Bucket, Example, settle
from components.shared.tasks.target import AnswerReader, Target


class Settling:
    """Settles bucket by bucket.

    Args:
        rare: What becomes of rare classes.
        rejects: Takes what is set aside.
        target: What labels are.
        answers: How they were read.
    """

    def __init__(self, rare: RareClasses, rejects: Rejects, target: Target, answers: AnswerReader) -> None:
        self._rare, self._rejects, self._target, self._answers = rare, rejects, target, answers
        self.duplicates = 0

    def settle(self, bucket: Bucket, slices: int) -> "Settled":
        """Returns what is written of a bucket that has so many slices."""
        codes, names = bucket.labels()
        becomes = np.array([self._becomes(name) for name in names], object)
        labels: np.ndarray = np.where(bucket.kept >= 0, becomes[codes], np.array(None))
        written = np.array([label is not None for label in labels.tolist()], bool)
        by_row = ~written
        by_row[bucket.odd] = True
        self.duplicates += int((bucket.sizes - 1)[~by_row].sum())
        for number in np.flatnonzero(by_row).tolist():
            kept = settle(bucket.examples(number), self._target, self._set_aside, self._drop)
            if kept is not None and not written[number]:
                cells = self._answers.cells(kept.label)
                self._rejects.add(kept.place, self._rare.reason, kept.inputs, cells, asked_for=True)
        return Settled(bucket, labels, written, slices, self._target)

    def _becomes(self, label: str) -> str | None:
        return self._target.rename(label, self._rare.label_of) if self._target.named else label

    def _set_aside(self, example: Example, reason: str) -> None:
        self._rejects.add(example.place, reason, example.inputs, self._answers.cells(example.label))

    def _drop(self, _: Example) -> None:
        self.duplicates += 1


class Settled:
    """What is written of a bucket.

    Attributes:
        written: bool [groups], of which groups an example is.
    """

    def __init__(self, bucket: Bucket, labels: np.ndarray, written: np.ndarray, slices: int, target: Target) -> None:
        self.written, self._labels, self._bucket, self._target = written, labels, bucket, target
        self._slices = [_slice(bucket, f"slice_{number}") for number in range(1, slices + 1)]
        self._room = bucket.room()

    def ids(self, groups: np.ndarray) -> list[str]:
        """Returns the identities of some groups."""
        ids: list[str] = self._bucket.column("id").take(pa.array(self._bucket.starts[groups])).to_pylist()
        return ids

    def room(self, groups: np.ndarray) -> np.ndarray:
        """Returns how much room the inputs of some groups take: int64 [groups]."""
        room: np.ndarray = self._room[self._bucket.starts[groups]]
        return room

    def read(self, groups: np.ndarray) -> list[pa.Array]:
        """Returns the columns of a shard, of some groups."""
        rows = self._bucket.starts[groups]
        ids, inputs = self._bucket.column("id").take(pa.array(rows)), self._bucket.inputs(rows)
        slices = [pa.array(values[groups], pa.string()) for values in self._slices]
        labels = pa.array([self._target.value(label) for label in self._labels[groups].tolist()], self._target.type)
        return [ids, *inputs, *slices, labels]


def _slice(bucket: Bucket, column: str) -> np.ndarray:
    """Returns a slice of each input: where its rows differ, the first in the alphabet, whatever their order was."""
    values = bucket.column(column).to_pylist()
    ends = zip(bucket.starts.tolist(), (bucket.starts + bucket.sizes).tolist(), strict=True)
    found = [min((value for value in values[start:end] if value is not None), default=None) for start, end in ends]
    return np.array(found, object)
