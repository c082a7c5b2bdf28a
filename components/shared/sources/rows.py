"""Rows of labelled data, one after the other, out of files (CSV, JSON Lines, Parquet; gzip too) or a hub dataset."""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.shared import storage
from components.shared.errors import InputError, did_you_mean, quote_all

_GIVEN = re.compile(r"^(train|validation|test)(?![a-zA-Z0-9])")
_FIELD_LIMIT = 1 << 26  # characters; beyond it a quote was never closed
_PEEK = 100  # rows whose keys tell the columns of a JSON Lines file
_BATCH_ROWS, _BATCH_BYTES = 4096, 32 << 20  # of Parquet that are read at once

Values = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A row as it was read.

    Attributes:
        place: File and line (or row) number, for people.
        file: Name of the file that it was read from.
        split: The split that it is given for, or None.
        values: Its values by column, invalid bytes as surrogate escapes.
        fault: Why it could not be read, or None.
    """

    place: str
    file: str
    split: str | None
    values: Values
    fault: str | None = None


def read_rows(files: Sequence[storage.File], columns: Sequence[str], splits: dict[str, str]) -> Iterator[Row]:
    """Reads the rows of all files in turn.

    Args:
        files: Data files, from `data_files`.
        columns: The columns that are needed; empty: all.
        splits: For a given split's name, which split it is to be (the same, where not told).

    Raises:
        InputError: A file is empty, damaged, or lacks a column.
    """
    for file in files:
        given = given_split(file.name)
        split = splits.get(given, given) if given else None
        with storage.local_copy(file.uri) as path:
            yield from _read_file(path, file.name, split, columns)


def data_files(source: str) -> list[storage.File]:
    """Lists the data files of a path or S3 address; other files in a folder are left out.

    Raises:
        InputError: There is none, or some are given splits and some are not.
    """
    files = storage.list_files(source)
    data = [file for file in files if _reader_of(file.name)]
    if not data:
        raise InputError(
            f"{source} holds no data: {found(files)}. Expected .csv, .tsv, .jsonl or .parquet files (.csv.gz, "
            ".jsonl.gz too); pictures are read for tasks such as image-classification."
        )
    refuse_mixed(source, {file.name: given_split(file.name) for file in data})
    return data


def found(files: Sequence[storage.File]) -> str:
    """Returns what was found instead of data, for a message."""
    return f"found {quote_all([file.name for file in files])}" if files else "found no file"


def refuse_mixed(source: str, splits: Mapping[str, str | None]) -> None:
    """Raises `InputError` where some of the named files are given splits and some are not."""
    given = [name for name, split in splits.items() if split]
    if given and len(given) < len(splits):
        others = [name for name, split in splits.items() if not split]
        raise InputError(
            f"{source} mixes given splits ({quote_all(given)}) with files of no split ({quote_all(others)}). "
            "Name every file or folder train, validation or test, or none of them."
        )


def given_split(name: str) -> str | None:
    """Returns the split that a file's name or folder gives ("train-00000.parquet", "test/part.csv"), or None."""
    for part in name.split("/"):
        if match := _GIVEN.match(part):
            return match.group(1)
    return None


def _reader_of(name: str) -> Callable[..., Iterator[tuple[int, Values, str | None]]] | None:
    suffixes = Path(name.removesuffix(".gz")).suffix.lower()
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_json, ".ndjson": _read_json, ".json": _read_json}
    if suffixes == ".parquet" and not name.endswith(".gz"):
        return _read_parquet
    return readers.get(suffixes)


def _read_file(path: Path, name: str, split: str | None, columns: Sequence[str]) -> Iterator[Row]:
    reader = _reader_of(name)
    assert reader is not None, f"{name} was not checked"
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty. Remove it, or write it again.")
    number, printed = 0, storage.printable(name)
    try:
        for number, values, fault in reader(path, name, columns):
            yield Row(f"{printed}:{number}", printed, split, values, fault)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{name} is a damaged or truncated gzip file (it broke off after line {number}: {error}). Copy it again."
        ) from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{name} is no readable Parquet file ({error}). Write it again.") from error
    except csv.Error as error:
        raise InputError(f"{name}, after line {number}: {error}. Is a quote never closed?") from error
    if number == 0:
        raise InputError(f"{name} holds no rows. Remove it, or write it again.")


def _open_text(path: Path, name: str) -> io.TextIOWrapper:
    opener: Callable[..., Any] = gzip.open if name.endswith(".gz") else open
    return io.TextIOWrapper(opener(path, "rb"), "utf-8-sig", errors="surrogateescape", newline="")


def _read_csv(path: Path, name: str, columns: Sequence[str]) -> Iterator[tuple[int, Values, str | None]]:
    csv.field_size_limit(_FIELD_LIMIT)
    delimiter = "\t" if name.removesuffix(".gz").endswith(".tsv") else ","
    with _open_text(path, name) as text:
        rows = csv.reader((line.replace("\0", "\ufffd") for line in text), delimiter=delimiter)
        header = next(rows, [])
        check_columns(name, header, columns)
        for fields in rows:
            if not fields:
                continue
            fault = None
            if len(fields) != len(header):
                kind = "too many" if len(fields) > len(header) else "too few"
                fault = f"{kind} fields ({len(fields)}, the header has {len(header)})"
            yield rows.line_num, dict(zip(header, fields, strict=False)), fault


def _read_json(path: Path, name: str, columns: Sequence[str]) -> Iterator[tuple[int, Values, str | None]]:
    with _open_text(path, name) as text:
        rows = (_parse_json(number, line) for number, line in enumerate(text, 1) if line.strip())
        first = list(itertools.islice(rows, _PEEK))
        check_columns(name, list(dict.fromkeys(key for _, values, _ in first for key in values)), columns)
        yield from itertools.chain(first, rows)


def _parse_json(number: int, line: str) -> tuple[int, Values, str | None]:
    try:
        values = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return number, {}, "invalid JSON"
    return (number, values, None) if isinstance(values, dict) else (number, {}, "JSON, but no object")


def _read_parquet(path: Path, name: str, columns: Sequence[str]) -> Iterator[tuple[int, Values, str | None]]:
    with pq.ParquetFile(path, buffer_size=1 << 20) as file:
        check_columns(name, file.schema_arrow.names, columns)
        names = _class_names(file.schema_arrow)
        columns = columns or file.schema_arrow.names
        number = 0
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata), columns=list(columns)):
            lists = {column: _values(batch.column(column), names.get(column)) for column in columns}
            for row in zip(*lists.values(), strict=True):
                number += 1
                yield number, dict(zip(lists, row, strict=True)), None


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))


def _class_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Returns the names of class numbers, by column, of a file that Hugging Face's datasets wrote."""
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = told.get("info", {}).get("features", {}).items()
    return {
        column: feature["names"]
        for column, feature in features
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _values(array: pa.Array, names: Sequence[str] | None) -> list[Any]:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_struct(array.type) and {field.name for field in array.type} == {"bytes", "path"}:
        array = pc.struct_field(array, "bytes")  # a file, as Hugging Face's datasets write it
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    values: list[Any] = array.to_pylist()
    return [class_name(value, names) for value in values] if names else values


def class_name(value: Any, names: Sequence[str]) -> str | None:
    """Returns the name of a class number; None for -1, which stands for "not labelled"."""
    return names[int(value)] if value is not None and 0 <= int(value) < len(names) else None


def check_columns(name: str, found: Sequence[str], columns: Sequence[str]) -> None:
    """Raises `InputError` where a column that is needed is not among those found."""
    for column in columns:
        if column not in found:
            raise MissingColumnError(
                f"{name} has no column {column!r}; it has {quote_all(found)}.{did_you_mean(column, found)} "
                "Set data.inputs and data.label in the job.",
                column,
            )


class MissingColumnError(InputError):
    """A file lacks a column that is needed.

    Attributes:
        column: The one.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column
