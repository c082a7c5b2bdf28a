"""Answers in a text: where they stand, or that there is none."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from components.shared.errors import InputError, quote_all
from components.shared.tasks.multi_label.target import listed_in
from components.shared.tasks.question_answering.places import located, parsed
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked, Found, Seen, Target, named

ANSWERED = "answered"
"""The stratum of questions whose answer stands in the text."""

_NAMES = ("answers", "answer", "answer_text", "answers.text")
_STARTS = ("answer_start", "start", "answer_starts", "start_char", "answers.answer_start")


@dataclass(frozen=True)
class Options:
    """What a job may say under `task_args`.

    Attributes:
        empty_is_none: Whether an empty cell says that the text holds no answer; else nobody has answered yet.
        max_answer_tokens: The most tokens of an answer that a model gives.

    Raises:
        InputError: An answer may have no token.
    """

    empty_is_none: bool = False
    max_answer_tokens: int = 64

    def __post_init__(self) -> None:
        if self.max_answer_tokens < 1:
            raise InputError(f"task_args.max_answer_tokens is {self.max_answer_tokens}; it must be at least 1.")


@dataclass(frozen=True)
class Answers(Target):
    """Spans of the context that answer the question, each as good as another; none where there is no answer.

    The canonical text is their sorted list of `[start, text]` as JSON; start counts characters.
    """

    options: Options = field(default_factory=Options)

    type = pa.list_(pa.struct({"text": pa.string(), "start": pa.int32()}))
    features = pa.schema([("start", pa.int32()), ("end", pa.int32()), ("window", pa.int32())])
    several = True
    named = False
    private = True

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """See `Target`: answers, as SQuAD has them or as texts, and where these begin in a column beside."""
        found = named(columns, _NAMES, ("mapping", "list", "text", "words"))[:1]
        starts = named(columns, _STARTS, ("whole number", "list"))[:1]
        kinds = {column.name: column.kind for column in columns}
        whole = any(kinds[name] == "mapping" or (kinds[name] == "list" and name not in _NAMES[2:]) for name in found)
        return [json.dumps(found + starts)] if found and starts and not whole else found

    def claims(self, columns: Sequence[Seen]) -> bool:
        """See `Target`: question, context and answers."""
        texts = ("text", "words")
        asked = named(columns, ("question",), texts) and named(columns, ("context", "passage"), texts)
        return bool(asked and named(columns, _NAMES, ("mapping", "list", *texts)))

    def reader(self, asked: Asked) -> "AnswerSpanReader":
        """See `Target`."""
        return AnswerSpanReader(asked, self.options)

    def value(self, answer: str) -> list[dict[str, Any]]:
        """See `Target`."""
        return [{"text": text, "start": start} for start, text in json.loads(answer)]

    def text(self, value: Any) -> str:
        """See `Target`."""
        return _written([[one["start"], one["text"]] for one in value])

    def merge(self, answers: Sequence[str]) -> str | None:
        """See `Target`: all of them are right. That there is none contradicts one."""
        listed = [json.loads(answer) for answer in answers]
        if any(listed) and not all(listed):
            return None
        return _written([one for own in listed for one in own])

    def told(self, answer: str) -> str:
        """See `Target`: a hash of each."""
        return _written([_digest(json.dumps(one, ensure_ascii=False)) for one in json.loads(answer)])

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Whether there is an answer."""
        return (ANSWERED if json.loads(answer) else NONE,)

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """See `Target`: answers have no names."""
        return answer

    def spec(self, counts: Mapping[str, Mapping[str, int]], told: Mapping[str, Any]) -> dict[str, Any]:
        """`unanswerable`: whether there are training questions without an answer, which a model must know then.

        And `max_answer_tokens`, which it reads its outputs by.
        """
        return {
            "unanswerable": bool(counts["train"].get(NONE)),
            "max_answer_tokens": self.options.max_answer_tokens,
        }

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """One training question with an answer at least."""
        if not counts["train"].get(ANSWERED):
            raise InputError(f"No training question has an answer in {column!r}; some were expected.")


def _written(answers: Sequence[Any]) -> str:
    texts = sorted({json.dumps(one, ensure_ascii=False) for one in answers})
    return json.dumps([json.loads(text) for text in texts], ensure_ascii=False)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class AnswerSpanReader:
    """Makes answers of values.

    Args:
        asked: What a job says of them.
        options: Those of the task.
    """

    def __init__(self, asked: Asked, options: Options) -> None:
        self._empty_is_none = options.empty_is_none
        columns = list(asked.columns)
        starts = [place for place, name in enumerate(columns) if name.lower() in _STARTS]
        if len(columns) > 1 and (len(columns) != 2 or len(starts) != 1):
            raise InputError(
                f"data.label names {quote_all(columns)}; of answers one column was expected, or two: their text, and "
                f"where it begins, called one of {quote_all(_STARTS)}."
            )
        self._start = starts[0] if len(columns) == 2 else None  # which of two columns it is

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`; the last of the inputs is the context."""
        if self._start is not None:
            text, start = value[1 - self._start], value[self._start]
            told = (text.strip() or _is_none(text, start)) if isinstance(text, str) else text is not None
            value = {"text": text, "start": start} if told else None
        if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
            found = listed_in(value.strip())
            found = parsed(value) if found is None else found
            value = value if found is None else found
        if value is None or (isinstance(value, float) and value != value) or (value == "" or value == " "):
            return ("[]", None) if self._empty_is_none else (None, "missing label")
        context, answers = str(inputs[-1]), []
        for text, start in _parts(value):
            if _is_none(text, start):
                continue
            where = located(context, text, start)
            if isinstance(where, str):
                return None, where
            answers.append(where)
        return _written([list(one) for one in answers]), None

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`: as SQuAD has them."""
        answers = json.loads(answer)
        if self._start is not None:
            start, text = answers[0] if answers else ("", "")
            return [start, text] if self._start == 0 else [text, start]
        columns = {"text": [text for _, text in answers], "answer_start": [start for start, _ in answers]}
        return [json.dumps(columns, ensure_ascii=False)]


def _is_none(text: Any, start: Any) -> bool:
    """Tells how some tables write that there is no answer: an empty one that begins before the text."""
    return isinstance(text, str) and not text.strip() and str(start).strip() in ("-1", "-1.0")


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Returns texts and starts of SQuAD's answers (columns, or a list of mappings), or of one text alone."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), next((value[name] for name in _STARTS if name in value), None)
        if texts is None:
            return [(value, None)]
        if isinstance(texts, str):
            return [(texts, starts)]
        own = list(starts) if starts is not None else []
        return [(text, own[place] if place < len(own) else None) for place, text in enumerate(texts)]
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return [(value, None)]
    return [part for one in value for part in _parts(one)]
