"""What `graft predict` is given: texts, or a file of rows."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.ingest.rows import data_files, read_rows
from components.shared.errors import InputError, quote_all

_BATCH = 256
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".gz")


def read_inputs(given: Sequence[str], columns: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
    """Yields batches of rows, one text for each of the model's inputs.

    Args:
        given: One text for each input, or one data file (a path or s3:// address) with those columns.
        columns: The names of the model's inputs.

    Raises:
        InputError: It is neither, or the file cannot be read, or a row lacks an input.
    """
    if len(given) == 1 and given[0].endswith(_SUFFIXES) and (given[0].startswith("s3://") or Path(given[0]).exists()):
        yield from _read_file(given[0], columns)
    elif len(given) == len(columns):
        yield [tuple(given)]
    else:
        raise InputError(
            f"The model takes {len(columns)} inputs ({quote_all(columns)}); {len(given)} were given. Give one text for "
            f"each, or a file ({', '.join(_SUFFIXES)}) with these columns."
        )


def _read_file(source: str, columns: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
    rows = read_rows(data_files(source), columns, {})
    while batch := list(itertools.islice(rows, _BATCH)):
        texts = []
        for row in batch:
            values = tuple(row.values.get(column) for column in columns)
            if row.fault or not all(isinstance(value, str) for value in values):
                raise InputError(f"{row.place}: {row.fault or 'an input is missing or no text'}. Mend that row.")
            texts.append(tuple(str(value) for value in values))
        yield texts
