"""The words of texts, each with columns of its own: what a linear model tags them by, beside a network or alone.

Where a head answers for tokens, the rows of a fit are those that stand for words. They are told by their numbers among
all tokens of a split, its rows of features one after the other: as `outputs_of` gives outputs, and `States` keeps them.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from components.finetune.learning.examples import Batch
from components.finetune.linear.classical import CHOICE, FIT, ClassicalFit, Sample, part_of, penalised
from components.finetune.linear.convex import OwnLoss, Seen
from components.finetune.linear.fitters import Answers, fitter_of
from components.finetune.linear.words import WideColumns
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import read_batches
from components.shared.backbones.head import Head
from components.shared.backbones.network import WIDE_IDS, WIDE_SIZES, WIDE_WEIGHTS
from components.shared.columns import Columns, Extras
from components.shared.lexical.tokens import TokenTerms, terms_of
from components.shared.tasks.objective import Objective

_MOST = 200_000  # tokens of a split that are learned from, or chosen on
_FEW = 10_000  # words: below, what one word alone has is kept
_TERMS, _LEAST_TERMS, _WEIGHTS = 300_000, 20_000, 4_000_000  # features at most, however many outputs; all weights

Part = tuple[list[str], Extras, np.ndarray]
"""Texts, what is told of the rows of their features, and which rows these are."""


@dataclass(frozen=True)
class TokenReading:
    """How words are looked at: there is one way."""

    words: str = "words, their parts, shapes and neighbours"


@dataclass(frozen=True)
class TokenAnswers(Answers):
    """Tags of words: targets and held ones are of those tokens that stand for words."""

    def held_targets(self) -> Batch:
        """Returns the targets of the validation words, as the head makes them, one after the other."""
        return _flat(self.own.head, self.held)


@dataclass(frozen=True)
class TokenWords(Sample):
    """Words of the training and the validation split: all, or those of evenly spaced texts.

    Attributes:
        train: The texts of the training rows, in parts.
        validation: Likewise of validation.
    """

    train: Sequence[Part]
    validation: Sequence[Part]


class TokenColumns(WideColumns):
    """The columns of all tokens of a split, on the disk; each weighs 1."""

    def __init__(
        self, snapshot: Artifact, splits: Sequence[str], maker: Columns, rows: FeatureSplit, file: Path
    ) -> None:
        """Makes the columns, in bounded memory.

        Args:
            snapshot: Where the texts are, in the features' order.
            splits: Of it, one after the other.
            maker: Makes the columns.
            rows: The features of these splits.
            file: Where they go, with another ending.
        """
        path, sizes, lengths = file.with_suffix(".ids"), [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        with path.open("wb") as ids:
            for texts, extras, _ in parts_of(snapshot, splits, rows):
                made = maker.columns([texts], extras)
                ids.write(made.indices.astype(np.int32).tobytes())
                sizes.append(np.diff(made.indptr).astype(np.int32))
                lengths.append(np.array([len(row) for row in extras["starts"]], np.int64))
        self._sizes, self._tokens = np.concatenate(sizes), np.cumsum(np.concatenate(lengths))
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._sizes, dtype=np.int64)])
        count = int(self._starts[-1])
        self._ids = np.memmap(path, np.int32, "r", shape=(count,)) if count else np.zeros(0, np.int32)

    def take(self, indices: np.ndarray) -> Mapping[str, list[np.ndarray]]:
        """Returns the columns of some of the split's rows: of each an array, and how many each of its tokens has."""
        tokens = [(int(self._tokens[number]), int(self._tokens[number + 1])) for number in indices.tolist()]
        ids = [self._ids[self._starts[first] : self._starts[last]] for first, last in tokens]
        sizes = [self._sizes[first:last] for first, last in tokens]
        return {WIDE_IDS: ids, WIDE_WEIGHTS: [np.ones(len(row), np.float32) for row in ids], WIDE_SIZES: sizes}


def parts_of(
    snapshot: Artifact, splits: Sequence[str], rows: FeatureSplit, wanted: np.ndarray | None = None
) -> Iterator[Part]:
    """Yields texts with the rows of their features, some after others.

    Args:
        snapshot: Where the texts are, in the features' order.
        splits: Of it, one after the other.
        rows: The features of these splits.
        wanted: int [rows], ascending, which of them; None: all.
    """
    chosen = np.arange(len(rows)) if wanted is None else wanted
    examples, start = rows.examples[chosen], 0
    for batch in chain.from_iterable(read_batches(snapshot, split) for split in splits):
        numbers = chosen[slice(*np.searchsorted(examples, [start, start + batch.num_rows]))]
        if len(numbers):
            told = rows.take_lists(numbers)
            examples_of: list[int] = (rows.examples[numbers] - start).tolist()
            extras: Extras = {"example": examples_of, "starts": told["starts"], "ends": told["ends"]}
            yield batch.column("input_1").to_pylist(), extras, numbers
        start += batch.num_rows


def read_tokens(
    snapshot: Artifact, splits: Mapping[str, FeatureSplit], numbers: np.ndarray, head: Head, objective: Objective
) -> TokenWords:
    """Reads the words of training and validation texts, in bounded memory.

    Args:
        snapshot: Its texts are in the features' order.
        splits: The features of "train" and of "validation".
        numbers: int [rows], which rows of training are learned from.
        head: Of the task; it is not changed.
        objective: Of the task.
    """
    given = {"train": np.unique(numbers), "validation": np.arange(len(splits["validation"]))}
    parts, places, targets = dict[str, list[Part]](), dict[str, np.ndarray](), dict[str, dict[str, list[Any]]]()
    for name, split in splits.items():
        wanted = given[name][:: max(1, math.ceil(int(split.lengths[given[name]].sum()) / _MOST))]
        parts[name] = list(parts_of(snapshot, (name,), split, wanted))
        places[name] = _places(parts[name], split)
        targets[name] = of_words(split.take_lists(wanted))
    own = OwnLoss(head)
    answers = TokenAnswers(
        own, objective, objective.selection(targets["train"]), _flat(head, targets["train"]), targets["validation"]
    )
    return TokenWords(
        labels=np.zeros(len(places["train"]), np.int64),
        numbers=places["train"],
        truth=np.zeros(len(places["validation"]), np.int64),
        validation_numbers=places["validation"],
        classes=own.outputs,
        total=len(places["train"]),
        answers=answers,
        train=parts["train"],
        validation=parts["validation"],
    )


def fit_tokens(
    sample: TokenWords, seed: int, selection: str = "", like: ClassicalFit | None = None
) -> ClassicalFit | None:
    """Fits a linear model of words and their neighbours; the penalty is chosen on validation.

    Args:
        sample: The words.
        seed: Of the part that is chosen on.
        selection: What is chosen by; "" leaves it to the task.
        like: Another fit, whose penalty is taken: nothing is chosen.

    Returns:
        The fit; None where there is no word.
    """
    began = time.perf_counter()
    most = min(_TERMS, max(_LEAST_TERMS, _WEIGHTS // sample.classes))
    maker = terms_of((part[:2] for part in sample.train), 1 if len(sample.numbers) < _FEW else 2, most)
    if not maker.width:
        return None
    train, validation = (_columns(maker, parts) for parts in (sample.train, sample.validation))
    fitter, size = fitter_of(sample, seed, selection), train.nnz * sample.classes
    few, whole = (part_of(sample.labels, size, limit, seed) for limit in (CHOICE, FIT))
    choices = fitter.penalties if like is None else [like.linear.penalty]
    linear = penalised(
        lambda part, penalties=choices: fitter.fit(Seen(train[part]), part, Seen(validation), False, penalties),
        few,
        whole,
    )
    seconds = time.perf_counter() - began
    return ClassicalFit(
        maker=maker,
        linear=linear,
        columns=train,
        validation_columns=validation,
        choice=TokenReading(),
        tried=[{"reading": TokenReading().words, "balanced": False, **linear.validation, "seconds": seconds}],
        examples=len(whole),
        total=sample.total,
        train_loss=fitter.loss(linear, Seen(train[whole]), whole),
        seconds=seconds,
    )


def _columns(maker: TokenTerms, parts: Sequence[Part]) -> csr_matrix:
    """Returns the columns of the words, float32 [words, columns]."""
    from scipy.sparse import vstack

    made = [maker.columns([texts], extras)[_asked(extras)] for texts, extras, _ in parts]
    return csr_matrix(vstack(made, "csr") if made else (0, maker.width), dtype=np.float32)


def _asked(extras: Extras) -> np.ndarray:
    """Returns which tokens stand for words, bool [tokens of all rows]."""
    return np.concatenate([np.zeros(0, bool), *(np.asarray(row) >= 0 for row in extras["starts"])])


def _places(parts: Sequence[Part], split: FeatureSplit) -> np.ndarray:
    """Returns the numbers of the tokens that stand for words, among all of the split."""
    starts = np.concatenate(([0], np.cumsum(split.lengths, dtype=np.int64)))
    found = [
        starts[number] + np.flatnonzero(np.asarray(row) >= 0)
        for _, extras, numbers in parts
        for number, row in zip(numbers.tolist(), extras["starts"], strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)


def of_words(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Returns what columns tell of the tokens of rows, of those alone that stand for words."""
    masks = [np.asarray(row) >= 0 for row in columns["starts"]]
    return {
        name: [np.asarray(row)[mask] for row, mask in zip(rows, masks, strict=True)] for name, rows in columns.items()
    }


def _flat(head: Head, columns: Mapping[str, Sequence[Any]]) -> Batch:
    """Returns targets of tokens, one after the other, of padded ones."""
    lengths = torch.tensor([len(row) for row in columns["starts"]], dtype=torch.int64)
    made = head.targets(columns)
    there = torch.arange(max((values.shape[1] for values in made.values()), default=0)) < lengths[:, None]
    return {name: values[there] for name, values in made.items()}
