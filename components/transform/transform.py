"""A snapshot into features: what the backbone eats, in Arrow files that training maps into memory."""

import collections
import dataclasses
import itertools
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.shared import backbones, tasks
from components.shared.artifact import Artifact, Draft, open_artifact, write_artifact
from components.shared.snapshot import SPLITS, read_batches
from components.shared.step import Progress, option, required
from components.shared.tasks import Encoder

_AHEAD = 3  # batches


@dataclass(frozen=True)
class TransformSettings:
    """Settings of `transform`."""

    backbone: str = required("the pretrained network: a path, s3://bucket/prefix, or a hub name")
    max_length: int = option(0, "the most tokens of an example; 0: what the backbone takes, at most 512")


@dataclass(frozen=True)
class TransformReport:
    """What `transform` did: the features' digest, examples by split, their mean length, how many were cut."""

    digest: str
    rows: dict[str, int]
    mean_length: float
    at_max_length: int


def transform(snapshot: Path, features: Path, settings: TransformSettings) -> TransformReport:
    """Encodes every example of a snapshot with the backbone's own preprocessing.

    The artifact holds `train.arrow`, `validation.arrow` and `test.arrow` (columns `id`, those of the task's encoder,
    and `label`, int32 index into the labels), `features.json`, and the encoder's files. The snapshot's order is kept.

    Args:
        snapshot: The folder of the snapshot to read.
        features: The folder to write.
        settings: Which backbone, and how long an example may be.

    Raises:
        InputError: There is no such backbone, it cannot encode such data, or the snapshot is damaged.
        ServiceError: The hub or the store failed, or the disk is full.
    """
    source = open_artifact(snapshot, "snapshot")
    told = source.read_json("snapshot.json")
    stored = dataclasses.asdict(settings)
    with tempfile.TemporaryDirectory(prefix="graft-transform-") as scratch:
        folder = backbones.fetch(settings.backbone, Path(scratch), weights=False)
        encoder = tasks.get(told["task"]).encoder(folder, len(told["inputs"]), settings.max_length)
        with write_artifact(features, "features", stored, source.lineage()) as draft:
            lengths = _encode_splits(source, draft, encoder, told["labels"])
            encoder.save(draft.path)
            content = {name: told[name] for name in ("task", "inputs", "labels", "rows")}
            columns = [name for name in encoder.schema.names if name != "length"]
            draft.write_json("features.json", {**content, "columns": columns, "family": encoder.family})
    total = sum(told["rows"].values())
    return TransformReport(
        digest=draft.digest,
        rows=told["rows"],
        mean_length=sum(length * count for length, count in lengths.items()) / total,
        at_max_length=lengths.get(encoder.max_length, 0),
    )


def _encode_splits(source: Artifact, draft: Draft, encoder: Encoder, labels: list[str]) -> dict[int, int]:
    """Writes the three Arrow files; returns how many examples have which length."""
    counts: dict[int, int] = {}
    rows = source.read_json("snapshot.json")["rows"]
    progress, done = Progress("transform", sum(rows.values())), 0
    schema = pa.schema([("id", pa.string()), *encoder.schema, ("label", pa.int32())])
    for split in SPLITS:
        with pa.OSFile(str(draft.path / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in _encode_batches(read_batches(source, split), encoder, labels, schema):
                writer.write_batch(batch)
                for pair in pc.value_counts(batch.column("length")).to_pylist():
                    counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
                done += batch.num_rows
                progress.update(done, f"{done:,} of {sum(rows.values()):,} examples")
    return counts


def _encode_batches(
    batches: Iterator[pa.RecordBatch], encoder: Encoder, labels: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Encodes on all cores: while the tokenizer's threads are at one batch, Python turns another into Arrow."""

    def encode(batch: pa.RecordBatch) -> pa.RecordBatch:
        names = [name for name in batch.schema.names if name.startswith("input_")]
        arrays = encoder.encode([batch.column(name).to_pylist() for name in names])
        index = pc.index_in(batch.column("label"), pa.array(labels)).cast(pa.int32())
        return pa.record_batch([batch.column("id"), *arrays, index], schema=schema)

    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting = collections.deque(pool.submit(encode, batch) for batch in itertools.islice(batches, _AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(encode, batch) for batch in itertools.islice(batches, 1))
