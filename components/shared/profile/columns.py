"""The columns of a table: what kind of values each holds, told from a sample of its rows."""

import ast
import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.sources.images import is_inline
from components.shared.sources.labels import joined, parted_by_blanks

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_LISTED = 40  # columns that a message shows
_WIDTH = 48  # characters of a value that is shown
_MOST = 0.9  # of the values make a kind
_SENTENCE = 4  # words in the mean: a text, and no name
_UNSPACED = 15  # characters in the mean, where a script has no blanks between words
_WORDS = re.compile(r"\w+")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?$|\d{1,2}[./]\d{1,2}[./]\d{2,4}$")
_WHOLE = re.compile(r"[+-]?\d+(\.0+)?$")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_FLAGS = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no"}
_SETS = {"labels", "tags", "categories", "topics", "genres", "classes", "targets", "keywords", "attributes", "objects"}
_CELLS = 5_000  # different ones that are looked at for what stands between labels
_UNSPACED_SCRIPTS = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")


@dataclass(frozen=True)
class Column:
    """A column of a table, as a sample of its rows shows it.

    Attributes:
        name: In the file.
        kind: "text" (sentences), "words", "whole number", "number", "truth value", "date", "list", "mapping",
            "picture" (bytes of a file, or its name), or "empty".
        rows: Of the sample.
        missing: Of them, without a value.
        distinct: How many different values there are.
        words: In a value, in the mean.
        blanks: Between the words of a value, in the mean.
        examples: Two values, shortened.
        joint: What stands between several labels in a cell; "" where a cell is one.
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int
    words: float
    blanks: float
    examples: tuple[str, ...]
    joint: str = ""

    @property
    def filled(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing

    @property
    def is_id(self) -> bool:
        """Whether nearly every row has a value of its own, which is no text."""
        short = self.kind in ("words", "whole number", "number")
        return short and self.filled >= 10 and self.distinct > 0.9 * self.filled

    @property
    def is_free(self) -> bool:
        """Whether its values are free text, if short: a name of several words, a title."""
        return self.kind == "text" or (
            self.kind == "words" and self.blanks >= 0.7 and not self.is_classes and self.distinct > 1
        )

    @property
    def is_flag(self) -> bool:
        """Whether it says yes or no: 0 or 1, true or false."""
        shown = {example.strip("'").lower() for example in self.examples}
        return self.kind != "number" and 1 <= self.distinct <= 2 and shown <= _FLAGS

    @property
    def is_constant(self) -> bool:
        """Whether there is but one value."""
        return self.distinct == 1

    @property
    def is_classes(self) -> bool:
        """Whether its values can be classes: few, and each of them for several rows."""
        if self.kind == "number":
            return 2 <= self.distinct <= 10 and 2 * self.distinct <= self.filled  # ratings of 0.5, 1.0, …
        named = self.kind in ("words", "whole number", "truth value")
        most = max(20, min(1000, self.filled // 5))
        return named and 2 <= self.distinct <= most and 2 * self.distinct <= self.filled

    def to_json(self) -> dict[str, Any]:
        """Returns what a profile keeps of it."""
        told = {name: getattr(self, name) for name in ("name", "kind", "rows", "missing", "distinct")}
        return {**told, "examples": list(self.examples)}


def describe(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Returns the columns of some rows, in the order in which they turn up."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [_column(name, [row.get(name) for row in rows]) for name in names]


def is_missing(value: object) -> bool:
    """Tells whether a cell has no value: None, NaN, blanks."""
    return (
        value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value.strip())
    )


def listing(columns: Iterable[Column]) -> str:
    """Returns a line for each column with its kind and two values, for a message."""
    every = list(columns)
    listed = every[:_LISTED]
    more = f"\n  … {len(every) - len(listed):,} more" if len(every) > len(listed) else ""
    width = min(24, max((len(column.name) for column in listed), default=0))
    kinds = [_kind(column) for column in listed]
    second = max((len(kind) for kind in kinds), default=0)
    return (
        "\n".join(
            f"  {column.name:<{width}}  {kind:<{second}}  {', '.join(column.examples)}".rstrip()
            for column, kind in zip(listed, kinds, strict=True)
        )
        + more
    )


def _kind(column: Column) -> str:
    if column.kind in ("empty", "picture", "list", "mapping", "text"):
        return column.kind
    return f"{column.kind}, {column.distinct:,} different"


def shorten(value: object, most: int = _WIDTH) -> str:
    """Returns a value as people read it: one line, quoted where it is a text."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if not isinstance(value, str):
        return str(value)[:most]
    line = " ".join(value.split())
    return repr(line if len(line) <= most else line[: most - 1].rstrip() + "…")


def as_text(value: object) -> str:
    """Returns a value as what tells it from others: 1.0 and 1 are one."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _column(name: str, values: Sequence[Any]) -> Column:
    filled = [value for value in values if not is_missing(value)]
    kind = _kind_of(filled)
    counts = Counter(map(as_text, filled)) if kind != "picture" else Counter(map(hash, filled))
    words = sum(len(_WORDS.findall(value)) for value in filled if isinstance(value, str)) / max(len(filled), 1)
    examples = list(dict.fromkeys(shorten(value) for value in filled[:200]))[:2]
    blanks = sum(len(value.split()) - 1 for value in filled if isinstance(value, str)) / max(len(filled), 1)
    joint = _joint(name, counts) if kind in ("words", "text") else ""
    kind = "words" if joint else kind  # many labels look like a sentence
    missing = len(values) - len(filled)
    return Column(name, kind, len(values), missing, len(counts), words, blanks, tuple(examples), joint)


def _joint(name: str, counts: Mapping[Any, int]) -> str:
    """Returns what stands between labels in cells; blanks only where the column's name tells that there are several."""
    if len(counts) > _CELLS or sum(map(len, counts)) > 100 * len(counts):
        return ""
    several, found = joined(counts)
    if sum(counts[cell] for cell in several) < (1 - _MOST) * sum(counts.values()):  # a few may be mistakes
        found = ""
    return found or (" " if name.strip().lower() in _SETS and parted_by_blanks(counts) else "")


def _kind_of(values: Sequence[Any]) -> str:
    """Returns the kind that nine of ten values have; one list in ten is enough: a label alone is read as a word."""
    if not values:
        return "empty"
    counts = Counter(map(_one, values))
    if counts["list"] > (1 - _MOST) * len(values):
        return "list"
    for kind in ("mapping", "picture", "truth value", "date", "whole number"):
        if counts[kind] >= _MOST * len(values):
            return kind
    if counts["number"] + counts["whole number"] >= _MOST * len(values):
        return "number"
    return "text" if _is_text(values) else "words"


def _one(value: Any) -> str:
    for kind, types in _TYPES:
        if isinstance(value, types):
            return kind
    if isinstance(value, float):
        return "whole number" if value.is_integer() else "number"
    text = str(value).strip()
    if (text.lower().endswith(PICTURES) and "\n" not in text) or is_inline(text):
        return "picture"
    if _DATE.match(text):
        return "date"
    if _WHOLE.match(text):
        return "whole number"
    if _NUMBER.match(text):
        return "number"
    return "list" if _is_list(text) else "words"


_TYPES: list[tuple[str, type | tuple[type, ...]]] = [
    ("picture", bytes),
    ("truth value", bool),
    ("whole number", int),
    ("mapping", dict),
    ("list", (list, tuple, set)),
    ("date", (datetime.date, datetime.datetime)),
]


def _is_list(text: str) -> bool:
    """Tells a list that was written as text: "['a', 'b']", "[1, 0]"."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > 1000:
        return False
    try:
        return isinstance(ast.literal_eval(text), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _is_text(values: Sequence[Any]) -> bool:
    """Tells sentences from names, by their length; and that they differ."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < _MOST * len(values):
        return False
    words = sum(len(_WORDS.findall(text)) for text in texts) / len(texts)
    unspaced = sum(len(text) for text in texts if _UNSPACED_SCRIPTS.search(text)) / len(texts)
    differ = len(set(texts)) > min(0.1 * len(texts), 1000)
    return differ and (words >= _SENTENCE or unspaced >= _UNSPACED)
