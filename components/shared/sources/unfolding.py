"""Rows that hold several examples, such as a query with what it must find and what it must not: a row for each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from components.shared.sources.parts import Row


@runtime_checkable
class Unfolding(Protocol):
    """A task of which a row may hold several examples."""

    def unfolded(
        self, inputs: Mapping[str, Any], labels: Mapping[str, Any]
    ) -> list[tuple[Sequence[Any], Sequence[Any]]] | None:
        """Returns inputs and labels of each example of a row, whose values it takes by their columns.

        None where the row is one as it is.
        """


def unfold(rows: Iterator[Row], task: object, inputs: Sequence[str], labels: Sequence[str]) -> Iterator[Row]:
    """Yields rows of one example each.

    Args:
        rows: As they were read.
        task: What is learned from them.
        inputs: The columns that hold the inputs.
        labels: Those that hold the label.
    """
    if not isinstance(task, Unfolding):
        yield from rows
        return
    for row in rows:
        told = ({column: row.values.get(column) for column in columns} for columns in (inputs, labels))
        found = None if row.fault else task.unfolded(*told)
        if found is None:
            yield row
            continue
        for own, label in found:
            changed = {**dict(zip(labels, label, strict=True)), **dict(zip(inputs, own, strict=True))}
            yield row._replace(values={**row.values, **changed})
