"""Spans as tags of words (B-X begins an X, I-X goes on, O is outside), and tags as spans."""

from collections.abc import Iterator, Sequence

OUTSIDE = "O"

Span = tuple[int, int, str]
"""The first word of an entity, the one after its last, its type."""


def tags_of(types: Sequence[str]) -> list[str]:
    """Returns the tags for types of entities: "O", then "B-X" and "I-X" of each."""
    return [OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI")]


def spans_of(tags: Sequence[str]) -> Iterator[Span]:
    """Yields the entities that tags tell.

    An I that follows no word of its type begins an entity, as conlleval and seqeval read it.
    """
    start, kind = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            yield start, place, kind
            kind = ""
        if name and not kind:
            start, kind = place, name
