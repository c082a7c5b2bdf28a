"""Entities as answers: spans of characters with a type, however tools write them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.sources.labels import LabelReader, check_classes
from components.shared.tasks.classification.target import refuse_many
from components.shared.tasks.multi_label.target import listed_in
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked, Found, Seen, Target, named, refuse_untrained
from components.shared.tasks.token_classification.schemes import spans_of_tags, type_of
from components.shared.tasks.token_classification.spans import (
    Span,
    SpanError,
    placed,
    span_of,
    trimmed,
    without_overlaps,
)

_TAGS = ("ner_tags", "ner", "tags", "labels", "ner_labels", "bio_tags", "iob")
_SPANS = ("spans", "entities", "ents", "annotations")
_NAMES = (*_TAGS, *_SPANS, "label")
_KINDS = ("list", "mapping")
UNITS = ("characters", "utf-16", "bytes")
OVERLAPS, PIECES = ("reject", "longest"), ("reject", "whole")


@dataclass(frozen=True)
class Options:
    """What a job may say under `task_args`.

    Attributes:
        joiner: What stands between words, where the data has words and no text.
        offsets: What spans count: characters (code points of Unicode), UTF-16 units as JavaScript has them, or bytes.
        overlaps: Of spans that overlap: "reject" their text, or take the "longest".
        pieces: Of a span in pieces: "reject" its text, or take the "whole" from its first character to its last.
    """

    joiner: str = " "
    offsets: str = "characters"
    overlaps: str = "reject"
    pieces: str = "reject"

    def __post_init__(self) -> None:
        for name, allowed in (("offsets", UNITS), ("overlaps", OVERLAPS), ("pieces", PIECES)):
            if (value := getattr(self, name)) not in allowed:
                near = did_you_mean(value, allowed)
                raise InputError(f"task_args.{name} is {value!r}; allowed: {quote_all(allowed)}.{near}")


@dataclass(frozen=True)
class Entities(Target):
    """Spans of a text that do not overlap; the canonical text is their sorted list of `[start, end, label]` as JSON.

    Start and end count characters, as Python does: the first of the span, and the one after its last.
    """

    options: Options = field(default_factory=Options)

    type = pa.list_(pa.struct({"start": pa.int32(), "end": pa.int32(), "label": pa.string()}))
    features = pa.schema([("tags", pa.list_(pa.int32()))])
    kinds = ("type of entities", "types of entities")
    answers = "holds entities of {count} types"
    contradiction = "same input with different entities"

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: tags or spans."""
        return named(columns, _NAMES, _KINDS)[:1]

    def claims(self, columns: Sequence[Seen]) -> bool:
        """See `Target`: tags beside words, or spans."""
        words = named(columns, ("tokens", "words"), ("list",))
        return bool((words and named(columns, _TAGS, ("list",))) or named(columns, _SPANS, _KINDS))

    def args_for(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        """See `Target`: what lets texts be used whose spans overlap, or are in pieces (whole, they overlap others)."""
        wanted = {"pieces": "whole"} if "a span is in pieces" in profile["faults"] else {}
        return wanted | ({"overlaps": "longest"} if wanted or "spans overlap" in profile["faults"] else {})

    def reader(self, asked: Asked) -> "SpanReader":
        """See `Target`."""
        return SpanReader(asked, self.options)

    def census(self, asked: Asked) -> "TypeCensus":
        """See `Target`."""
        return TypeCensus(asked)

    def value(self, answer: str) -> list[dict[str, Any]]:
        """See `Target`."""
        return [{"start": start, "end": end, "label": label} for start, end, label in json.loads(answer)]

    def text(self, value: Any) -> str:
        """See `Target`."""
        return written([(span["start"], span["end"], span["label"]) for span in value])

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """The types of entities in the text, or that there is none."""
        return tuple(sorted({label for _, _, label in json.loads(answer)})) or (NONE,)

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """See `Target`: an entity without a type is none."""
        named = ((start, end, name_of(label)) for start, end, label in json.loads(answer))
        return written([(start, end, label) for start, end, label in named if label is not None])

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """One type at least, each with a text to learn from."""
        types = sorted(set().union(*counts.values()) - {NONE})
        if not types:
            raise InputError(f"No text has an entity in {column!r}; some were expected.")
        refuse_untrained(counts, types, "types of entities")


def written(spans: Iterable[Span]) -> str:
    """Returns spans as canonical text."""
    return json.dumps(sorted(set(spans)), ensure_ascii=False)


def words_in(value: Any) -> list[str] | None:
    """Returns the words of an input that was written as a list, as itself or as text; None where it is a text."""
    if isinstance(value, str):
        value = listed_in(value.strip()) if value.strip().startswith("[") else None
    if value is None or isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        return None
    return ["" if word is None else str(word) for word in value]


class SpanReader:
    """Makes spans of values: tags of words, or spans as labelling tools write them.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._asked, self._options = asked, options
        # Where labels are named as tags are ("B-PER"), types are what these say.
        allowed = list(dict.fromkeys(name for tag in asked.allowed if (name := type_of(tag))))
        self._one = LabelReader(asked.columns[0], asked.task, allowed, {}, asked.normalize)
        self._codes = dict(asked.codes)

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`."""
        if isinstance(value, str):
            stripped = value.strip()
            value = listed_in(stripped) if stripped[:1] in ("[", "{", "(") else stripped.split() or None
        if value is None or (isinstance(value, float) and value != value):
            return None, "missing label"
        words = words_in(inputs[0])
        text = self._options.joiner.join(words) if words is not None else str(inputs[0])
        try:
            spans = self._spans(value, words, text, place)
            return written(self._checked(spans, text, place)), None
        except SpanError as fault:
            return None, str(fault)

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`."""
        return [answer]

    def _spans(self, value: Any, words: list[str] | None, text: str, place: str) -> list[Span]:
        if isinstance(value, Mapping) and ("end" in value or "end_offset" in value):
            value = [value]  # a list of one that a reader took for its own
        if isinstance(value, Mapping):
            value = value.get("entities", value.get("spans", value.get("result")))
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
            raise SpanError(f"label holds neither tags nor spans ({type(value).__name__})")
        items = list(value)
        if words is None and items and all(isinstance(item, str) for item in items):
            words = text.split()  # of a text with its tags beside it
        if words is not None and not any(isinstance(item, Mapping | list | tuple) for item in items):
            return self._of_tags(items, words, text, place)
        found = (span_of(item) for item in items)
        whole = self._options.pieces == "whole"
        return [placed(text, span, self._options.offsets, whole) for span in found if span is not None]

    def _of_tags(self, items: Sequence[Any], words: Sequence[str], text: str, place: str) -> list[Span]:
        if len(items) != len(words):
            raise SpanError(f"tags and words differ in number ({len(items)} tags, {len(words)} words)")
        tags = []
        for item in items:
            tag = self._codes.get(str(item), item)
            if not isinstance(tag, str):
                raise InputError(
                    f"{place}: {self._asked.columns[0]!r} holds tags by number, such as {item!r}, and nothing says "
                    'what they mean. Name them in data.labels: {"O": [0], "B-PER": [1], …}.'
                )
            tags.append(tag)
        bounds = list(_bounds(words, text))
        return [(bounds[first][0], bounds[last - 1][1], name) for first, last, name in spans_of_tags(tags)]

    def _checked(self, spans: Sequence[Span], text: str, place: str) -> Iterator[Span]:
        """Yields spans under the names that types have; none overlaps another."""
        before = (0, 0, "")
        own = sorted({trimmed(text, span) for span in spans})
        for start, end, label in without_overlaps(own) if self._options.overlaps == "longest" else own:
            name, reason = self._one.read(self._codes.get(label, label), place)
            if reason or name is None:
                raise SpanError("a span has no label" if reason == "missing label" else str(reason))
            if start < before[1]:
                both = f"{list(before)} and {[start, end, label]}"
                raise SpanError(f"spans overlap ({both}; task_args.overlaps: longest keeps the longer)")
            before = (start, end, label)
            yield start, end, name


def _bounds(words: Sequence[str], text: str) -> Iterator[tuple[int, int]]:
    """Yields where words stand in the text that was made of them."""
    at = 0
    for word in words:
        at = text.index(word, at)
        yield at, at + len(word)
        at += len(word)


class TypeCensus:
    """Counts types of entities.

    Args:
        asked: What a job says of them.
    """

    def __init__(self, asked: Asked) -> None:
        self._column = asked.columns[0]
        self._reader = LabelReader(self._column, asked.task, asked.allowed, normalize=asked.normalize)
        self._counts = Counter[str]()

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""
        for answer, count in answers.items():
            for _, _, label in json.loads(answer):
                self._counts[label] += count
        refuse_many(self._counts, self._column)

    def check(self, rows: int) -> None:
        """Refuses spellings of one type, and what is no type."""
        check_classes(self._counts, rows, self._reader, several=True)
