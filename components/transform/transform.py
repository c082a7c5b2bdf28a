"""A snapshot into features: what the backbone eats, in Arrow files that training maps into memory."""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.shared import backbones, tasks
from components.shared.artifacts.artifact import Artifact, Draft, open_artifact, write_artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches, spec_of
from components.shared.backbones.panic import TokenizerError
from components.shared.errors import InputError
from components.shared.modalities import Encoder, Encoding, Telling
from components.shared.process.step import Progress, option, required, tell
from components.shared.storage.prefetch import map_ahead
from components.transform.sizes import arguments_for


@dataclass(frozen=True)
class TransformSettings:
    """Settings of `transform`."""

    backbone: str = required(
        "the pretrained network: a path, s3://bucket/prefix, a hub name, timm/NAME or models:/NAME"
    )
    backbone_args: dict[str, Any] = option({}, 'what to build it with, e.g. {"img_size": 128}')
    max_length: int = option(0, "the most tokens of an example; 0: what the backbone takes, at most 512")
    pixel_gib: float = option(64.0, "the most disk, in GiB, for uncompressed pixels; beyond it: JPEG")


@dataclass(frozen=True)
class TransformReport:
    """What `transform` did: the features' digest, examples by split, their mean length, how many were cut.

    Attributes:
        backbone: The one that was asked for; of the registry, by its version.
    """

    digest: str
    backbone: str
    rows: dict[str, int]
    mean_length: float
    at_max_length: int


def transform(snapshot: Path, features: Path, settings: TransformSettings) -> TransformReport:
    """Encodes every example of a snapshot with the backbone's own preprocessing.

    The artifact holds `train.arrow`, `validation.arrow` and `test.arrow` (columns `id`, those of the task's encoder,
    and of its target: of classes `label`, int32 index into the labels), `features.json`, and the encoder's files. The
    snapshot's order is kept. Where windows of long inputs are rows of their own, `example` tells their examples apart.

    Args:
        snapshot: The folder of the snapshot to read.
        features: The folder to write.
        settings: Which backbone, how long an example may be, and how much disk pixels may take.

    Raises:
        InputError: There is no such backbone, it cannot encode such data or an example of it, or the snapshot is
            damaged.
        ServiceError: The hub or the store failed, or the disk is full.
    """
    settings = dataclasses.replace(settings, backbone=backbones.pinned(settings.backbone))
    source = open_artifact(snapshot, "snapshot")
    told = source.read_json("snapshot.json")
    task, total = tasks.get(told["task"], told.get("task_args")), sum(told["rows"].values())
    encoding = Encoding(len(told["inputs"]), total, settings.max_length, settings.pixel_gib, spec_of(told))
    stored = dataclasses.asdict(settings)
    with tempfile.TemporaryDirectory(prefix="graft-transform-") as scratch:
        backbone = backbones.fetch(settings.backbone, Path(scratch), weights=False, args=settings.backbone_args)
        backbone = dataclasses.replace(backbone, args=arguments_for(backbone, source))
        encoder = task.encoder(backbone, encoding)
        with write_artifact(features, "features", stored, source.lineage()) as draft:
            lengths = _encode_splits(source, draft, encoder)
            for sentence in encoder.told() if isinstance(encoder, Telling) else ():
                tell(sentence)
            encoder.save(draft.path)
            draft.write_json("features.json", {**_content(told, encoder), "family": backbone.family})
    return TransformReport(
        digest=draft.digest,
        backbone=settings.backbone,
        rows=told["rows"],
        mean_length=sum(length * count for length, count in lengths.items()) / sum(lengths.values()),
        at_max_length=lengths.get(encoder.max_length, 0),
    )


def _content(told: Mapping[str, Any], encoder: Encoder) -> dict[str, Any]:
    """Returns what `features.json` tells: which columns are fed to a network, learned from, needed to read its outputs.

    What is not as with classes alone is told where it is so: their features are as they were.
    """
    content = {name: told[name] for name in ("task", "inputs", "labels", "rows")}
    content |= {name: told[name] for name in ("task_args", "target") if name in told}
    apart = {"length", "example", *encoder.decoding}
    content["columns"] = [name for name in encoder.schema.names if name not in apart]
    targets = encoder.targets.names
    later = {"targets": targets if targets != ["label"] else [], "decoding": list(encoder.decoding)}
    return content | {name: names for name, names in later.items() if names}


def _encode_splits(source: Artifact, draft: Draft, encoder: Encoder) -> dict[int, int]:
    """Writes the three Arrow files; returns how many rows have which length."""
    counts: dict[int, int] = {}
    rows = source.read_json("snapshot.json")["rows"]
    progress, done = Progress("transform", sum(rows.values())), 0
    schema = pa.schema([("id", pa.string()), *encoder.schema, *encoder.targets])
    for split in SPLITS:
        with pa.OSFile(str(draft.path / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            batches = read_batches(source, split, encoder.row_bytes)
            before = 0
            for examples, batch in _encode_batches(batches, encoder, schema):
                writer.write_batch(_counted_on(batch, before))
                before += examples
                for pair in pc.value_counts(batch.column("length")).to_pylist():
                    counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
                done += examples
                progress.update(done, f"{done:,} of {sum(rows.values()):,} examples")
    return counts


def _encode_batches(
    batches: Iterator[pa.RecordBatch], encoder: Encoder, schema: pa.Schema
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Encodes in threads ahead of the writer, in order; yields how many examples, and their rows."""

    def encode(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
        arrays = _encode(encoder, batch)
        ids = batch.column("id")
        if "example" in encoder.schema.names:
            ids = ids.take(arrays[encoder.schema.get_field_index("example")])
        return batch.num_rows, pa.record_batch([ids, *arrays], schema=schema)

    return map_ahead(encode, batches, encoder.threads, lambda batch: batch.nbytes + batch.num_rows * encoder.row_bytes)


def _counted_on(batch: pa.RecordBatch, before: int) -> pa.RecordBatch:
    """Returns rows whose examples are told by their place in the split, and not in the batch."""
    place = batch.schema.get_field_index("example")
    if place < 0 or not before:
        return batch
    return batch.set_column(
        place, batch.schema.field(place), pc.add(batch.column(place), pa.scalar(before, pa.int32()))
    )


def _encode(encoder: Encoder, batch: pa.RecordBatch) -> list[pa.Array]:
    names = [name for name in batch.schema.names if name.startswith("input_")]
    inputs = [batch.column(name).to_pylist() for name in names]
    try:
        return encoder.encode(inputs, batch.column("label"))
    except ValueError as error:
        for place, id_ in enumerate(batch.column("id").to_pylist()):
            try:
                encoder.encode([column[place : place + 1] for column in inputs], batch.column("label").slice(place, 1))
            except TokenizerError as reason:
                raise InputError(
                    f"Example {id_} of the snapshot cannot be encoded: {reason}. Its rules are at fault: name another "
                    "backbone."
                ) from error
            except ValueError as reason:
                raise InputError(
                    f"Example {id_} of the snapshot cannot be encoded: {reason}. Ingest rejects such data: make the "
                    "snapshot again with this version."
                ) from error
        raise
