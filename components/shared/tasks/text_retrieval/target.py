"""Whether a passage belongs to a query: yes or no, or a score from which on it does."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from components.shared.errors import InputError
from components.shared.tasks.target import Asked, Found, Seen, Target, named

RELEVANT, OTHER = "relevant", "not relevant"
_NAMES = ("score", "relevance", "label", "relevant", "is_relevant", "similarity")
_KINDS = ("number", "whole number", "true or false", "text")
_WORDS = {"true": 1.0, "yes": 1.0, "relevant": 1.0, "false": 0.0, "no": 0.0, "not relevant": 0.0, "irrelevant": 0.0}
_YES, _NO = "1", "0"


@dataclass(frozen=True)
class Options:
    """What a job may say under `task_args`.

    Attributes:
        relevant_from: The score from which on a passage belongs to its query; what lies below is one that it must not
            find.
        empty_is_relevant: Whether a pair without a score belongs together; else nobody has looked at it yet.
    """

    relevant_from: float = 0.5
    empty_is_relevant: bool = True


@dataclass(frozen=True)
class Relevance(Target):
    """Whether a pair belongs together; the canonical text is "1" or "0"."""

    options: Options = field(default_factory=Options)

    type = pa.bool_()
    features = pa.schema([("side", pa.int32()), ("relevant", pa.int32()), ("text", pa.int64())])
    several = True
    optional = True
    named = False
    contradiction = "same pair, relevant and not"

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: scores and flags, by their names; or passages that a query must not find."""
        found = named(columns, _NAMES, _KINDS)[:1]
        wrong = [
            column.name for column in columns if is_wrong(column.name) and column.kind in ("text", "words", "list")
        ]
        return found or [json.dumps(wrong) if len(wrong) > 1 else wrong[0]] if found or wrong else []

    def reader(self, asked: Asked) -> "RelevanceReader":
        """See `Target`."""
        return RelevanceReader(asked, self.options)

    def value(self, answer: str) -> bool:
        """See `Target`."""
        return answer == _YES

    def text(self, value: Any) -> str:
        """See `Target`."""
        return _YES if value else _NO

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Whether the pair belongs together."""
        return (RELEVANT if answer == _YES else OTHER,)

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """See `Target`: answers have no names."""
        return answer

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """Two training pairs at least that belong together: one is told from the other."""
        if counts["train"].get(RELEVANT, 0) < 2:
            raise InputError(
                f"{counts['train'].get(RELEVANT, 0)} training pairs belong together by {column!r}; two at least were "
                f"expected. A score counts from {self.options.relevant_from:g} on (task_args.relevant_from)."
            )


def is_wrong(column: str) -> bool:
    """Tells a column of passages that a query must not find by its name: `negative`, `neg`, `hard_negative_2`."""
    return any(part.startswith("neg") for part in column.strip().lower().split("_"))


class RelevanceReader:
    """Makes answers of values.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._options, self._codes = options, dict(asked.codes)

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`."""
        if isinstance(value, list):  # of several columns, or of none; see `unfolding`
            value = next((one for one in value if one is not None), None)
        if isinstance(value, str):
            text = self._codes.get(value.strip(), value.strip())
            value = _WORDS.get(text.lower(), text)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return (_YES, None) if self._options.empty_is_relevant else (None, "missing label")
        try:
            score = float(value)
        except (TypeError, ValueError, OverflowError):
            return None, f"label is no score ({str(value)[:40]!r})"
        if not math.isfinite(score):
            return None, "label is no finite number"
        return (_YES if score >= self._options.relevant_from else _NO), None

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`."""
        return [answer]
