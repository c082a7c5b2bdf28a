"""What a label is: one text a row, however it was written; and which columns of labels are no classes."""

import ast
import datetime
import functools
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.errors import InputError, quote_all

LONGEST = 1_000
"""Characters of a label: it stands in every page and parameter."""

MANY = 10
"""More classes than these may be something else: measurements, dates, identifiers."""

_CACHED = 10_000
_JOINTS = "|;#,/+"  # between labels in one cell
_SURE = "|;#"  # that no name has
_ONE = (
    "{task} takes one. task: multi-label-classification (of pictures image-multi-label-classification) takes them "
    "all{how}; or keep the one that matters, in a column of its own that data.label names."
)
_WHOLE = re.compile(r"^(-?(?:0|[1-9]\d*))\.0+$")
_LIST = re.compile(r"^[\[({].*[\])}]$", re.DOTALL)


def text_of(value: object) -> str | None:
    """Returns a value as text, in Unicode's form NFC: 1.0, "1.0" and 1 are "1"; None, NaN and blanks are none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    text = "" if value is None else unicodedata.normalize("NFC", str(value)).strip()
    whole = _WHOLE.match(text)
    return (whole.group(1) if whole else text) or None


def key_of(label: str) -> str:
    """Returns what spellings of one label have in common: no case, no double blanks, compatible characters alike.

    Characters that nobody sees (zero-width blanks, soft hyphens) do not count.
    """
    folded = unicodedata.normalize("NFKC", label).casefold()
    if not folded.isascii():
        folded = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    return " ".join(folded.split())


@dataclass(frozen=True)
class LabelReader:
    """Makes labels of values.

    Attributes:
        column: That holds them.
        task: What they are for.
        allowed: The labels there may be; empty: all that are found.
        codes: The label that a code in the data stands for.
        normalize: Whether spellings that differ in case, blanks or Unicode form are one label.
    """

    column: str
    task: str
    allowed: Sequence[str] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    normalize: bool = False

    @functools.cached_property
    def _read(self) -> dict[str, tuple[str | None, str | None]]:
        """Labels that were read: there are few."""
        return {}

    @functools.cached_property
    def _spellings(self) -> dict[str, str]:
        return {key_of(label): label for label in self.allowed}

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(label for label in map(text_of, self.allowed) if label)

    @functools.cached_property
    def _names(self) -> dict[str | None, str]:
        return {text_of(code): label for code, label in self.codes.items()}

    def read(self, value: object, place: str, inputs: Sequence[object] = ()) -> tuple[str | None, str | None]:
        """Returns the label, and why it cannot be used: one of them is None.

        Raises:
            InputError: It is a list of labels.
        """
        if not isinstance(value, str):
            return self._found(value, place)
        if (found := self._read.get(value)) is None:
            found = self._found(value, place)
            if len(self._read) < _CACHED and len(value) <= LONGEST:
                self._read[value] = found
        return found

    def cells(self, answer: str) -> Sequence[object]:
        """Returns what stands in the column for a label."""
        return [answer]

    def _found(self, value: object, place: str) -> tuple[str | None, str | None]:
        label = text_of(self._single(value, place))
        if label is None:
            return None, "missing label"
        if len(label) > LONGEST:
            return None, f"label longer than {LONGEST:,} characters"
        if label.encode("utf-8", "replace").decode() != label:
            return None, "invalid UTF-8 in the label"
        label = self._names.get(label, label)
        if self.normalize:
            key = key_of(label)
            label = self._spellings.get(key, key)
        return (None, "unknown label") if self._known and label not in self._known else (label, None)

    def _single(self, value: object, place: str) -> object:
        """Returns the value, that of a list of one for that list."""
        values = _list_of(value)
        if values is None:
            return value
        if len(values) > 1:
            raise InputError(
                f"{place}: the label column {self.column!r} holds several labels in one row, such as "
                f"{str(value)[:80]}; {_ONE.format(task=self.task, how='')}"
            )
        return values[0] if values else None


def _list_of(value: object) -> Sequence[Any] | None:
    """Returns what is in a list, or in a text that was written from one ("['a', 'b']"); None where it is none."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return _choices(value) or [f"{name}: {part}" for name, part in value.items()]
    if not isinstance(value, str) or len(value) > LONGEST or not _LIST.match(value.strip()):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, dict):
            return _choices(found)
        if isinstance(found, list | tuple | set) and len(found) > 1:
            return list(found)
    return None


def _choices(value: Mapping[str, Any]) -> Sequence[Any] | None:
    """Returns what was chosen, of a cell as label-studio writes it: `{"choices": ["a", "b"]}`."""
    found = value.get("choices") if value.keys() == {"choices"} else None
    return found if isinstance(found, list) else None


def check_classes(counts: Mapping[str, int], rows: int, reader: LabelReader, several: bool = False) -> None:
    """Refuses a column of labels that are no classes, or that are two spellings of one.

    Args:
        counts: How many rows each label has.
        rows: How many rows were read.
        reader: How they were read.
        several: Whether an example may have several, which were told apart already.

    Raises:
        InputError: They are numbers, dates, identifiers, or variants of each other.
    """
    if not reader.allowed:
        _refuse_values(counts, rows, reader)
        if not several:
            _refuse_joined(counts, reader)
    if not reader.normalize:
        _refuse_variants(counts, reader)


def _refuse_values(counts: Mapping[str, int], rows: int, reader: LabelReader) -> None:
    distinct, labelled = len(counts), sum(counts.values())
    many = distinct > MANY or (distinct > 2 and 2 * distinct > rows)
    for is_one, what in ((_is_fraction, "numbers"), (_is_date, "dates")):
        some = [label for label in counts if is_one(label)] if many else []
        if 2 * len(some) > distinct:
            raise InputError(
                f"The label column {reader.column!r} holds {what} such as {some[0]} ({distinct} different ones); "
                f"{reader.task} needs classes. Set data.label to a column of classes, or name the classes in "
                "data.labels; task: text-regression learns numbers of texts as they are."
            )
    if distinct > MANY and 2 * distinct > labelled:
        raise InputError(
            f"The label column {reader.column!r} has {distinct:,} different values in {labelled:,} rows, such as "
            f"{quote_all(list(counts)[:3])}: nearly one a row, as an identifier has. A column of classes was expected: "
            "set data.label; or, where these are classes, label more of each or name them in data.labels."
        )


def joined(counts: Mapping[str, int]) -> tuple[list[str], str]:
    """Returns labels that are several in one cell ("a|b"): each part is a label of its own, here or in other cells.

    "Korea, Republic of" and "Sci/Tech" are none, since their parts are no labels.
    """
    for joint in _JOINTS:
        parts = {
            label: [part.strip() for part in label.split(joint)] for label in counts if joint in label.strip(joint)
        }
        sure = {label for label, own in parts.items() if all(part in counts for part in own)}
        if not sure and joint in _SURE and len(parts) > 2:
            held = Counter(part for own in parts.values() for part in set(own))
            often = sum(count > 1 for count in held.values())
            sure = set(parts) if often > 0.8 * len(held) and len(parts) > 0.5 * len(counts) else set()
        if sure:
            return sorted(sure, key=lambda label: (-counts[label], label)), joint
    return [], ""


def parted_by_blanks(counts: Mapping[str, int]) -> bool:
    """Tells cells that hold several words each, all of which are cells, too, or nearly all come again: "haze primary".

    Names of several words look the same: whoever asks should know that cells hold several labels.
    """
    parts = {label: label.split() for label in counts}
    several = [own for own in parts.values() if len(own) > 1]
    if several and all(part in counts for own in several for part in own):
        return True
    held = Counter(part for own in parts.values() for part in set(own))
    often = sum(count > 1 for count in held.values())
    return len(several) > 2 and 2 * len(held) <= 3 * len(parts) and often > 0.8 * len(held)


def _refuse_joined(counts: Mapping[str, int], reader: LabelReader) -> None:
    found, joint = joined(counts)
    if found:
        how = f' (task_args: {{delimiter: "{joint}"}})'
        rows = sum(counts[label] for label in found)
        raise InputError(
            f"{len(found):,} labels in {reader.column!r} are several in one cell ({rows:,} rows), such as "
            f"{quote_all(found, 3)}; {_ONE.format(task=reader.task, how=how)} If each is one class, name all "
            "classes in data.labels."
        )


def _refuse_variants(counts: Mapping[str, int], reader: LabelReader) -> None:
    spellings = defaultdict[str, list[str]](list)
    for label in counts:
        spellings[key_of(label)].append(label)
    groups = [sorted(group, key=lambda label: -counts[label]) for group in spellings.values() if len(group) > 1]
    if not groups:
        return
    lines = [" and ".join(f"{label!r} ({counts[label]:,} rows)" for label in group) for group in groups]
    more = f"\n  and {len(lines) - 10} more" if len(lines) > 10 else ""
    raise InputError(
        f"{len(groups)} labels in {reader.column!r} are written in several ways that differ only in case, blanks or "
        "Unicode form:\n  "
        + "\n  ".join(lines[:10])
        + more
        + "\nMend them, or set data.normalize_labels: true, which makes one class of each (in lower case, or as "
        "data.labels spells it)."
    )


def _is_fraction(label: str) -> bool:
    try:
        return not float(label).is_integer()
    except (ValueError, OverflowError):
        return False


def _is_date(label: str) -> bool:
    if sum(not character.isdigit() for character in label) < 2:
        return False  # a number: 20240105 may be a code
    try:
        datetime.datetime.fromisoformat(label)
    except ValueError:
        return bool(re.fullmatch(r"\d{1,2}[./-]\d{1,2}[./-](\d{2}|\d{4})( .*)?", label))
    return True
