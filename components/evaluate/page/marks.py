"""Parts of a text that are marked on the page: where an answer stands, and where one was found."""

import itertools
from collections.abc import Sequence

RIGHT, FOUND = "right", "found"

Piece = tuple[str, str]
"""A part of a text, and what it is: "" or one or both of the kinds, with a blank between."""


def pieces_of(text: str, marks: Sequence[tuple[str | tuple[int, int], str]], limit: int) -> list[Piece]:
    """Returns a text in pieces, of a long one what stands around the first mark.

    Args:
        text: The whole.
        marks: Parts of it with their kinds: where each stands, or what it says; what stands in it several times is
            marked at its first place.
        limit: The most characters that are shown.
    """
    spans = [(*place, kind) for part, kind in marks if (place := _place(text, part))]
    low = 0
    if len(text) > limit and spans:
        low = max(0, min(min(start for start, _, _ in spans) - limit // 4, len(text) - limit))
    high = min(len(text), low + limit)
    cuts = sorted({low, high, *(min(max(end, low), high) for span in spans for end in span[:2])})
    pieces = [("…", "")] if low else []
    for start, end in itertools.pairwise(cuts):
        kinds = {kind for first, last, kind in spans if first <= start and end <= last}
        pieces.append((text[start:end], " ".join(sorted(kinds))))
    return [*pieces, ("…", "")] if high < len(text) else pieces


def _place(text: str, part: str | tuple[int, int]) -> tuple[int, int] | None:
    """Returns where a part stands, the first character and the one after the last; None where it does not."""
    if not isinstance(part, str):
        return part if part[0] < part[1] <= len(text) else None
    start = text.find(part) if part else -1
    return (start, start + len(part)) if start >= 0 else None
