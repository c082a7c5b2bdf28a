"""Rows that were checked, many at once: the examples among them by columns, and why the others are none."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from components.shared.sources.buckets import Example, columns_of
from components.shared.sources.rows import Row

_ROWS, _BYTES = 1024, 8 << 20  # of rows that are held at once


class Checked(NamedTuple):
    """Some rows.

    Attributes:
        read: How many these are.
        examples: The columns that `Buckets.add` takes; none where none of the rows is an example.
        refused: The other rows, and why.
        labels: How many of the examples have which label.
    """

    read: int
    examples: Sequence[Sequence[Any] | pa.Array]
    refused: Sequence[tuple[Row, str]]
    labels: Mapping[str, int]


def gathered(found: Iterator[tuple[Row, Example | str]]) -> Iterator[Checked]:
    """Gathers rows that were checked one by one."""
    examples: list[Example] = []
    refused: list[tuple[Row, str]] = []
    size = 0
    for row, one in found:
        if isinstance(one, Example):
            examples.append(one)
            size += one.size
        else:
            refused.append((row, one))
        if len(examples) + len(refused) >= _ROWS or size >= _BYTES:
            yield _checked(examples, refused)
            examples, refused, size = [], [], 0
    if examples or refused:
        yield _checked(examples, refused)


def _checked(examples: Sequence[Example], refused: Sequence[tuple[Row, str]]) -> Checked:
    labels = Counter(example.label for example in examples)
    return Checked(len(examples) + len(refused), columns_of(examples), refused, labels)
