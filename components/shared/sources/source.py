"""A source of labelled data: which files it has, and the examples in them, each row checked as its task wants it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.ahead import map_ahead
from components.shared.errors import InputError, quote_all
from components.shared.snapshot import SPLITS
from components.shared.sources.buckets import Buckets, Example, identity
from components.shared.sources.hub import PREFIX, read_hub, revision
from components.shared.sources.images import image_files, read_images
from components.shared.sources.rows import Row, data_files, read_rows
from components.shared.step import option, required
from components.shared.storage import File

_BUCKET_BYTES = 32 << 20
_HUB_BYTES = 4 << 30  # assumed where the size is not known


@dataclass(frozen=True)
class SourceSettings:
    """Where labelled data is and how it is read; fields of `data` in a job."""

    source: str = required("where the data is: a path, s3://bucket/prefix, or hf://owner/name[/config]")
    inputs: list[str] = option([], "the columns that hold the input; empty: as the data's columns tell")
    label: str = option("", "the column that holds the label; empty: as the data's columns tell")
    task: str = option("text-classification", "what is to be learned")
    labels: list[str] = option([], "the labels there may be; empty: all that are found")
    splits: dict[str, str] = option(
        {}, 'which given split is to be which, e.g. {"train": "train", "validation": "test"}'
    )
    slices: list[str] = option([], "the columns whose values evaluation looks at apart")
    max_characters: int = option(100_000, "the longest text that is taken for one")
    max_pixels: int = option(100_000_000, "the largest image, width x height, that is decoded")

    def reading(self) -> dict[str, Any]:
        """Returns what decides which examples a file holds: all but where the data is."""
        names = ("inputs", "label", "task", "labels", "splits", "slices", "max_characters", "max_pixels")
        return {name: getattr(self, name) for name in names}


class Source:
    """Labelled data, ready to be read.

    Attributes:
        task: What is to be learned from it.
        input_types: Of each input column.

    Raises:
        InputError: There is no such task, it takes another number of inputs, or `splits` leads to no split.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self.task = tasks.get(settings.task)
        if len(settings.inputs) not in self.task.input_counts:
            allowed = " or ".join(str(count) for count in self.task.input_counts)
            raise InputError(
                f"{settings.task} takes {allowed} input columns; data.inputs names {len(settings.inputs)}."
            )
        if wrong := set(settings.splits.values()) - set(SPLITS):
            raise InputError(f"data.splits leads to {quote_all(wrong)}; only {quote_all(SPLITS)} are splits.")
        self.binary = self.task.input_type == pa.binary()
        self.input_types = [self.task.input_type] * len(settings.inputs)
        self._limits = tasks.Limits(settings.max_characters, settings.max_pixels)
        self._labels = set(settings.labels)
        self._columns = [*settings.inputs, settings.label, *settings.slices]

    @property
    def is_hub(self) -> bool:
        """Whether it is a dataset on the hub."""
        return self.settings.source.startswith(PREFIX)

    def files(self) -> list[File]:
        """Lists the files that hold data, sorted by name; a hub dataset is one file.

        Raises:
            InputError: There is none, or no access.
            ServiceError: The store did not answer.
        """
        source = self.settings.source
        if self.is_hub:
            return [File(source, source, _HUB_BYTES, revision(source))]
        return image_files(source) if self.binary else data_files(source)

    def buckets(self, files: Sequence[File], folder: Path) -> Buckets:
        """Returns empty buckets in a folder, so many that one bucket of these files' examples fits into memory."""
        packed = () if self.binary else (".gz", ".parquet")
        size = sum(file.size * (4 if file.name.endswith(packed) else 1) for file in files)
        bits = min(8, max(0, (size // _BUCKET_BYTES).bit_length()))
        return Buckets(folder, self.input_types, len(self.settings.slices), bits)

    def examples(self, files: Sequence[File]) -> Iterator[tuple[Row, Example | str]]:
        """Reads files in turn; yields each row with its example, or with why it is none.

        Raises:
            InputError: A file is damaged, or lacks a column.
            ServiceError: The store or the hub did not answer.
        """
        rows = self._rows(files)
        if self.binary:  # files are decoded to be checked, on all cores
            return map_ahead(self._check, rows, os.cpu_count() or 1, self._size)
        return map(self._check, rows)

    def inputs(self, row: Row) -> tuple[Any, ...]:
        """Returns a row's values of the input columns."""
        return tuple(row.values.get(column) for column in self.settings.inputs)

    def _rows(self, files: Sequence[File]) -> Iterator[Row]:
        if not files:
            return iter(())
        settings = self.settings
        if self.is_hub:
            return read_hub(settings.source, self._columns, settings.label, settings.splits)
        return (read_images if self.binary else read_rows)(files, self._columns, settings.splits)

    def _check(self, row: Row) -> tuple[Row, Example | str]:
        inputs = self.inputs(row)
        label = _text(row.values.get(self.settings.label))
        reason = row.fault or self.task.reason_to_reject(inputs, self._limits) or self._fault_of(label)
        if reason or label is None:
            return row, reason or "missing label"
        slices = tuple(_text(row.values.get(column)) for column in self.settings.slices)
        return row, Example(identity(inputs), row.split or "", label, row.place, row.file, inputs, slices)

    def _fault_of(self, label: str | None) -> str | None:
        if label is None:
            return "missing label"
        if self._labels and label not in self._labels:
            return "unknown label"
        is_utf8 = label.encode("utf-8", "replace").decode() == label
        return None if is_utf8 else "invalid UTF-8 in the label"

    def _size(self, row: Row) -> int:
        return sum(len(value) for value in self.inputs(row) if isinstance(value, bytes))


def _text(value: object) -> str | None:
    """Returns a label as text: 1.0 and 1 are "1"; None, NaN and blanks are none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    text = "" if value is None else str(value).strip()
    return text or None
