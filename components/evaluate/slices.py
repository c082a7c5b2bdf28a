"""Parts of the test split that are looked at apart: by a column of the data, or by whether the champion knew them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.evaluate.examples import Splits, read_columns
from components.evaluate.leakage import AGES
from components.shared.artifacts.artifact import Artifact
from components.shared.statistics import Metric, Statistics, score_of

DATA = "data"  # the column that tells what the champion knew
VALUES = 50  # of a column, the largest
MISSING = "(none)"
_ROWS = 8192


@dataclass(frozen=True)
class Slices:
    """The test split parted by one column: the values, and int [examples], which of them each example has."""

    column: str
    values: Sequence[str]
    codes: np.ndarray


def column_slices(snapshot: Artifact, splits: Splits = "test") -> list[Slices]:
    """Returns the slices by each column that the job names (`evaluation.slices`)."""
    names: list[str] = snapshot.read_json("snapshot.json").get("slices", [])
    return [_largest(name, *_read(snapshot, splits, f"slice_{number}")) for number, name in enumerate(names, 1)]


def data_slices(ages: np.ndarray) -> Slices:
    """Returns the slices by what the champion's data held: what it has forgotten shows in the old ones."""
    return Slices(DATA, AGES, ages)


def metric_by(slices: Slices, metric: Metric, champion: Statistics, challenger: Statistics) -> list[dict[str, Any]]:
    """Returns both models' value of a metric on each slice that has examples.

    Args:
        slices: The parts.
        metric: By which they are looked at.
        champion: Its statistics.
        challenger: Likewise, of the same examples.
    """
    order = np.argsort(slices.codes, kind="stable")
    ends = np.cumsum(np.bincount(slices.codes, minlength=len(slices.values)))
    return [
        {
            "column": slices.column,
            "value": value,
            "support": len(places),
            "champion": score_of(metric, champion.take(places)),
            "challenger": score_of(metric, challenger.take(places)),
        }
        for value, places in zip(slices.values, np.split(order, ends[:-1]), strict=True)
        if len(places)
    ]


def _read(snapshot: Artifact, splits: Splits, column: str) -> tuple[list[str], np.ndarray]:
    """Returns a column's distinct values, and which of them each test example has."""
    values, parts = dict[str, int](), [np.zeros(0, np.int64)]
    for batch in read_columns(snapshot, splits, [column], _ROWS):
        encoded = batch.column(column).cast(pa.string()).fill_null(MISSING).dictionary_encode()
        places = [values.setdefault(value, len(values)) for value in encoded.dictionary.to_pylist()]
        parts.append(np.array(places, np.int64)[encoded.indices.to_numpy()])
    return list(values), np.concatenate(parts)


def _largest(column: str, values: Sequence[str], codes: np.ndarray) -> Slices:
    """Keeps the largest slices, largest first; the others are one together."""
    counts = np.bincount(codes, minlength=len(values))
    order = sorted(range(len(values)), key=lambda place: (-counts[place], values[place]))
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    kept = [values[place] for place in order[:VALUES]]
    if len(values) > VALUES:
        kept.append(f"({len(values) - VALUES} other values)")
    return Slices(column, kept, np.minimum(rank[codes], VALUES))
