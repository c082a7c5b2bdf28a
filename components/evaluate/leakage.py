"""What the champion's data held of today's test examples: the inventory of its snapshot, read in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.evaluate.examples import Splits, read_columns, task_of
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.inventory import trained_on

OLD, CHANGED, NEW = "old", "changed", "new"
AGES = [OLD, CHANGED, NEW]
ROWS = "rows.parquet"
_ROWS = 65_536


@dataclass(frozen=True)
class Known:
    """What the champion's data held of today's test examples.

    Attributes:
        ages: int [examples], into `AGES`: its data held it as it is, with another label, or not (or with several
            labels, so that it was set aside).
        learned: bool [examples], which ones it has certainly learned from, or was chosen on: its data gave them for
            another split.
    """

    ages: np.ndarray
    learned: np.ndarray

    @property
    def seen(self) -> int:
        """How many examples it has certainly learned from."""
        return int(self.learned.sum())


def known_examples(snapshot: Artifact, inventory: Path, scored: Splits = "test") -> Known:
    """Looks today's test examples up in the champion's inventory.

    The inventory tells the split that each was dealt to. The first ones tell only the split that a row was given for:
    where their data gave no test split, test examples were drawn by the same hash as today's, so that the champion has
    not seen them unless the fractions were changed; of other splits it may have seen all that its data held. What
    cannot be read of an inventory is not told.

    Args:
        snapshot: Today's data.
        inventory: The folder of the champion's.
        scored: Which of today's splits are looked up.
    """
    everything, rare = trained_on(inventory), snapshot.read_json("snapshot.json").get("rare_classes", {})
    merged = dict.fromkeys(rare["classes"], rare["into"]) if rare.get("into") else {}
    ids, labels = _examples(snapshot, scored)
    order = np.argsort(ids)
    same, other, trained, validated, tested = (np.zeros(len(ids), bool) for _ in range(5))
    gives_test = False
    with pq.ParquetFile(inventory / ROWS) as file:
        dealt = "dealt" in file.schema_arrow.names
        split = "dealt" if dealt else "split"
        for batch in file.iter_batches(_ROWS, columns=["id", split, "label"]):
            rows, places = _matches(ids, order, _ids(batch.column("id").to_pylist()))
            found = batch.take(rows)
            today = [merged.get(label, label) for label in found.column("label").to_pylist()]
            alike = np.array(today, object) == labels[places]
            same[places[alike]] = other[places[~alike]] = True
            splits = np.array(found.column(split).to_pylist(), object)
            learned = everything if dealt else ("train", "")
            tests = () if "test" in learned else ("test",)
            for flags, names in ((trained, learned), (validated, ("validation",)), (tested, tests)):
                flags[places[np.isin(splits, names)]] = True
            gives_test = gives_test or dealt or "test" in batch.column(split).unique().to_pylist()
    ages = np.select([same & ~other, other & ~same], [0, 1], 2)
    seen = (validated | (trained & gives_test)) & ~tested & (ages < 2)
    if scored != "test" and not dealt:
        seen = (same | other) & ~tested
    return Known(ages, seen)


def _examples(snapshot: Artifact, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids, 32 bytes each, and labels, one object for each distinct one."""
    target = task_of(snapshot).target
    ids, labels, names = [_ids([])], [np.zeros(0, object)], dict[str, str]()
    for batch in read_columns(snapshot, splits, ["id", "label"], _ROWS):
        ids.append(_ids(batch.column("id").to_pylist()))
        texts = (target.text(label) for label in batch.column("label").to_pylist())
        told = [target.told(text) if target.private else text for text in texts]
        labels.append(np.array([names.setdefault(label, label) for label in told], object))
    return np.concatenate(ids), np.concatenate(labels)


def _ids(texts: Sequence[str]) -> np.ndarray:
    return np.array(texts, dtype="S32")


def _matches(ids: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which of the wanted ids are there, and the places of these."""
    places = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = np.flatnonzero(ids[order[places]] == wanted)
    return rows, order[places[rows]]
