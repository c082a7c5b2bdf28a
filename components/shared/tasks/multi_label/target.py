"""Several labels an example, or none: a list, columns of 0 and 1, or one text with a delimiter."""

import ast
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.shared.errors import InputError
from components.shared.sources.labels import LabelReader, check_classes, joined, parted_by_blanks, text_of
from components.shared.tasks.classification.target import refuse_many
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked, Found, Seen, Target, named, refuse_untrained

_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no"}
_DELIMITERS = "|;,"  # that people put between labels
_HALF = 0.5
_NAMES = ("labels", "label", "tags", "categories", "topics", "genres", "classes", "targets", "keywords", "cats")
_SINGLE = ("words", "whole number", "truth value", "number")
_WORDS = {"tokens", "words", "ner_tags", "pos_tags", "chunk_tags", "spans", "entities"}
_SPLITS = {"is_valid", "is_train", "is_test", "is_val", "valid", "train", "test", "val", "validation", "holdout"}
_FLAGS = 3  # columns of 0 and 1 that are labels; two may be anything
_LONGEST = 100_000  # characters of a cell


@dataclass(frozen=True)
class Options:
    """What a job may say under `task_args`.

    Attributes:
        delimiter: What stands between labels in one text; "": a text is one label, or a list as JSON or Python has it.
        empty_is_none: Whether an empty cell says that an example has no label; else nobody has labelled it yet.
    """

    delimiter: str = ""
    empty_is_none: bool = False


@dataclass(frozen=True)
class LabelSets(Target):
    """Any number of labels; the canonical text is their sorted list as JSON."""

    options: Options = field(default_factory=Options)

    type = pa.list_(pa.string())
    features = pa.schema([("labels", pa.list_(pa.int32()))])
    several = True
    kinds = ("label", "labels")
    if_empty = "task_args: {empty_is_none: true}, if an empty cell says that there is no label"
    answers = "has any number of {count} labels, or none"

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: lists."""
        others = [column.name for column in columns if column.kind == "list" and column.name.lower() not in _WORDS]
        found = named(columns, _NAMES, ("list",))[:1] or others
        joint = [column for column in columns if column.joint]  # one text with a delimiter
        found = found or named(joint, _NAMES, ("words",))[:1] or named(columns, _NAMES, ("words", "text"))[:1]
        return found or [column.name for column in joint]

    def together(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: three columns of 0 and 1 or more, where no other column could be an answer."""
        flags = [column for column in columns if column.is_flag and column.name.strip().lower() not in _SPLITS]
        others = [column for column in columns if not column.is_flag]
        free = all(column.kind in ("picture", "text", "empty") or column.is_id for column in others)
        return [column.name for column in flags] if free and len(flags) >= _FLAGS else []

    def claims(self, columns: Sequence[Seen]) -> bool:
        """See `Target`: a list, or labels in one text, with the name of labels; or columns of 0 and 1."""
        if named(columns, ("tokens", "words"), ("list",)):
            return False
        classes = named([column for column in columns if column.is_classes and not column.joint], _NAMES, _SINGLE)
        if lists := named(columns, _NAMES, ("list",)):
            return not (lists == ["labels"] and classes == ["label"])  # one each: a reader tells it in both ways
        joint = [column for column in columns if column.joint]
        if named(joint, _NAMES, ("words",)) or (len(joint) == 1 and not named(columns, _NAMES, ("words", "text"))):
            return not classes
        return bool(self.together(columns))

    def args_for(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        """See `Target`: what stands between labels in one text."""
        labels = {label: sum(counts.values()) for label, counts in profile["classes"] if label != NONE}
        _, joint = joined(labels)
        if not joint and profile["label"].strip().lower() in _NAMES and parted_by_blanks(labels):
            joint = " "
        return {"delimiter": joint} if joint and not self.options.delimiter else {}

    def reader(self, asked: Asked) -> "SetReader":
        """See `Target`."""
        return SetReader(asked, self.options)

    def census(self, asked: Asked) -> "SetCensus":
        """See `Target`."""
        return SetCensus(asked, self.options)

    def value(self, answer: str) -> list[str]:
        """See `Target`."""
        labels: list[str] = json.loads(answer)
        return labels

    def text(self, value: Any) -> str:
        """See `Target`."""
        return written(value)

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Each label, or that there is none."""
        return tuple(self.value(answer)) or (NONE,)

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """See `Target`: an example that loses its labels has none."""
        return written(name for label in self.value(answer) if (name := name_of(label)) is not None)

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """One label at least that some examples have and others have not, each with one to learn from."""
        labels = sorted(set().union(*counts.values()) - {NONE})
        if not labels:
            raise InputError(f"No example has a label in {column!r}; labels were expected in some of them.")
        if len(labels) == 1 and not any(counts[split].get(NONE) for split in counts):
            raise InputError(
                f"All examples have the label {labels[0]!r}, and no other, in {column!r}: there is nothing to tell "
                "apart. Examples with other labels, or with none, were expected."
            )
        refuse_untrained(counts, labels, "labels")

    def encode(self, answers: pa.Array, spec: Mapping[str, Any]) -> list[pa.Array]:
        """`labels` list<int32>: the places of an example's labels in the spec's."""
        places = pc.index_in(answers.flatten(), pa.array(spec["labels"], pa.string())).cast(pa.int32())
        ends = pc.list_value_length(answers).to_numpy(zero_copy_only=False).cumsum()
        return [pa.ListArray.from_arrays(pa.array([0, *ends.tolist()], pa.int32()), places)]


def written(labels: Any) -> str:
    """Returns labels as canonical text: sorted, each once."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


class SetReader:
    """Makes sets of labels of values.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._asked, self._options = asked, options
        self._one = LabelReader(asked.columns[0], asked.task, asked.allowed, asked.codes, asked.normalize)

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`."""
        found = self._of_columns(value) if len(self._asked.columns) > 1 else self._of_cell(value, place)
        if isinstance(found, str):
            return None, found
        labels = []
        for one in found:
            label, reason = self._one.read(one, place)
            if reason or label is None:
                return None, "a label is missing in the list" if reason == "missing label" else reason
            labels.append(label)
        return written(labels), None

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`."""
        labels = json.loads(answer)
        if len(self._asked.columns) > 1:
            return [int(column in labels) for column in self._asked.columns]
        return [self._options.delimiter.join(labels) if self._options.delimiter else answer]

    def _of_columns(self, values: Sequence[Any]) -> list[str] | str:
        """Returns the columns that say yes, or why they do not say."""
        told = [text_of(value) for value in values]
        if all(one is None for one in told):
            return "missing label"
        found = []
        for column, one in zip(self._asked.columns, told, strict=True):
            if one is None:
                return f"no value in some of the label columns ({column})"
            if one.lower() not in _TRUE | _FALSE:
                return f"a label column holds neither 0 nor 1 ({column}: {one[:40]!r})"
            if one.lower() in _TRUE:
                found.append(column)
        return found

    def _of_cell(self, value: Any, place: str) -> Sequence[Any] | str:
        """Returns the labels in a cell, or why there are none."""
        if value is not None and not isinstance(value, str | float) and hasattr(value, "__iter__"):
            return self._of_list(value, place)
        text = None if value is None else str(value).strip()
        if not text or text_of(value) is None:
            return [] if self._options.empty_is_none else "missing label"
        if len(text) > _LONGEST:
            return f"labels longer than {_LONGEST:,} characters"
        if self._options.delimiter:
            return [part for part in text.split(self._options.delimiter) if part.strip()]
        listed = listed_in(text)
        return [value] if listed is None else self._of_list(listed, place)

    def _of_list(self, value: Any, place: str) -> Sequence[Any]:
        """Returns the labels of a list, or of a mapping of labels to how true they are."""
        if isinstance(value, Mapping):
            if list(value) == ["choices"]:  # as label-studio writes a cell
                return list(value["choices"] or [])
            return [name for name, share in value.items() if isinstance(share, bool | int | float) and share > _HALF]
        values = list(value)
        if len(values) > 2 and all(text_of(one) in ("0", "1") for one in values):
            if len(self._asked.allowed) != len(values):
                raise InputError(
                    f"{place}: {self._asked.columns[0]!r} holds {len(values)} zeros and ones in a list, such as "
                    f"{str(values)[:60]}: which label stands where is not told. Name all labels, in that order, in "
                    "data.labels."
                )
            return [name for name, one in zip(self._asked.allowed, values, strict=True) if text_of(one) == "1"]
        return values


def listed_in(text: str) -> Any:
    """Returns what a text holds that was written from a list or a mapping ("['a', 'b']"); None where it is neither."""
    if (text[0], text[-1]) not in (("[", "]"), ("{", "}"), ("(", ")")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, list | tuple | set | frozenset | dict):
            return sorted(found) if isinstance(found, set | frozenset) else found
    return None


class SetCensus:
    """Counts labels.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._asked, self._options = asked, options
        self._counts = Counter[str]()

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""
        for answer, count in answers.items():
            for label in json.loads(answer):
                self._counts[label] += count
        refuse_many(self._counts, " and ".join(self._asked.columns))

    def check(self, rows: int) -> None:
        """Refuses numbers, dates, identifiers, spellings of one label, and labels that are several in one text."""
        if not self._options.delimiter and not self._asked.allowed:
            self._refuse_joined()
        reader = LabelReader(
            " and ".join(self._asked.columns), self._asked.task, self._asked.allowed, normalize=self._asked.normalize
        )
        check_classes(self._counts, rows, reader, several=True)

    def _refuse_joined(self) -> None:
        for delimiter in _DELIMITERS:
            parts = {label: [part.strip() for part in label.split(delimiter)] for label in self._counts}
            several = [
                label for label, own in parts.items() if len(own) > 1 and all(part in self._counts for part in own)
            ]
            if several:
                raise InputError(
                    f"Labels in {self._asked.columns[0]!r} are several in one text, such as {several[0][:80]!r}, whose "
                    f"parts are labels too. Set task_args: {{delimiter: {json.dumps(delimiter)}}}; or, where each is "
                    "one label, name all labels in data.labels."
                )
