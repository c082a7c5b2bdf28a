"""Reading a snapshot: its examples, split by split, in batches; and the folds of one that is small.

`snapshot.json` says under `evaluation` how a model of it is to be measured:

- "holdout": train on `train`, choose on `validation`, measure on `test`.
- "cross-validation": so few examples that a test split tells nothing. The three splits are there and work as ever, so
  that a step that knows no better can use them. One that does measures on the folds of `read_folds`, each predicted by
  a model of the others (groups, near-duplicates and classes are minded in them), and trains the model that is delivered
  on all three splits. It then writes `"trained_on": ["train", "validation", "test"]` into the `inventory.json` that it
  hands on, so that no later test split holds what the model has seen.

A model that was measured by cross-validation says `"trained_on": ["train", "validation", "test"]` in its `model.json`,
and holds in `CROSSED` what models of the other folds make of each example: `id`, `label`, `fold`, `probabilities`. A
model that says nothing learned from `train`, whatever its snapshot asks for.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.artifacts.artifact import Artifact, Draft

SPLITS = ("train", "validation", "test")
FOLDS = "folds.parquet"
CROSSED, TRAINED_ON = "notes/folds.parquet", "trained_on"
COUNTS = "notes/counts.json"
HOLDOUT, CROSS_VALIDATION = "holdout", "cross-validation"

_BATCH_ROWS, _BATCH_BYTES = 4096, 2 << 20
_BUFFER = 1 << 20
_DRAW = hashlib.blake2b(digest_size=8, person=b"split")


def draw_of(identity: str) -> float:
    """Returns the number by which an example, or a group of them, is dealt: 0 to 1, out of its identity alone."""
    digest = _DRAW.copy()  # twice as fast as to begin anew
    digest.update(identity.encode())
    return int.from_bytes(digest.digest()) / 2**64


def spec_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is told of answers: `labels`, and what else a task's target needs to make and read them.

    Args:
        told: Content of `snapshot.json` or `features.json`.
    """
    return {"labels": told["labels"], **told.get("target", {})}


def draws_of(identities: Sequence[bytes]) -> np.ndarray:
    """Returns the numbers of many, as `draw_of` does of each, by their hex digits: float64 [identities]."""
    begin, digests = _DRAW.copy, []
    for one in identities:
        digest = begin()
        digest.update(one)
        digests.append(digest.digest())
    drawn: np.ndarray = np.frombuffer(b"".join(digests), ">u8") / 2**64
    return drawn


def read_folds(snapshot: Artifact) -> dict[str, int]:
    """Returns the fold of each example, by id, of all splits: 0 to 4. Empty where no cross-validation is asked for."""
    if FOLDS not in snapshot.files:
        return {}
    table = pq.read_table(snapshot.file(FOLDS))
    return dict(zip(table["id"].to_pylist(), table["fold"].to_pylist(), strict=True))


def accounting_of(artifact: Artifact) -> dict[str, int]:
    """Returns what became of the rows that were read: `read` = `kept` + `duplicates` + `unlabelled` + `rejected`.

    Args:
        artifact: A snapshot, or an evaluation of it.
    """
    if COUNTS not in artifact.files:
        return {}
    told = artifact.read_json(COUNTS)
    told["rejected"] = sum(told["rejected"].values())
    return {name: told[name] for name in ("read", "kept", "duplicates", "unlabelled", "rejected") if name in told}


def read_batches(snapshot: Artifact | Draft, split: str, row_bytes: int = 0) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a split in the snapshot's order, in bounded memory.

    Args:
        snapshot: The artifact, or one whose shards are written.
        split: One of `SPLITS`.
        row_bytes: What will be made of an example, if that is more than it holds: batches of larger ones hold fewer.

    Yields:
        Columns `id`, `input_1`, …, `label`: strings, but for inputs that are files (binary), and for labels that are
        none of one class (`components.shared.tasks.target`).
    """
    for path in sorted(snapshot.path.glob(f"{split}-*.parquet")):
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            metadata = file.metadata
            held = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
            each = max(held // max(metadata.num_rows, 1), row_bytes, 1)
            yield from file.iter_batches(batch_size=max(1, min(_BATCH_ROWS, _BATCH_BYTES // each)))
