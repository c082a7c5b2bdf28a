"""What becomes of a bucket's rows: one of each input is kept, under a class, unless they contradict or it is rare."""

import numpy as np
import pyarrow as pa

from components.ingest.rare import RareClasses
from components.ingest.rejects import Rejects
from components.shared.sources.buckets import Bucket, Example, settle


class Settling:
    """Settles bucket by bucket.

    Args:
        rare: What becomes of rare classes.
        rejects: Takes what is set aside.
    """

    def __init__(self, rare: RareClasses, rejects: Rejects) -> None:
        self._rare, self._rejects = rare, rejects
        self.duplicates = 0

    def settle(self, bucket: Bucket, slices: int) -> "Settled":
        """Returns what is written of a bucket that has so many slices."""
        becomes = [self._rare.label_of(name) for name in bucket.names("label")]
        codes = bucket.numbers("label")[np.maximum(bucket.kept, 0)]
        written = (bucket.kept >= 0) & np.array([label is not None for label in becomes], bool)[codes]
        by_row = ~written
        by_row[bucket.odd] = True
        self.duplicates += int((bucket.sizes - 1)[~by_row].sum())
        for number in np.flatnonzero(by_row).tolist():
            kept = settle(bucket.examples(number), self._set_aside, self._drop)
            if kept is not None and not written[number]:
                reason = self._rare.reason
                self._rejects.add(kept.place, reason, kept.inputs, kept.label, asked_for=True)
        return Settled(bucket, pa.array(becomes, pa.string()), codes, written, slices)

    def _set_aside(self, example: Example, reason: str) -> None:
        self._rejects.add(example.place, reason, example.inputs, example.label)

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
