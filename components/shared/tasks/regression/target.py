"""Numbers as answers: a score, a price, how alike two texts are."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.errors import InputError
from components.shared.tasks.strata import Ranges, range_of
from components.shared.tasks.target import Asked, Found, Seen, Target, named

_FEW = 1_000  # different numbers that are counted
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d{1,3}([.' \u00a0\u202f]\d{3})+|\d+),\d+")  # 1.234,5
_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")  # 1,234.5
_KINDS = ("number", "whole number")
_NAMES = (
    "score",
    "similarity",
    "similarity_score",
    "rating",
    "label",
    "target",
    "value",
    "y",
    "price",
    "grade",
    "stars",
)
_CODES = {"", "-", "nan", "na", "n/a", "none", "null"}  # how tools write that there is none


@dataclass(frozen=True)
class Options:
    """What a job may say under `task_args`.

    Attributes:
        tolerance: How far apart numbers for the same input may be; their mean is taken. Others contradict each other.
        decimal: What stands before the decimals in texts, "." or ",".
    """

    tolerance: float = 0.0
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.tolerance < 0 or not math.isfinite(self.tolerance):
            raise InputError(f"task_args.tolerance is {self.tolerance!r}; a number from 0 on was expected.")
        if self.decimal not in (".", ","):
            raise InputError(f"task_args.decimal is {self.decimal!r}; '.' or ',' was expected.")


@dataclass(frozen=True)
class Number(Target):
    """A finite number; its canonical text is the shortest that gives it back."""

    options: Options = field(default_factory=Options)

    type = pa.float64()
    features = pa.schema([("value", pa.float64())])
    named = False
    kinds = ("", "numbers")
    answers = "has a number"
    contradiction = "same input with different numbers (task_args: tolerance, takes their mean)"

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: numbers; else, with such a name, texts that may be numbers written otherwise ("1,5", "NaN")."""
        numbers = named(columns, _NAMES, _KINDS)[:1] or [column.name for column in columns if column.kind in _KINDS]
        odd = [column for column in columns if not (column.is_classes or column.joint)]
        return numbers or named(odd, _NAMES, ("words",))[:1]

    def claims(self, columns: Sequence[Seen]) -> bool:
        """See `Target`: numbers too many for classes, with the name of a score or a label, or in the only column left.

        Whole numbers that are all different may be an id.
        """
        found = named(columns, _NAMES, ("number",))[:1]
        if any(column.name in found and not column.is_classes for column in columns):
            return True
        inputs = ("picture", "text", "empty")
        left = [one for one in columns if one.kind not in inputs and not (one.kind == "words" and one.is_id)]
        if len(left) != 1 or left[0].is_classes or left[0].is_flag:
            return False
        return left[0].kind == "number" or (left[0].kind == "whole number" and not left[0].is_id)

    def reader(self, asked: Asked) -> "NumberReader":
        """See `Target`."""
        return NumberReader(asked, self.options)

    def census(self, asked: Asked) -> "NumberCensus":
        """See `Target`."""
        return NumberCensus(asked)

    def value(self, answer: str) -> float:
        """See `Target`."""
        return float(answer)

    def text(self, value: Any) -> str:
        """See `Target`."""
        return repr(float(value) + 0.0)  # -0.0 is 0.0

    def merge(self, answers: Sequence[str]) -> str | None:
        """See `Target`: the mean, where all are within the tolerance."""
        values = sorted(map(float, answers))
        if values[-1] - values[0] > self.options.tolerance:
            return None
        return self.text(values[0] if values[0] == values[-1] else math.fsum(values) / len(values))

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """The range that the number is in, of those that a snapshot tells."""
        return (range_of(float(answer), spec),)

    def stratification(self) -> Ranges:
        """See `Target`."""
        return Ranges()

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """See `Target`: numbers have no names."""
        return answer

    def spec(self, counts: Mapping[str, Mapping[str, int]], told: Mapping[str, Any]) -> dict[str, Any]:
        """`mean`, `deviation`, `low` and `high` of the training examples, `edges` between the ranges of all."""
        if told.get("deviation") == 0:
            raise InputError(
                f"All training examples have the number {told['mean']:g}: nothing can be learned from them. Numbers "
                "that differ were expected."
            )
        return dict(told)

    def why_unlearnable(self, profile: Mapping[str, Any]) -> str:
        """See `Target`: two different numbers are the least."""
        different = profile["numbers"]["different"]
        return "" if different > 1 else f"holds {'one number' if different else 'no number'} in all rows"

    def describe(self, answers: Sequence[str]) -> dict[str, Any]:
        """`numbers`: least and most, quartiles, mean, deviation, and how many different ones there are."""
        if not answers:
            return {"numbers": {"different": 0}}
        values = np.array([float(answer) for answer in answers])
        names = ("low", "first_quartile", "median", "third_quartile", "high")
        told = dict(zip(names, np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist(), strict=True))
        told |= {"mean": float(values.mean()), "deviation": float(values.std())}
        return {"numbers": {**told, "different": len(np.unique(values))}}

    def encode(self, answers: pa.Array, spec: Mapping[str, Any]) -> list[pa.Array]:
        """`value` double, as it is: whoever learns from it standardises it by the spec."""
        return [answers.cast(pa.float64())]


class NumberReader:
    """Makes numbers of values.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._decimal = options.decimal
        self._codes = dict(asked.codes)

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`."""
        if isinstance(value, bool):
            return None, f"label is no number ({value})"
        if not isinstance(value, str):
            return self._of_value(value)
        text = self._codes.get(value.strip(), value.strip()).replace("\u2212", "-")
        if text.lower() in _CODES:
            return None, "missing label"
        if self._decimal == ",":
            text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text.replace(",", "?")
        if not _NUMBER.fullmatch(text):
            return None, _fault(text, self._decimal)
        return self._finite(float(text))

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`."""
        return [answer.replace(".", self._decimal)]

    def _of_value(self, value: Any) -> Found:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None, "missing label"
        if isinstance(value, list | tuple | np.ndarray) and len(value) == 1:
            return self._of_value(value[0])
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None, f"label is no number ({type(value).__name__})"
        return self._finite(number)

    def _finite(self, number: float) -> Found:
        if not math.isfinite(number):
            return None, "label is no finite number"
        return repr(number + 0.0), None


def _fault(text: str, decimal: str) -> str:
    """Returns why a text is no number, and how it becomes one."""
    if decimal == "." and _COMMA.fullmatch(text):
        return f"label is a number with a decimal comma; task_args: decimal takes it ({text[:40]!r})"
    if _GROUPS.fullmatch(text):
        return f"label is a number whose thousands are parted ({text[:40]!r})"
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return "label is no finite number"
    return f"label is no number ({text[:40]!r})"


class NumberCensus:
    """Looks whether numbers differ.

    Args:
        asked: What a job says of them.
    """

    def __init__(self, asked: Asked) -> None:
        self._column, self._task = asked.columns[0], asked.task
        self._seen = Counter[str]()

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""
        if len(self._seen) < _FEW:
            self._seen.update(answers)

    def check(self, rows: int) -> None:
        """Refuses a column of one number."""
        if len(self._seen) == 1:
            raise InputError(
                f"The label column {self._column!r} holds {next(iter(self._seen))} in all rows; {self._task} needs "
                "numbers that differ."
            )
