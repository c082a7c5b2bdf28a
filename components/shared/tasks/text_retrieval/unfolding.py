"""Rows of several pairs: a query with passages that it must find, and with others that it must not."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.shared.tasks.multi_label.target import listed_in
from components.shared.tasks.text_retrieval.target import is_wrong

Pair = tuple[Sequence[Any], Sequence[Any]]


def pairs_of(inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> list[Pair] | None:
    """Returns the pairs of a row, each with 1 where it belongs together, else with 0; None where the row is one pair.

    Triplets are taken as sentence-transformers has them (anchor, positive, negative; perhaps several of these), and
    lists of either kind as FlagEmbedding has them (query, pos, neg).

    Args:
        inputs: The query, and a passage or a list of passages.
        labels: A score, or passages that the query must not find, in columns that say so by their names.
    """
    query, right = inputs.values()
    wrong = [text for column, value in labels.items() if is_wrong(column) for text in _texts(value)]
    listed = _listed(right)
    if listed is None and not any(map(is_wrong, labels)):
        return None
    kept = [value for column, value in labels.items() if not is_wrong(column)]
    rest = [None] * max(0, len(labels) - 1)
    found: list[Pair] = [((query, text), [*(kept or [1.0])[:1], *rest]) for text in (listed or [right])]
    return found + [((query, text), [0.0, *rest]) for text in wrong]


def _texts(value: Any) -> list[str]:
    listed = _listed(value)
    found = [value] if listed is None else listed
    return [text for text in found if isinstance(text, str) and text.strip()]


def _listed(value: Any) -> list[Any] | None:
    """Returns the passages of a list, also of one that was written as text; None of a text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = listed_in(value.strip())
    return list(value) if isinstance(value, list | tuple) else None
