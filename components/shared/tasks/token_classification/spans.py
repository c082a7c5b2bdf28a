"""Spans of characters as tools write them: label-studio, doccano, Prodigy, spaCy, Hugging Face's pipelines."""

from collections.abc import Mapping
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
    """

    start: int
    end: int
    label: str
    text: str = ""


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
    return Told(_whole(found[0]), _whole(found[1]), _name(label), text)


def placed(text: str, span: Told, unit: str) -> Span:
    """Returns where a span stands in characters.

    Tools count differently, and some do not say how: where the span's own text is told, it decides.

    Args:
        text: The whole text.
        span: As the tool tells it.
        unit: What it counts: "characters", "utf-16" or "bytes".

    Raises:
        SpanError: It leaves the text, or its own text stands elsewhere.
    """
    units = [unit, *(other for other in ("characters", "utf-16", "bytes") if other != unit)] if span.text else [unit]
    for one in units:
        start, end = (_character(text, place, one) for place in (span.start, span.end))
        if start is not None and end is not None and span.text in ("", text[start:end]):
            return start, end, span.label
    if span.text and text.count(span.text) == 1:
        start = text.index(span.text)
        return start, start + len(span.text), span.label
    if span.text:
        raise SpanError(f"a span's own text does not stand where it says ({span.text[:40]!r} at {span.start})")
    raise SpanError(f"a span leaves the text ({span.start} to {span.end}; the text has {len(text)} {unit})")


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
