"""Spans as tags of words (B-X begins an X, I-X goes on, O is outside), and tags as spans."""

from collections.abc import Iterator, Sequence

import numpy as np

OUTSIDE = "O"
_AT_ONCE = 256  # texts

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


def likely_tags(logits: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Returns the most likely tags of texts among those that are valid: an I goes on with an entity of its own type.

    Where the most likely tag of each word for itself makes no valid text, the best path is looked for (Viterbi 1967).

    Args:
        logits: Of the words of all texts, one after the other, [words, tags]; tags in the order of `tags_of`.
        sizes: How many words each text has.

    Returns:
        Places of tags, int64 [words].
    """
    best: np.ndarray = logits.argmax(1)
    ends = np.cumsum(np.asarray(sizes, np.int64))
    starts = ends - np.asarray(sizes, np.int64)
    before = np.concatenate([np.zeros(1, np.int64), best])[: len(best)]
    before[starts[starts < len(best)]] = 0
    is_wrong = _goes_on(best) & (before != best) & (before != best - 1)
    wrong = np.unique(np.searchsorted(ends, np.flatnonzero(is_wrong), side="right"))
    for chosen in (wrong[start : start + _AT_ONCE] for start in range(0, len(wrong), _AT_ONCE)):
        places = [np.arange(starts[text], ends[text]) for text in chosen]
        for rows, tags in zip(places, _best_paths([logits[rows] for rows in places]), strict=True):
            best[rows] = tags
    return best


def _goes_on(tags: np.ndarray) -> np.ndarray:
    """Tells which tags, by their places in `tags_of`, go on with an entity."""
    found: np.ndarray = (tags > 0) & (tags % 2 == 0)
    return found


def _best_paths(texts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the best valid tags of each text, whose words' logits are [words, tags]."""
    longest, (_, count) = max(map(len, texts)), texts[0].shape
    logits = np.full((len(texts), longest, count), 0.0)
    for row, text in zip(logits, texts, strict=True):
        row[: len(text)] = text
        row[len(text) :, 1:] = -np.inf  # nothing follows: outside, at no cost
    back = np.zeros((longest, len(texts), count), np.int64)
    value = logits[:, 0].copy()
    value[:, 2::2] = -np.inf
    begins, inside = np.arange(1, count, 2), np.arange(2, count, 2)
    for place in range(1, longest):
        back[place] = value.argmax(1)[:, None]
        step = np.repeat(value.max(1, keepdims=True), count, 1)
        is_begun = value[:, begins] >= value[:, inside]
        back[place][:, inside] = np.where(is_begun, begins, inside)
        step[:, inside] = np.where(is_begun, value[:, begins], value[:, inside])
        value = step + logits[:, place]
    tags = np.zeros((len(texts), longest), np.int64)
    tags[:, -1] = value.argmax(1)
    for place in range(longest - 1, 0, -1):
        tags[:, place - 1] = back[place][np.arange(len(texts)), tags[:, place]]
    for row, text in zip(tags, texts, strict=True):
        yield row[: len(text)]
