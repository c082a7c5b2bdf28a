"""Examples on disk, parted by the first bits of their identity: what is the same input is in the same bucket.

So duplicates, contradictions and leaks between splits are found in one bucket at a time, in bounded memory, and the
examples come out sorted by identity: the same content gives the same order, however it was spread over files.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

_BUFFER = 8192  # rows


@dataclass(frozen=True, slots=True)
class Example:
    """A checked example: its identity (hash of the inputs), split, label, inputs and place in the source."""

    id: str
    split: str
    label: str
    inputs: tuple[str, ...]
    place: str


def identity(inputs: Sequence[str]) -> str:
    """Returns the identity of an example, 32 hex digits: blake2b over its inputs and nothing else."""
    digest = hashlib.blake2b(digest_size=16)
    for text in inputs:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


class Buckets:
    """Collects examples in 2^bits files and gives them back bucket by bucket, settled and sorted."""

    def __init__(self, folder: Path, inputs: int, bits: int) -> None:
        self._names = ["id", "split", "label", "place", *(f"input_{n + 1}" for n in range(inputs))]
        self._schema = pa.schema([(name, pa.string()) for name in self._names])
        self._bits = bits
        self._paths = [folder / f"bucket-{number:03d}.arrow" for number in range(1 << bits)]
        self._writers = [pa.ipc.new_stream(str(path), self._schema) for path in self._paths]
        self._waiting: list[list[tuple[str, ...]]] = [[] for _ in self._paths]
        self._count = 0

    def add(self, example: Example) -> None:
        """Adds an example to its bucket."""
        number = int(example.id[:4], 16) >> (16 - self._bits)
        self._waiting[number].append((example.id, example.split, example.label, example.place, *example.inputs))
        self._count += 1
        if self._count % _BUFFER == 0:
            self._flush()

    def settle(self, set_aside: Callable[[Example, str], None], drop: Callable[[], None]) -> Iterator[Example]:
        """Yields every input once, sorted by identity.

        Args:
            set_aside: Called with each example that contradicts another, or leaks into another split, and why.
            drop: Called for each exact duplicate.
        """
        self._flush()
        for writer in self._writers:
            writer.close()
        for path in self._paths:
            examples = self._read(path)
            path.unlink()
            start = 0
            while start < len(examples):
                end = start + 1
                while end < len(examples) and examples[end].id == examples[start].id:
                    end += 1
                if kept := _settle_group(examples[start:end], set_aside, drop):
                    yield kept
                start = end

    def _flush(self) -> None:
        for number, rows in enumerate(self._waiting):
            if rows:
                arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
                self._writers[number].write_batch(pa.record_batch(arrays, schema=self._schema))
                rows.clear()

    def _read(self, path: Path) -> list[Example]:
        with pa.ipc.open_stream(str(path)) as reader:
            columns = [column.to_pylist() for column in reader.read_all().columns]
        rows = zip(*columns, strict=True)
        examples = [Example(id_, split, label, tuple(inputs), place) for id_, split, label, place, *inputs in rows]
        # The place decides between exact duplicates, and only there: it is no part of what is kept.
        return sorted(examples, key=lambda example: example.id)


_PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}


def _settle_group(
    group: Sequence[Example], set_aside: Callable[[Example, str], None], drop: Callable[[], None]
) -> Example | None:
    """Settles all examples of one input: keeps one in the split that has precedence, or none if labels differ."""
    if len({example.label for example in group}) > 1:
        for example in group:
            set_aside(example, "same input with different labels")
        return None
    kept = min(group, key=lambda example: _PRECEDENCE[example.split])
    for example in group:
        if example.split != kept.split:
            set_aside(example, f"input stands in the {kept.split} split too")
        elif example is not kept:
            drop()
    return kept
