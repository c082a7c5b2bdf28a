"""The raw examples that features were made from: what a linear model sees of them without a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from components.finetune.linear.classical import ClassicalFit, Sample
from components.finetune.linear.fitters import Answered
from components.finetune.linear.gradients import Pictures, fit_gradients, read_pictures
from components.finetune.linear.lexical import fit_lexical
from components.finetune.linear.tokens import TokenColumns, TokenWords, fit_tokens, read_tokens
from components.finetune.linear.words import WideColumns, Words, read_words
from components.finetune.settings import AUTO, GRADIENTS, LEXICAL, NOUNS, FinetuneSettings, strategies_of
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact, open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import SPLITS
from components.shared.columns import Columns
from components.shared.errors import InputError
from components.shared.tasks.objective import head_class


@dataclass(frozen=True)
class Raw:
    """The raw examples that the features were made from.

    Attributes:
        snapshot: Where they are, in the features' order.
        labels: The classes, in the features' order.
        seed: Of a sample, where there are more than fit into memory.
        scratch: A folder for columns, which can be made.
        whole: Whether the examples of all splits, one after the other, are training examples, and none validation.
        answered: Where answers are that are no one class of several; None of classes.
    """

    kind: ClassVar[str]
    """The strategy that looks at nothing else, and the kind of columns."""
    snapshot: Artifact
    labels: list[str]
    seed: int
    scratch: Path
    whole: bool = False
    answered: Answered | None = None

    @property
    def stands_alone(self) -> bool:
        """Whether a model of it alone can be served."""
        return self.answered is None or self.answered.stands_alone

    @property
    def noun(self) -> str:
        """What is seen: "words" or "gradients"."""
        return NOUNS[self.kind]

    def sample(self, numbers: np.ndarray) -> Sample:
        """Reads some training examples, and those of validation."""
        raise NotImplementedError

    def fit(
        self, sample: Sample, seed: int, selection: str = "", like: ClassicalFit | None = None
    ) -> ClassicalFit | None:
        """Fits a linear model, everything about it chosen on validation examples.

        Args:
            sample: That `sample` read, or a part of it.
            seed: Of the fits, and of the part that is chosen on.
            selection: What is chosen by; "" leaves it to the counts of the classes.
            like: Another fit, whose choices are repeated.

        Returns:
            The fit; None where there is nothing that could tell anything.
        """
        raise NotImplementedError

    def columns(self, maker: Columns, split: str) -> WideColumns:
        """Makes the columns of a split; of all examples, where they are taken as a whole."""
        splits, inputs = SPLITS if self.whole else (split,), len(self.snapshot.read_json("snapshot.json")["inputs"])
        return WideColumns(self.snapshot, splits, maker, inputs, self._file(split))

    def _file(self, split: str) -> Path:
        """Returns a new name for the columns of a split."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / f"{len(list(self.scratch.iterdir()))}-{split}"


class RawTexts(Raw):
    """Texts, of which words tell something."""

    kind = LEXICAL

    def sample(self, numbers: np.ndarray) -> Words:
        """Reads the texts of some training examples, and of validation."""
        if self.answered is None:
            return read_words(self.snapshot, self.labels, self.seed, numbers, self.whole)
        found = self.answered.of(read_words(self.snapshot, None, self.seed, numbers, self.whole), self.whole)
        assert isinstance(found, Words), "texts were read"
        return found

    def fit(
        self, sample: Sample, seed: int, selection: str = "", like: ClassicalFit | None = None
    ) -> ClassicalFit | None:
        """Fits a linear model of the words, see `components.finetune.linear.lexical`."""
        assert isinstance(sample, Words), "texts were read"
        return fit_lexical(sample, seed, selection, like)


class RawTokens(Raw):
    """Texts whose words are answered for one by one, of which their look and their neighbours tell something."""

    kind = LEXICAL

    def sample(self, numbers: np.ndarray) -> TokenWords:
        """Reads the words of some training rows, and of validation."""
        assert self.answered is not None, "it has answers"
        splits = {name: FeatureSplit(self.answered.features, name) for name in ("train", "validation")}
        return read_tokens(self.snapshot, splits, numbers, self.answered.head, self.answered.objective)

    def fit(
        self, sample: Sample, seed: int, selection: str = "", like: ClassicalFit | None = None
    ) -> ClassicalFit | None:
        """Fits a linear model of the words, see `components.finetune.linear.tokens`."""
        assert isinstance(sample, TokenWords), "words were read"
        return fit_tokens(sample, seed, selection, like)

    def columns(self, maker: Columns, split: str) -> TokenColumns:
        """Makes the columns of a split's tokens."""
        assert self.answered is not None, "it has answers"
        rows = FeatureSplit(self.answered.features, split)
        return TokenColumns(self.snapshot, (split,), maker, rows, self._file(split))


class RawPictures(Raw):
    """Pictures, of which gradients and colours tell something."""

    kind = GRADIENTS

    def sample(self, numbers: np.ndarray) -> Pictures:
        """Looks at the pictures of some training examples, and of validation."""
        return read_pictures(self.snapshot, self.labels, self.seed, numbers, self.whole)

    def fit(self, sample: Sample, seed: int, selection: str = "", like: ClassicalFit | None = None) -> ClassicalFit:
        """Fits a linear model of the gradients, see `components.finetune.linear.gradients`."""
        assert isinstance(sample, Pictures), "pictures were looked at"
        return fit_gradients(sample, seed, selection, like)


def raw_of(features: Artifact, snapshot: Path | None, settings: FinetuneSettings, scratch: Path) -> Raw | None:
    """Returns the raw examples that the features were made from; None where they are not to be looked at.

    Raises:
        InputError: They were made from another snapshot, or something is asked for that is not there.
    """
    told = features.read_json("features.json")
    is_text = pa.types.is_string(tasks.get(told["task"], told.get("task_args")).input_type)
    kind: type[Raw] = RawTexts if is_text else RawPictures
    answered = None if head_class(told["task"]).exclusive else Answered(features)
    if answered is not None and is_text and answered.has_words:
        kind = RawTokens
    elif answered is not None and not (is_text and answered.has_columns):
        _refuse_columns(settings)
        return None
    _check(settings, kind, snapshot is not None)
    switch, strategies = getattr(settings, kind.kind), strategies_of(settings.strategy)
    is_asked = is_text or AUTO in strategies or switch == "true"
    if snapshot is None or not (kind.kind in strategies or (is_asked and switch != "false")):
        return None
    source = open_artifact(snapshot, "snapshot")
    if (made_from := features.inputs.get("snapshot", "nothing")) != source.digest:
        raise InputError(
            f"The features at {features.path} were made from snapshot {made_from[:12]}, but the one at {source.path} "
            f"is {source.digest[:12]}. Name the snapshot that they were made from."
        )
    labels = told["labels"] if answered is None else answered.names
    found = kind(source, labels, settings.seed, scratch, answered=answered)
    if kind.kind in strategies and not found.stands_alone:
        raise not_alone(kind.kind)
    return found


def not_alone(kind: str) -> InputError:
    """Returns why there is no model of such columns alone."""
    return InputError(
        f"strategy: {kind} is a model without torch, but the task's answers.py has no `decode` that makes answers of "
        "what it gives. Choose another strategy."
    )


def _refuse_columns(settings: FinetuneSettings) -> None:
    """Refuses what is asked for in vain: such columns tell something of an input as a whole."""
    names = [name for name in (LEXICAL, GRADIENTS) if name in strategies_of(settings.strategy)]
    if names := names or [name for name in (LEXICAL, GRADIENTS) if getattr(settings, name) == "true"]:
        raise InputError(
            f"{names[0]!r} looks at {NOUNS[names[0]]}, which tell nothing of this task: it does not answer an input as "
            "a whole. Choose another strategy, or leave it out."
        )


def _check(settings: FinetuneSettings, kind: type[Raw], is_there: bool) -> None:
    """Refuses to look for words where there are none."""
    for name, what in ((LEXICAL, "texts"), (GRADIENTS, "images")):
        if name in strategies_of(settings.strategy) and (name != kind.kind or not is_there):
            raise InputError(
                f"strategy: {name} reads {NOUNS[name]}: it needs a task on {what}, and the snapshot that the features "
                "were made from (--snapshot)."
            )
        if getattr(settings, name) == "true" and (name != kind.kind or not is_there):
            raise InputError(
                f"training.{name} is true, but there are no {what} to read: it needs a task on {what}, and the "
                "snapshot that the features were made from (--snapshot)."
            )
