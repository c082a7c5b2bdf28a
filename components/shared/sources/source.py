"""A source of labelled data: which files it has, and the examples in them, each row checked as its task wants it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.artifacts.snapshot import SPLITS
from components.shared.backbones.pixels import decoded_bytes
from components.shared.cores import cores
from components.shared.errors import InputError, quote_all
from components.shared.modalities import Limits
from components.shared.process.step import option, required
from components.shared.sources.brat import Documents
from components.shared.sources.buckets import Buckets, Example
from components.shared.sources.checked import Checked, gathered
from components.shared.sources.checking import Check
from components.shared.sources.columns import check_columns
from components.shared.sources.hub import PREFIX, read_hub, revision
from components.shared.sources.images import Pictures, find_images
from components.shared.sources.layout import Layout
from components.shared.sources.listing import links_out, list_source, sources_of, splits_among
from components.shared.sources.packed import ARCHIVES, SUFFIXES
from components.shared.sources.paths import ImageTable
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Part, Row, find_rows, given_split, read_parts, refuse_mixed
from components.shared.sources.sql import check_sql, is_sql, read_sql, sql_file
from components.shared.sources.texts import TextTree
from components.shared.sources.trees import COLUMNS, read_archives, read_tree
from components.shared.sources.unfolding import unfold
from components.shared.storage.prefetch import map_ahead, read_ahead
from components.shared.storage.storage import File
from components.shared.tasks.target import Asked

_BUCKET_BYTES = 8 << 20
_HUB_BYTES = 4 << 30  # assumed where the size is not known


@dataclass(frozen=True)
class SourceSettings:
    """Where labelled data is and how it is read; fields of `data` in a job."""

    source: str = required(
        "where the data is: a path, s3://bucket/prefix, hf://owner/name[/config], a pattern or a JSON array of such"
    )
    inputs: list[str] = option([], "the columns that hold the input; empty: as the data's columns tell")
    label: str = option(
        "", "the column that holds the label, or a JSON array of several; empty: as the data's columns tell"
    )
    task: str = option("text-classification", "what is to be learned")
    task_args: dict[str, Any] = option({}, 'the task\'s own options, such as {"delimiter": "|"}')
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
            *("label_codes", "normalize_labels", "group", "time", "task_args"),
        )
        told = {name: getattr(self, name) for name in names}
        return told | {name: value for name in later if (value := getattr(self, name))}

    def label_columns(self) -> list[str]:
        """Returns the columns that hold the label: mostly one."""
        return sources_of(self.label)

    def asked(self) -> Asked:
        """Returns what is said of labels."""
        return Asked(self.label_columns(), self.task, self.labels, self.label_codes, self.normalize_labels)


class Source:
    """Labelled data, ready to be read.

    Attributes:
        task: What is to be learned from it.
        input_types: Of each input column.
        answers: Makes labels of rows.
        told: Sentences on how files are read and which are left out; more come as files are read.

    Raises:
        InputError: There is no such task, it takes another number of columns, `splits` leads to no split, or the source
            is a database without query, or with a password.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self.told: list[str] = []
        self._pictures: Pictures | None = None
        self._texts: TextTree | Documents | None = None
        self._splits = dict(settings.splits)
        self._dialect = Dialect(settings.encoding, settings.delimiter, settings.sheet, settings.class_level)
        _check_address(settings)
        self.task = tasks.get(settings.task, settings.task_args)
        if len(settings.inputs) not in self.task.input_counts:
            allowed = " or ".join(str(count) for count in self.task.input_counts)
            raise InputError(
                f"{settings.task} takes {allowed} input columns; data.inputs names {len(settings.inputs)}."
            )
        if wrong := set(settings.splits.values()) - set(SPLITS):
            raise InputError(f"data.splits leads to {quote_all(wrong)}; only {quote_all(SPLITS)} are splits.")
        self.binary = self.task.input_type == pa.binary()
        self.input_types = [self.task.input_type] * len(settings.inputs)
        self._labels = settings.label_columns()
        if len(self._labels) > 1 and not self.task.target.several:
            raise InputError(f"{settings.task} takes one label column; data.label names {quote_all(self._labels)}.")
        self.answers = self.task.target.reader(settings.asked())
        limits = Limits(settings.max_characters, settings.max_pixels)
        told = (settings.slices, settings.group, settings.time)
        self._check = Check(self.task, limits, self.answers, self._labels, settings.inputs, *told)
        named = [*settings.inputs, *self._labels, *settings.slices, settings.group, settings.time]
        self._columns = [column for column in dict.fromkeys(named) if column]

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
        if told := links_out(source, listed):
            self._tell(told)
        self._splits = splits_among(listed, self.settings.splits)
        asked = Layout(self.settings.class_level, self._splits)
        if self.binary:
            self._pictures = find_images(source, listed, asked, self._tell, self.task.target.exclusive)
            return self._pictures.files
        files, self._texts = find_rows(source, listed, asked, self._tell)
        if not self._texts and not any(file.name.lower().endswith(ARCHIVES) for file in files):
            refuse_mixed(source, {file.name: given_split(file.name, self._splits) for file in files})
        return files

    @property
    def is_tree(self) -> bool:
        """Whether each file is an example, its folder the answer: files of a tree, once they were listed."""
        return isinstance(self._texts, TextTree) or (self._pictures is not None and self._pictures.kind == "tree")

    @property
    def is_sql(self) -> bool:
        """Whether it is a query of a database."""
        return is_sql(self.settings.source)

    def buckets(self, files: Sequence[File], folder: Path) -> Buckets:
        """Returns empty buckets in a folder, so many that one bucket of these files' examples fits into memory."""
        packed = () if self.binary else (".parquet", ".xlsx", *ARCHIVES, *SUFFIXES)
        size = sum(file.size * (4 if file.name.endswith(packed) else 1) for file in files)
        bits = min(8, max(0, (size // _BUCKET_BYTES).bit_length()))
        return Buckets(folder, self.input_types, len(self.settings.slices), bits, self.task.target)

    def examples(self, files: Sequence[File]) -> Iterator[tuple[Row, Example | str]]:
        """Reads files in turn; yields each row with its example, or with why it is none.

        Raises:
            InputError: A file is damaged, or lacks a column.
            ServiceError: The store or the hub did not answer.
        """
        rows = unfold(self._rows(files), self.task, self.settings.inputs, self._labels)
        if self.binary:  # files are decoded to be checked, on all cores
            return map_ahead(self._check.row, rows, cores(), self._size)
        return map(self._check.row, rows)

    def checked(self, files: Sequence[File]) -> Iterator[Checked]:
        """Reads files in turn, as `examples` does, many rows at once."""
        if self.binary or self.is_hub or self.is_sql or not files or not self._check.sees_columns:
            return gathered(self.examples(files))
        return map(self._check.part, read_ahead(self._parts(files)))

    def inputs(self, row: Row) -> tuple[Any, ...]:
        """Returns a row's values of the input columns."""
        return tuple(row.values.get(column) for column in self.settings.inputs)

    def labels(self, row: Row) -> tuple[Any, ...]:
        """Returns a row's values of the label columns."""
        return tuple(row.values.get(column) for column in self._labels)

    def _rows(self, files: Sequence[File]) -> Iterator[Row]:
        if not files:
            return iter(())
        settings = self.settings
        if self.is_hub:
            return read_hub(settings.source, self._columns, self._labels, settings.splits)
        if self.is_sql:
            return read_sql(settings.source, settings.query, self._columns)
        return self._images(files) if self.binary else self._tables(files)

    def _tables(self, files: Sequence[File]) -> Iterator[Row]:
        return itertools.chain.from_iterable(part.rows() for part in self._parts(files))

    def _parts(self, files: Sequence[File]) -> Iterator[Part]:
        if self._texts:
            return self._texts.parts(files, self._columns, self._dialect)
        return read_parts(files, self._columns, self._splits, self._dialect, self._tell)

    def _images(self, files: Sequence[File]) -> Iterator[Row]:
        settings = self.settings
        if self._pictures is None:
            self.files()
        pictures = self._pictures
        assert pictures is not None, "the source was listed"
        if pictures.kind == "tables":
            table = ImageTable(files, pictures.images, self._splits)
            return table.rows(settings.inputs[0], self._columns, self._splits, self._dialect, self._tell)
        folders = self.task.target.exclusive
        if pictures.kind == "archives" and not folders:
            return read_archives(files, pictures.layout, self._table_column(), pictures.tables, folders)
        check_columns("A tree of image files", COLUMNS, self._columns)
        if pictures.kind == "archives":
            return read_archives(files, pictures.layout, self._labels[0], pictures.tables)
        return read_tree(files, pictures.layout)

    def _table_column(self) -> str:
        """Returns the one column of tables in archives of images that is read."""
        if len(self._labels) > 1:
            raise InputError(
                f"data.label names {quote_all(self._labels)}; beside images in an archive one column is read. Unpack "
                "the archive, or write the labels into one column of the table, as a list."
            )
        check_columns("An archive of images", (COLUMNS[0], self._labels[0]), self._columns)
        return self._labels[0]

    def _tell(self, sentence: str) -> None:
        """Keeps what was found out, each thing once."""
        if sentence not in self.told:
            self.told.append(sentence)

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
