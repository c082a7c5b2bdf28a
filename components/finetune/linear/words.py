"""The raw texts of a snapshot, read for what words tell: all of them, or a fair sample that fits into memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix

from components.finetune.linear.classical import Sample, drawn
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.backbones.network import WIDE_IDS, WIDE_WEIGHTS
from components.shared.columns import Columns

MOST_TRAIN, MOST_VALIDATION = 100_000, 20_000
_MOST_CHARACTERS = 100_000_000  # of a sample: long texts must not fill the memory


@dataclass(frozen=True)
class Words(Sample):
    """Raw texts of the training and the validation split: all, or a fair sample that fits into memory.

    Attributes:
        train: For each input the texts of the training examples.
        validation: For each input the texts of the validation examples.
    """

    train: list[list[str]]
    validation: list[list[str]]

    def part(self, places: np.ndarray) -> "Words":
        """Returns some of the training examples, with the same validation examples."""
        kept = {name: getattr(self, name)[places] for name in ("labels", "numbers")}
        return replace(self, **kept, train=self._texts(places), total=len(places))

    def columns(self, maker: Columns, places: np.ndarray) -> csr_matrix:
        """Returns the columns of some of the training examples, float32 [examples, columns]."""
        return maker.columns(self._texts(places))

    def _texts(self, places: np.ndarray) -> list[list[str]]:
        return [[side[place] for place in places.tolist()] for side in self.train]


class WideColumns:
    """The columns of all examples of a split, on the disk: which ones each example has, and what they weigh."""

    def __init__(self, snapshot: Artifact, splits: Sequence[str], maker: Columns, inputs: int, file: Path) -> None:
        """Makes the columns, in bounded memory.

        Args:
            snapshot: Where the examples are, in the features' order.
            splits: Of it, one after the other.
            maker: Makes the columns.
            inputs: How many an example has.
            file: Where they go, with two endings.
        """
        files = [file.with_suffix(ending) for ending in (".ids", ".weights")]
        sizes = [np.zeros(1, np.int64)]
        with files[0].open("wb") as ids, files[1].open("wb") as weights:
            for batch in chain.from_iterable(read_batches(snapshot, split) for split in splits):
                made = maker.columns([batch.column(f"input_{n + 1}").to_pylist() for n in range(inputs)])
                ids.write(made.indices.astype(np.int32).tobytes())
                weights.write(made.data.astype(np.float32).tobytes())
                sizes.append(np.diff(made.indptr).astype(np.int64))
        self._starts = np.cumsum(np.concatenate(sizes))
        shape = (int(self._starts[-1]),)
        none = not shape[0]  # nothing cannot be mapped
        self._ids, self._weights = (
            np.zeros(0, kind) if none else np.memmap(path, kind, "r", shape=shape)
            for path, kind in zip(files, (np.int32, np.float32), strict=True)
        )

    def take(self, indices: np.ndarray) -> Mapping[str, list[np.ndarray]]:
        """Returns the columns of some of the split's examples, a list of arrays for each."""
        cuts = [slice(self._starts[number], self._starts[number + 1]) for number in indices.tolist()]
        return {WIDE_IDS: [self._ids[cut] for cut in cuts], WIDE_WEIGHTS: [self._weights[cut] for cut in cuts]}


def read_words(
    snapshot: Artifact, labels: Sequence[str] | None, seed: int, numbers: np.ndarray | None = None, whole: bool = False
) -> Words:
    """Reads the raw texts of a snapshot in bounded memory.

    Args:
        snapshot: Its examples are in the features' order.
        labels: The classes, in the features' order; None where answers are no classes, and are not read here.
        seed: Of the sample, where there are more than fit.
        numbers: int [examples], which of the training examples are trained on; None: all.
        whole: Whether the examples of all splits, one after the other, are training examples, and none validation.
    """
    splits, held = (SPLITS, ()) if whole else (("train",), ("validation",))
    truth, unseen = (labels_of(snapshot, some, labels) for some in (splits, held))
    given = np.arange(len(truth)) if numbers is None else np.unique(numbers)
    train = _read(snapshot, splits, drawn(given, truth[given], MOST_TRAIN, seed))
    validation = _read(snapshot, held, drawn(np.arange(len(unseen)), unseen, MOST_VALIDATION, seed))
    return Words(
        train=train.texts,
        labels=truth[train.numbers],
        numbers=np.array(train.numbers, np.int64),
        validation=validation.texts,
        truth=unseen[validation.numbers],
        validation_numbers=np.array(validation.numbers, np.int64),
        classes=len(labels or ("",)),
        total=len(given),
    )


@dataclass
class _Read:
    texts: list[list[str]]
    numbers: list[int] = field(default_factory=list)


def labels_of(snapshot: Artifact, splits: Sequence[str], labels: Sequence[str] | None) -> np.ndarray:
    """Returns the classes of the examples of some splits, int64 [examples]; nothing else is read from the disk.

    All are 0 where answers are no classes.
    """
    if labels is None:
        paths = [path for split in splits for path in sorted(snapshot.path.glob(f"{split}-*.parquet"))]
        return np.zeros(sum(pq.read_metadata(path).num_rows for path in paths), np.int64)
    known = pa.array(labels)
    parts = [
        pc.index_in(column, known).to_numpy()
        for split in splits
        for path in sorted(snapshot.path.glob(f"{split}-*.parquet"))
        for column in pq.read_table(path, columns=["label"])["label"].chunks
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def _read(snapshot: Artifact, splits: Sequence[str], wanted: np.ndarray) -> _Read:
    found = _Read([[] for _ in snapshot.read_json("snapshot.json")["inputs"]])
    start = characters = 0
    for batch in chain.from_iterable(read_batches(snapshot, split) for split in splits):
        first, last = np.searchsorted(wanted, [start, start + batch.num_rows])
        places = wanted[first:last] - start
        chosen = batch.take(places.tolist()) if len(places) < batch.num_rows else batch
        for number, side in enumerate(found.texts, 1):
            texts = chosen.column(f"input_{number}").to_pylist()
            side += texts
            characters += sum(map(len, texts))
        found.numbers += wanted[first:last].tolist()
        start += batch.num_rows
        if characters > _MOST_CHARACTERS:
            break
    return found
