"""A source of labelled data: which files it has, and the examples in them, each row checked as its task wants it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.ahead import cores, map_ahead
from components.shared.backbones.pixels import decoded_bytes
from components.shared.errors import InputError, quote_all
from components.shared.modalities import Limits
from components.shared.snapshot import SPLITS
from components.shared.sources.buckets import Buckets, Example, identity
from components.shared.sources.checked import Checked, gathered
from components.shared.sources.columns import check_columns
from components.shared.sources.hub import PREFIX, read_hub, revision
from components.shared.sources.images import Pictures, find_images
from components.shared.sources.labels import LONGEST, LabelReader, text_of
from components.shared.sources.layout import Layout
from components.shared.sources.listing import list_source, sources_of
from components.shared.sources.packed import ARCHIVES, SUFFIXES
from components.shared.sources.paths import ImageTable
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Part, Row, given_split, read_parts, refuse_mixed, sort_out
from components.shared.sources.sql import check_sql, is_sql, read_sql, sql_file
from components.shared.sources.times import time_of
from components.shared.sources.trees import COLUMNS, read_archives, read_tree
from components.shared.step import option, required
from components.shared.storage import File

_BUCKET_BYTES = 16 << 20
_HUB_BYTES = 4 << 30  # assumed where the size is not known


@dataclass(frozen=True)
class SourceSettings:
    """Where labelled data is and how it is read; fields of `data` in a job."""

    source: str = required(
        "where the data is: a path, s3://bucket/prefix, hf://owner/name[/config], a pattern or a JSON array of such"
    )
    inputs: list[str] = option([], "the columns that hold the input; empty: as the data's columns tell")
    label: str = option("", "the column that holds the label; empty: as the data's columns tell")
    task: str = option("text-classification", "what is to be learned")
    labels: list[str] = option([], "the labels there may be; empty: all that are found")
    splits: dict[str, str] = option(
        {}, 'which given split is to be which, e.g. {"train": "train", "validation": "test"}'
    )
    label_codes: dict[str, str] = option({}, 'which label a code in the data stands for, e.g. {"1": "spam"}')
    normalize_labels: bool = option(False, "take labels that differ in case, blanks or Unicode form for one")
    group: str = option("", "the column that says whose an example is (a user, a document): never parted")
    time: str = option("", "the column that says when an example was made: the newest are the test")
    slices: list[str] = option([], "the columns whose values evaluation looks at apart")
    encoding: str = option("", "the encoding of text files, such as cp1252; empty: what their bytes speak for")
    delimiter: str = option("", "what parts the fields of CSV files; empty: what their first lines show")
    sheet: str = option("", "the sheet of an Excel workbook; empty: the first")
    class_level: int = option(
        0, "which folder below the split is the class, -1 a file's own; 0: the first that differs"
    )
    query: str = option("", "what a database is asked for, where the source is one (postgresql://…, sqlite:///…)")
    max_characters: int = option(100_000, "the longest text that is taken for one")
    max_pixels: int = option(100_000_000, "the largest image, width x height, that is decoded")

    def reading(self) -> dict[str, Any]:
        """Returns what decides which examples a file holds: all but where the data is.

        What was not there in the first inventories is left out where it is at its default: they are as good as new.
        """
        names = ("inputs", "label", "task", "labels", "splits", "slices", "max_characters", "max_pixels")
        later = (
            *("encoding", "delimiter", "sheet", "class_level", "query"),
            *("label_codes", "normalize_labels", "group", "time"),
        )
        told = {name: getattr(self, name) for name in names}
        return told | {name: value for name in later if (value := getattr(self, name))}

    def label_reader(self) -> LabelReader:
        """Returns what makes labels of values."""
        return LabelReader(self.label, self.task, self.labels, self.label_codes, self.normalize_labels)


class Source:
    """Labelled data, ready to be read.

    Attributes:
        task: What is to be learned from it.
        input_types: Of each input column.
        told: Sentences on how files are read and which are left out; more come as files are read.

    Raises:
        InputError: There is no such task, it takes another number of inputs, `splits` leads to no split, or the source
            is a database without query, or with a password.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self.told: list[str] = []
        self._pictures: Pictures | None = None
        self._dialect = Dialect(settings.encoding, settings.delimiter, settings.sheet)
        _check_address(settings)
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
        self._limits = Limits(settings.max_characters, settings.max_pixels)
        self._label = settings.label_reader()
        told = [column for column in (settings.group, settings.time) if column]
        self._columns = list(dict.fromkeys([*settings.inputs, settings.label, *settings.slices, *told]))
        self._kind_of_time = ""

    @property
    def is_hub(self) -> bool:
        """Whether it is a dataset on the hub."""
        return self.settings.source.startswith(PREFIX)

    def files(self) -> list[File]:
        """Lists the files that hold data, sorted by name; a hub dataset, or a query of a database, is one file.

        Raises:
            InputError: There is none, or no access.
            ServiceError: The store did not answer.
        """
        source = self.settings.source
        if self.is_hub:
            return [File(source, source, _HUB_BYTES, revision(source))]
        if self.is_sql:
            return [sql_file(source)]
        listed = list_source(source)
        if self.binary:
            asked = Layout(self.settings.class_level, self.settings.splits)
            self._pictures = find_images(source, listed, asked, self._tell)
            return self._pictures.files
        files = sort_out(source, listed, self._tell)
        if not any(file.name.lower().endswith(ARCHIVES) for file in files):
            refuse_mixed(source, {file.name: given_split(file.name, self.settings.splits) for file in files})
        return files

    @property
    def is_sql(self) -> bool:
        """Whether it is a query of a database."""
        return is_sql(self.settings.source)

    def buckets(self, files: Sequence[File], folder: Path) -> Buckets:
        """Returns empty buckets in a folder, so many that one bucket of these files' examples fits into memory."""
        packed = () if self.binary else (".parquet", ".xlsx", *ARCHIVES, *SUFFIXES)
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
            return map_ahead(self._check, rows, cores(), self._size)
        return map(self._check, rows)

    def checked(self, files: Sequence[File]) -> Iterator[Checked]:
        """Reads files in turn, as `examples` does, many rows at once."""
        asked = self.settings.slices or self.settings.group or self.settings.time
        if self.binary or self.is_hub or self.is_sql or asked or not files:
            return gathered(self.examples(files))
        return map(self._check_part, self._parts(files))

    def inputs(self, row: Row) -> tuple[Any, ...]:
        """Returns a row's values of the input columns."""
        return tuple(row.values.get(column) for column in self.settings.inputs)

    def _rows(self, files: Sequence[File]) -> Iterator[Row]:
        if not files:
            return iter(())
        settings = self.settings
        if self.is_hub:
            return read_hub(settings.source, self._columns, settings.label, settings.splits)
        if self.is_sql:
            return read_sql(settings.source, settings.query, self._columns)
        return self._images(files) if self.binary else self._tables(files)

    def _tables(self, files: Sequence[File]) -> Iterator[Row]:
        return itertools.chain.from_iterable(part.rows() for part in self._parts(files))

    def _parts(self, files: Sequence[File]) -> Iterator[Part]:
        return read_parts(files, self._columns, self.settings.splits, self._dialect, self._tell)

    def _images(self, files: Sequence[File]) -> Iterator[Row]:
        settings = self.settings
        if self._pictures is None:
            self.files()
        pictures = self._pictures
        assert pictures is not None, "the source was listed"
        if pictures.kind == "tables":
            table = ImageTable(files, pictures.images)
            return table.rows(settings.inputs[0], self._columns, settings.splits, self._dialect)
        check_columns("A tree of image files", COLUMNS, self._columns)
        if pictures.kind == "archives":
            return read_archives(files, pictures.layout, settings.label)
        return read_tree(files, pictures.layout)

    def _tell(self, sentence: str) -> None:
        """Keeps what was found out, each thing once."""
        if sentence not in self.told:
            self.told.append(sentence)

    def _check(self, row: Row) -> tuple[Row, Example | str]:
        inputs = self.inputs(row)
        if reason := row.fault or self.task.reason_to_reject(inputs, self._limits):
            return row, reason
        label, reason = self._label.read(row.values.get(self.settings.label), row.place)
        told = self._told(row)
        if reason or label is None or isinstance(told, str):
            return row, reason or str(told)
        *slices, group, time = told
        place = (row.split or "", label, row.place, row.file)
        return row, Example(identity(inputs), *place, inputs, tuple(slices), group, time)

    def _check_part(self, part: Part) -> Checked:
        """Does to many rows what `_check` does to one."""
        batch, reject, read = part.batch, self.task.reason_to_reject, self._label.read
        columns = [batch.columns[name] for name in self.settings.inputs]
        kept, labels, refused = list[int](), list[str](), list[tuple[int, str]]()
        rows = list(zip(*columns, strict=True))
        for at, (inputs, value) in enumerate(zip(rows, batch.columns[self.settings.label], strict=True)):
            reason = batch.faults.get(at) or reject(inputs, self._limits)
            if reason is None:
                label, reason = read(value, f"{part.place}:{batch.numbers[at]}")
            if reason is None and label is not None:
                kept.append(at)
                labels.append(label)
            else:
                refused.append((at, str(reason)))
        if refused:
            columns = [[column[at] for at in kept] for column in columns]
        ids = [identity(rows[at]) for at in kept]
        places = [f"{part.place}:{batch.numbers[at]}" for at in kept]
        split, file = pa.repeat(part.split or "", len(kept)), pa.repeat(part.file, len(kept))
        none = pa.nulls(len(kept), pa.string())
        examples: list[Sequence[Any] | pa.Array] = [ids, split, labels, places, file, none, none, *columns]
        return Checked(len(rows), examples if kept else (), [(part.row(at), reason) for at, reason in refused])

    def _told(self, row: Row) -> list[str | None] | str:
        """Returns the slices, the group and the time of a row; or what is wrong with them."""
        settings, found = self.settings, list[str | None]()
        if not settings.slices and not settings.group and not settings.time:
            return [None, None]
        for column in (*settings.slices, settings.group):
            value = text_of(row.values.get(column)) if column else None
            if value is not None and len(value) > LONGEST:
                return f"value longer than {LONGEST:,} characters in {column}"
            if value is not None and value.encode("utf-8", "replace").decode() != value:
                return f"invalid UTF-8 in {column}"
            found.append(value)
        return self._timed(row, found) if settings.time else [*found, None]

    def _timed(self, row: Row, found: list[str | None]) -> list[str | None] | str:
        column = self.settings.time
        if text_of(value := row.values.get(column)) is None:
            return f"no time in {column}"
        time = time_of(value)
        if time is None:
            return f"time in {column} is neither a date in ISO form nor a number ({str(value)[:40]!r})"
        self._kind_of_time = self._kind_of_time or time[1]
        if time[1] != self._kind_of_time:
            raise InputError(
                f"{row.place}: the column {column!r} holds both dates and numbers ({str(value)[:40]!r} is one of "
                f"{time[1]}). data.time needs one or the other: write them all alike."
            )
        return [*found, repr(time[0])]

    def _size(self, row: Row) -> int:
        """Returns what a row takes while it is checked: its files, and the largest of them decoded."""
        files = [value for value in self.inputs(row) if isinstance(value, bytes)]
        return sum(map(len, files)) + max((decoded_bytes(data) for data in files), default=0)


def _check_address(settings: SourceSettings) -> None:
    """Raises `InputError` where a source is a database that cannot be asked, or a list of what cannot be listed."""
    if is_sql(settings.source):
        check_sql(settings.source, settings.query)
    elif settings.query:
        raise InputError(f"data.query is for databases (postgresql://…, sqlite:///…); {settings.source} is none.")
    sources = sources_of(settings.source)
    if len(sources) > 1 and (odd := [one for one in sources if one.startswith(PREFIX) or is_sql(one)]):
        raise InputError(f"data.source is a list with {quote_all(odd)}: only files can be several. Name it alone.")
