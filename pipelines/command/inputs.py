"""What `graft predict` is given: texts, image files, or a file of rows."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared.backbones.pixels import check_image
from components.shared.errors import InputError, quote_all
from components.shared.sources.packed import ARCHIVES
from components.shared.sources.rows import Row, data_files, is_data, read_rows
from components.shared.storage import storage

_TABLES = (".parquet", ".arrow")  # that hold images themselves
_TEXTS, _IMAGES = 256, 32  # rows at once: an image takes megabytes
_FORMATS = ".csv, .tsv, .jsonl, .json, .parquet, .arrow, .xlsx; packed, too"


@dataclass(frozen=True)
class Input:
    """A row to predict: a value for each of the model's inputs, and for an image where it was found, for people."""

    values: tuple[str | bytes, ...]
    place: str | None = None


def read_inputs(
    given: Sequence[str],
    columns: Sequence[str],
    input_type: pa.DataType,
    read: Callable[[Sequence[Any]], Sequence[Any]] = tuple,
) -> Iterator[list[Input]]:
    """Yields batches of rows.

    Args:
        given: For a model of texts one text for each input, or one data file (a path or s3:// address) with those
            columns. For a model of images any number of image files, folders of them, or Parquet files with the column.
        columns: The names of the model's inputs.
        input_type: What they are, as the model's task says.
        read: Makes inputs of what a file's columns hold, as the model's task does: of a list of words a text.

    Raises:
        InputError: It is neither, or a file cannot be read, or a row lacks an input, or is no image.
    """
    if input_type == pa.binary():
        files = [file for source in given for file in _image_files(source)]  # all are looked for before one is read
        yield from _batches(_images(files, columns), _IMAGES)
    elif len(given) == 1 and _is_table(given[0]) and (storage.is_s3(given[0]) or _is_file(given[0])):
        rows = read_rows(data_files(given[0]), columns, {})
        yield from _batches((_texts_of(row, columns, read) for row in rows), _TEXTS)
    else:
        yield [_texts(given, columns)]


def _batches(inputs: Iterator[Input], size: int) -> Iterator[list[Input]]:
    while batch := list(itertools.islice(inputs, size)):
        yield batch


def _texts(given: Sequence[str], columns: Sequence[str]) -> Input:
    if len(given) != len(columns):
        raise InputError(
            f"The model takes {len(columns)} inputs ({quote_all(columns)}); {len(given)} were given. Give one text for "
            f"each, or a file ({_FORMATS}) with these columns."
        )
    for text in given:
        if Path(text).suffix and _is_file(text):
            raise InputError(
                f"The model takes texts ({quote_all(columns)}), and {text!r} is a file. Give the text itself, or a "
                f"file ({_FORMATS}) with these columns."
            )
    return Input(tuple(given))


def _is_table(text: str) -> bool:
    return is_data(text) or text.lower().endswith(ARCHIVES)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a text may be longer than a name can be
        return False


def _texts_of(row: Row, columns: Sequence[str], read: Callable[[Sequence[Any]], Sequence[Any]]) -> Input:
    values = tuple(read([row.values.get(column) for column in columns]))
    if row.fault or not all(isinstance(value, str) for value in values):
        raise InputError(f"{row.place}: {row.fault or 'an input is missing or no text'}. Mend that row.")
    return Input(tuple(str(value) for value in values))


def _image_files(source: str) -> list[storage.File]:
    files = storage.list_files(source)
    if not files:
        raise InputError(f"{source} holds no file. The model takes images: give image files, or a folder of them.")
    return files


def _images(files: Sequence[storage.File], columns: Sequence[str]) -> Iterator[Input]:
    """Yields the images of files; one that is no image is an error, not left out."""
    for is_table, run in itertools.groupby(files, lambda file: file.name.lower().endswith(_TABLES)):
        if is_table:
            yield from (_image(row.values[columns[0]], row.place) for row in read_rows(list(run), columns, {}))
        else:
            some = list(run)
            yield from (_image(data, file.uri) for file, data in zip(some, storage.read_all(some), strict=True))


def _image(data: object, place: str) -> Input:
    if not isinstance(data, bytes) or (reason := check_image(data)):
        why = reason if isinstance(data, bytes) else "no bytes"
        raise InputError(
            f"{place} is no image that can be read: {why}. The model takes image files, folders of them, or a .parquet "
            "or .arrow file with a column of images."
        )
    return Input((data,), place.encode("utf-8", "replace").decode())  # a file's name may be no valid UTF-8
