"""What becomes of a bucket's rows: one of each input is kept, under a class, unless they contradict or it is rare."""

import numpy as np
import pyarrow as pa

from components.ingest.rare import RareClasses
from components.ingest.rejects import Rejects
from components.shared.sources.buckets import Bucket, Example
from components.shared.sources.merging import settle
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
        becomes = [self._becomes(name) for name in names]
        written = (bucket.kept >= 0) & np.array([label is not None for label in becomes], bool)[codes]
        by_row = ~written
        by_row[bucket.odd] = True
        self.duplicates += int((bucket.sizes - 1)[~by_row].sum())
        for number in np.flatnonzero(by_row).tolist():
            kept = settle(bucket.examples(number), self._target, self._set_aside, self._drop)
            if kept is not None and not written[number]:
                cells = self._answers.cells(kept.label)
                self._rejects.add(kept.place, self._rare.reason, kept.inputs, cells, asked_for=True)
        labels = pa.array(
            [None if label is None else self._target.value(label) for label in becomes], self._target.type
        )
        return Settled(bucket, labels, codes, written, slices)

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

    def __init__(self, bucket: Bucket, labels: pa.Array, codes: np.ndarray, written: np.ndarray, slices: int) -> None:
        self.written, self._labels, self._codes, self._bucket = written, labels, codes, bucket
        self._slices = [_slice(bucket, f"slice_{number}") for number in range(1, slices + 1)]
        self._room = bucket.lengths(bucket.starts)

    def ids(self, groups: np.ndarray) -> list[str]:
        """Returns the identities of some groups."""
        ids: list[str] = self._bucket.ids(self._bucket.starts[groups]).to_pylist()
        return ids

    def room(self, groups: np.ndarray) -> np.ndarray:
        """Returns how much room the inputs of some groups take: int64 [groups]."""
        room: np.ndarray = self._room[groups]
        return room

    def read(self, groups: np.ndarray) -> list[pa.Array]:
        """Returns the columns of a shard, of some groups."""
        rows = self._bucket.starts[groups]
        labels = self._labels.take(pa.array(self._codes[groups]))
        slices = (values.take(pa.array(groups)) for values in self._slices)
        return [self._bucket.ids(rows), *self._bucket.inputs(rows), *slices, labels]


def _slice(bucket: Bucket, column: str) -> pa.Array:
    """Returns a slice of each input: where its rows differ, the first in the alphabet, whatever their order was."""
    values = bucket.column(column)
    found = values.take(pa.array(bucket.starts))
    several = np.flatnonzero(bucket.sizes > 1)
    if not len(several):
        return found
    texts = found.to_pylist()
    for number, start in zip(several.tolist(), bucket.starts[several].tolist(), strict=True):
        own = values[start : start + int(bucket.sizes[number])].to_pylist()
        texts[number] = min((value for value in own if value is not None), default=None)
    return pa.array(texts, pa.string())
