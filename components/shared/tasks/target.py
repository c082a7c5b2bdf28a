"""What an answer is: how a row's values become one, what two for the same input mean, by what examples are dealt.

Inside of ingest an answer travels as its *canonical text* (a class is its own; of everything else it is JSON), so that
whatever counts, compares and sorts answers knows no task. It becomes Arrow where a snapshot's shards are written, and
the columns that a network learns from where features are made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from components.shared.errors import InputError, quote_all
from components.shared.tasks.strata import NONE, Named, Stratification

Found = tuple[str | None, str | None]
"""An answer as canonical text, and why a row has none: one of them is None."""


@dataclass(frozen=True)
class Asked:
    """What a job says of the answers.

    Attributes:
        columns: That hold them.
        task: What they are for.
        allowed: The names (classes, labels, types) there may be; empty: all that are found.
        codes: The name that a code in the data stands for.
        normalize: Whether names that differ in case, blanks or Unicode form are one.
    """

    columns: Sequence[str]
    task: str
    allowed: Sequence[str] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    normalize: bool = False


class Seen(Protocol):
    """A column of a table, as a sample of its rows shows it: `components.shared.profile.columns.Column`."""

    @property
    def name(self) -> str:
        """In the file."""

    @property
    def kind(self) -> str:
        """What its values are: "list", "number", "whole number", "mapping", "words", "text", …."""

    @property
    def is_classes(self) -> bool:
        """Whether its values can be classes."""

    @property
    def is_id(self) -> bool:
        """Whether nearly every row has a value of its own, which is no text."""

    @property
    def is_flag(self) -> bool:
        """Whether it says yes or no: 0 or 1, true or false."""

    @property
    def joint(self) -> str:
        """What stands between several labels in a cell; "" where a cell is one."""


class AnswerReader(Protocol):
    """Makes answers of rows."""

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """Returns the answer of a row, or why it has none; "missing label" where nobody has answered yet.

        Args:
            value: Of its column; where there are several, their values in turn.
            place: Where the row stands, for people.
            inputs: What the row's input columns hold, as they were read.

        Raises:
            InputError: The column holds something else.
        """

    def cells(self, answer: str) -> Sequence[object]:
        """Returns what stands in the columns for an answer: for people who mend rows that were set aside."""


class Census(Protocol):
    """What is known of all answers while they are read, in bounded memory."""

    def add(self, answers: Mapping[str, int]) -> None:
        """Adds answers, and how many rows have each.

        Raises:
            InputError: There are more names than can be told apart.
        """

    def check(self, rows: int) -> None:
        """Looks at all of them.

        Args:
            rows: How many were read.

        Raises:
            InputError: The column holds something else, or names are written in several ways.
        """


class Target:
    """What most targets have in common; each overrides what differs.

    A target knows nothing of the data but what it is given: `spec` is what `snapshot.json` tells of the answers
    (`components.shared.artifacts.snapshot.spec_of`).
    """

    type: pa.DataType = pa.string()
    """Of the column `label` of a snapshot."""
    features: pa.Schema = pa.schema([])
    """The columns of features that a network learns from."""
    several: bool = False
    """Whether several columns can make an answer."""
    optional: bool = False
    """Whether rows have an answer without a column of it."""
    named: bool = True
    """Whether strata are names that people gave: they are `labels` in `snapshot.json`; rare ones may be dropped."""
    exclusive: bool = False
    """Whether each example is of one stratum, which says what its input is: near-duplicates in others are none."""
    private: bool = False
    """Whether an answer may be text that must not lie in the registry: an inventory keeps what `told` makes of it."""
    kinds: tuple[str, str] = ("", "answers")
    """What strata are called, one and several: "class" and "classes"; where they have no names, "" and the answers."""
    answers: str = "has an answer"
    """What an input does that has an answer, as a sentence ends: "belongs to one of {count} classes"."""
    if_empty: str = ""
    """What a job may say where an empty cell is an answer, for people who have such cells."""
    contradiction: str = "same input with different labels"
    """Why rows are set aside that `merge` makes nothing of."""

    def columns_in(self, columns: Sequence[Seen]) -> list[str]:
        """Returns those columns that can hold such answers: of names that everybody uses, else of whatever name.

        Of classes, who reads columns (`components.shared.profile.reading`) knows more.
        """
        return []

    def together(self, columns: Sequence[Seen]) -> list[str]:
        """Returns the columns that make an answer together, such as one of 0 and 1 for each label; [] where none do."""
        return []

    def claims(self, columns: Sequence[Seen]) -> bool:
        """Tells whether a table is made for just such answers, by the names and kinds of its columns."""
        return False

    def reader(self, asked: Asked) -> AnswerReader:
        """Returns what makes answers of rows."""
        raise NotImplementedError

    def census(self, asked: Asked) -> Census:
        """Returns what looks at all answers before any of them is learned from."""
        return NoCensus()

    def value(self, answer: str) -> Any:
        """Returns an answer as a value of `type`."""
        return answer

    def text(self, value: Any) -> str:
        """Returns the canonical text of a value of `type`."""
        return str(value)

    def merge(self, answers: Sequence[str]) -> str | None:
        """Returns the answer of several rows with the same input, whatever their order; None: they contradict.

        It takes what `told` returns, too: what is merged and then told is what is told and then merged.
        """
        return answers[0] if len(set(answers)) == 1 else None

    def told(self, answer: str) -> str:
        """Returns what an inventory keeps of an answer: itself, or where it is private a hash with its strata."""
        return answer

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns what an example counts as: its class, each of its labels, the range that its number is in.

        Args:
            answer: As canonical text, or as `told`.
            spec: Of the snapshot; empty where names alone matter.
        """
        return (answer,)

    def stratification(self) -> Stratification:
        """Returns what collects the strata of all examples."""
        return Named(lambda answer: self.strata(answer, {}))

    def rename(self, answer: str, name_of: Callable[[str], str | None]) -> str | None:
        """Returns an answer with other names, those without any left out; None where nothing is left of the example."""
        return name_of(answer)

    def spec(self, counts: Mapping[str, Mapping[str, int]], told: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `snapshot.json` tells under `target`; empty where `labels` tells it all.

        Args:
            counts: Examples by stratum in each split.
            told: What the stratification found.
        """
        return dict(told)

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """Refuses what nothing can be learned from.

        Args:
            counts: Examples by stratum in each split.
            column: That holds the answers, for the message.

        Raises:
            InputError: There is nothing to tell apart, or none of it to learn from.
        """

    def args_for(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options (`task_args`) that data ask for, by what a profile shows of them."""
        return {}

    def why_unlearnable(self, profile: Mapping[str, Any]) -> str:
        """Returns what a profile shows that nothing can be learned from, as a sentence goes on; "" for nothing."""
        kind = self.kinds[0]
        if not self.named or not kind:
            return ""
        names, least = [label for label, _ in profile["classes"] if label != NONE], 2 if self.exclusive else 1
        if len(names) >= least:
            return ""
        have = f"one {kind}, {names[0]!r}" if names else f"no {kind}"
        return f"has {have} in {profile['read']:,} rows; at least {'two are' if least > 1 else 'one is'} needed"

    def describe(self, answers: Sequence[str]) -> dict[str, Any]:
        """Returns what a profile tells of a sample of answers beside the sizes of strata: JSON values."""
        return {}

    def encode(self, answers: pa.Array, spec: Mapping[str, Any]) -> list[pa.Array]:
        """Returns answers, a column of a snapshot, as the columns of `features`."""
        raise NotImplementedError


def named(columns: Sequence[Seen], names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Returns the columns of some kinds that have one of these names, in the order of the names."""
    found = {column.name.strip().lower(): column.name for column in columns if column.kind in kinds}
    return [found[name] for name in names if name in found]


class NoCensus:
    """For answers that are found fault with one by one."""

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""

    def check(self, rows: int) -> None:
        """See `Census`."""


def refuse_untrained(counts: Mapping[str, Mapping[str, int]], names: Sequence[str], what: str) -> None:
    """Raises `InputError` where some names have no training example."""
    missing = [name for name in names if not counts["train"].get(name)]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(names)} {what} have no training example: {quote_all(missing)}. Label more of "
            "them, or leave them out of the data."
        )
