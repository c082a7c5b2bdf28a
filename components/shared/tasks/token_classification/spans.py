"""Spans of characters as tools write them: label-studio, doccano, Prodigy, spaCy, brat, Hugging Face's pipelines."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Span = tuple[int, int, str]
"""The first character, the one after the last, the type."""

_STARTS, _ENDS = ("start", "start_offset", "begin", "start_char"), ("end", "end_offset", "stop", "end_char")
_LABELS = ("label", "labels", "entity_group", "entity", "type", "tag", "hypertextlabels")
_TEXTS = ("text", "word", "surface")


class SpanError(Exception):
    """Why a row's answer cannot be used."""


@dataclass(frozen=True)
class Told:
    """A span as a tool tells it.

    Attributes:
        start: Of its first character, in the tool's unit.
        end: The one after its last.
        label: Its type; "" where it has none.
        text: What stands there, if the tool tells; or "".
        pieces: Where it is in several pieces, start and end of each, in order (brat).
    """

    start: int
    end: int
    label: str
    text: str = ""
    pieces: tuple[tuple[int, int], ...] = ()


def span_of(item: Any) -> Told | None:
    """Returns a span; None for what is none, such as a relation between spans.

    Raises:
        SpanError: It has no beginning, no end, or no number for them.
    """
    if isinstance(item, list | tuple):
        if len(item) != 3:
            raise SpanError(f"a span is no [start, end, label] ({str(item)[:60]})")
        return Told(_whole(item[0]), _whole(item[1]), _name(item[2]))
    if not isinstance(item, Mapping):
        raise SpanError(f"a span is no [start, end, label] ({str(item)[:60]})")
    if isinstance(item.get("value"), Mapping):  # label-studio
        if item.get("type", "labels") not in ("labels", "hypertextlabels"):
            return None
        item = item["value"]
    found = [next((item[name] for name in names if item.get(name) is not None), None) for names in (_STARTS, _ENDS)]
    if None in found:
        raise SpanError(f"a span has no start and end ({str(dict(item))[:60]})")
    label = next((item[name] for name in _LABELS if item.get(name)), "")
    text = next((str(item[name]) for name in _TEXTS if item.get(name)), "")
    pieces = tuple((_whole(start), _whole(end)) for start, end in item.get("pieces") or ())
    return Told(_whole(found[0]), _whole(found[1]), _name(label), text, pieces)


def placed(text: str, span: Told, unit: str, whole: bool = False) -> Span:
    """Returns where a span stands in characters.

    Tools count differently, and some do not say how: where the span's own text is told, it decides.

    Args:
        text: The whole text.
        span: As the tool tells it.
        unit: What it counts: "characters", "utf-16" or "bytes".
        whole: Whether one in pieces is all from its first character to its last. Pieces with nothing but blanks between
            are one: brat parts what goes on in the next line.

    Raises:
        SpanError: It leaves the text, its own text stands elsewhere, or it is in pieces.
    """
    units = [unit, *(other for other in ("characters", "utf-16", "bytes") if other != unit)] if span.text else [unit]
    for one in units:
        pieces = _pieces(text, span.pieces or [(span.start, span.end)], one)
        if pieces and _same(span.text, " ".join(text[start:end] for start, end in pieces)):
            if not whole and any(text[end:start].strip() for (_, end), (start, _) in itertools.pairwise(pieces)):
                told = " and ".join(f"{start} to {end}" for start, end in pieces)
                raise SpanError(f"a span is in pieces ({told}; task_args.pieces: whole takes all between, too)")
            return pieces[0][0], pieces[-1][1], span.label
    if span.text and text.count(span.text) == 1:
        start = text.index(span.text)
        return start, start + len(span.text), span.label
    if span.text:
        raise SpanError(f"a span's own text does not stand where it says ({span.text[:40]!r} at {span.start})")
    raise SpanError(f"a span leaves the text ({span.start} to {span.end}; the text has {len(text)} {unit})")


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Returns spans none of which overlaps a longer one; of two that are as long the first one stays."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept)


def trimmed(text: str, span: Span) -> Span:
    """Returns a span without blanks at its ends, which people mark by mistake and no network can tell.

    Raises:
        SpanError: Nothing is left.
    """
    start, end, label = span
    inside = text[start:end]
    start, end = start + len(inside) - len(inside.lstrip()), end - (len(inside) - len(inside.rstrip()))
    if start >= end:
        raise SpanError(f"a span is empty ({span[0]} to {span[1]})")
    return start, end, label


def _pieces(text: str, pieces: Iterable[tuple[int, int]], unit: str) -> list[tuple[int, int]]:
    """Returns pieces in characters, in order; [] where one is no part of the text."""
    found = []
    for piece in pieces:
        start, end = (_character(text, place, unit) for place in piece)
        if start is None or end is None:
            return []
        found.append((start, end))
    return sorted(found)


def _same(told: str, there: str) -> bool:
    """Tells whether a span's own text is what stands there; a tool may write the end of a line as a blank."""
    return told in ("", there) or told.split() == there.split()


def _character(text: str, place: int, unit: str) -> int | None:
    """Returns the number of a character by its place in another unit; None where none begins there."""
    if unit == "characters":
        return place if 0 <= place <= len(text) else None
    if place < 0:
        return None
    encoding, width = ("utf-16-le", 2) if unit == "utf-16" else ("utf-8", 1)
    encoded = text.encode(encoding, "surrogatepass")
    if place * width > len(encoded):
        return None
    try:
        return len(encoded[: place * width].decode(encoding))
    except UnicodeDecodeError:
        return None


def _whole(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SpanError(f"a span's end is no number ({str(value)[:40]!r})") from None
    if not number.is_integer():
        raise SpanError(f"a span's end is no whole number ({number})")
    return int(number)


def _name(value: Any) -> str:
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise SpanError(f"a span has several labels ({str(value)[:60]})")
        value = value[0] if value else ""
    return "" if value is None else str(value)
