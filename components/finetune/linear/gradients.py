"""What the gradients of pictures tell: a linear SVM on HOG, with colours where they help.

Source: Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection".
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy.sparse import csr_matrix

from components.finetune.linear.classical import CHOICE, FIT, ClassicalFit, Sample, drawn, part_of
from components.finetune.linear.words import labels_of
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.columns import Columns
from components.shared.gradients.look import COLOURS, GRADIENTS, PIXELS, Look
from components.shared.linear import PENALTIES, Linear, fit_linear
from components.shared.metrics import log_loss
from components.shared.selection import rank

MOST_TRAIN, MOST_VALIDATION = 20_000, 5_000
_CHOICES = ((GRADIENTS,), (GRADIENTS, COLOURS), (GRADIENTS, COLOURS, PIXELS))
_AT_ONCE = 256  # pictures


@dataclass(frozen=True)
class Pictures(Sample):
    """Pictures of the training and the validation split, looked at: all, or a fair sample.

    Attributes:
        look: At everything that could be a column.
        train: float32 [training examples, its columns].
        validation: float32 [validation examples, its columns].
    """

    look: Look
    train: np.ndarray
    validation: np.ndarray

    def part(self, places: np.ndarray) -> "Pictures":
        """Returns some of the training examples, with the same validation examples."""
        kept = {name: getattr(self, name)[places] for name in ("train", "labels", "numbers")}
        return replace(self, **kept, total=len(places))

    def columns(self, maker: Columns, places: np.ndarray) -> csr_matrix:
        """Returns the columns of some of the training examples, float32 [examples, columns]."""
        assert isinstance(maker, Look), "it looks at pictures"
        return self.seen(self.train[places], maker.seen)

    def seen(self, rows: np.ndarray, names: Sequence[str]) -> csr_matrix:
        """Returns of rows [examples, columns of the look] the columns of these names."""
        parts = self.look.parts
        return csr_matrix(np.concatenate([rows[:, parts[name]] for name in names], 1))


def fit_gradients(pictures: Pictures, seed: int, selection: str = "", like: ClassicalFit | None = None) -> ClassicalFit:
    """Fits a linear SVM; what is looked at, penalty and balance are chosen on validation examples.

    Args:
        pictures: What was seen in them.
        seed: Of the fits, and of the part that is chosen on, where there are many.
        selection: What is chosen by; "" leaves it to the counts of the classes.
        like: Another fit, whose choices are repeated.
    """
    return _Search(pictures, seed, selection or pictures.selection, like).run()


@dataclass(frozen=True)
class _Search:
    """Looks for the best linear model of what is seen in pictures."""

    pictures: Pictures
    seed: int
    selection: str
    like: ClassicalFit | None

    def run(self) -> ClassicalFit:
        began, given = time.perf_counter(), self.pictures
        size = given.train.size * given.classes
        few, most = (part_of(given.labels, size, limit, self.seed) for limit in (CHOICE, FIT))
        tried = {look: self._fit(look, few, self._penalty) for look in self._looks()}
        look = max(tried, key=lambda one: rank(tried[one].validation, self.selection))
        linear = tried[look] if self.like is not None else self._fit(look, few, PENALTIES, [tried[look].balanced])
        if len(most) > len(few):
            linear = self._fit(look, most, [linear.penalty], [linear.balanced])
        columns = given.seen(given.train, look.seen)
        return ClassicalFit(
            maker=look,
            linear=linear,
            columns=columns,
            validation_columns=given.seen(given.validation, look.seen),
            choice=look,
            tried=[
                {"reading": one.words, "balanced": fit.balanced, **fit.validation, "seconds": fit.seconds}
                for one, fit in tried.items()
            ],
            examples=len(most),
            total=given.total,
            train_loss=log_loss(linear.probabilities(columns[most]), given.labels[most]),
            seconds=time.perf_counter() - began,
        )

    @property
    def _penalty(self) -> Sequence[float]:
        """What all looks are tried at."""
        return [1.0] if self.like is None else [self.like.linear.penalty]

    def _looks(self) -> list[Look]:
        """Returns what may be looked at; without colours there is one choice less."""
        look = self.pictures.look
        if self.like is not None:
            assert isinstance(self.like.maker, Look), "it looked at pictures"
            return [self.like.maker]
        choices = [names for names in _CHOICES if not (look.grey and names[-1] == COLOURS)]
        return [replace(look, seen=names) for names in choices]

    def _fit(
        self, look: Look, part: np.ndarray, penalties: Sequence[float], balances: Sequence[bool] = (False, True)
    ) -> Linear:
        given, like = self.pictures, self.like
        train, held = given.seen(given.train[part], look.seen), given.seen(given.validation, look.seen)
        tried = [like.linear.balanced] if like is not None else balances
        if self.selection == "accuracy" and like is None:
            tried = tried[:1]  # even classes weigh much the same anyway
        return fit_linear(
            train, given.labels[part], held, given.truth, given.classes, self.seed, balances=tried,
            selection=self.selection, penalties=penalties,
        )  # fmt: skip


def read_pictures(
    snapshot: Artifact, labels: Sequence[str], seed: int, numbers: np.ndarray | None = None, whole: bool = False
) -> Pictures:
    """Looks at the pictures of a snapshot in bounded memory, see `components.finetune.linear.words.read_words`."""
    splits, held = (SPLITS, ()) if whole else (("train",), ("validation",))
    truth, unseen = (labels_of(snapshot, some, labels) for some in (splits, held))
    given = np.arange(len(truth)) if numbers is None else np.unique(numbers)
    chosen = drawn(given, truth[given], MOST_TRAIN, seed)
    others = drawn(np.arange(len(unseen)), unseen, MOST_VALIDATION, seed)
    look = Look.fitting([file for files in _files(snapshot, splits, chosen[:_AT_ONCE]) for file in files])
    train, validation = (
        np.concatenate([look.vectors([]), *map(look.vectors, _files(snapshot, some, wanted))])
        for some, wanted in ((splits, chosen), (held, others))
    )
    return Pictures(
        truth[chosen], chosen, unseen[others], others, len(labels), len(given), look, train, validation
    )  # fmt: skip


def _files(snapshot: Artifact, splits: Sequence[str], wanted: np.ndarray) -> Iterator[list[bytes]]:
    """Yields the files of some examples, few enough at a time to be decoded at once."""
    start = 0
    for batch in chain.from_iterable(read_batches(snapshot, split) for split in splits):
        first, last = np.searchsorted(wanted, [start, start + batch.num_rows])
        places = wanted[first:last] - start
        for begin in range(0, len(places), _AT_ONCE):
            yield batch.column("input_1").take(places[begin : begin + _AT_ONCE].tolist()).to_pylist()
        start += batch.num_rows
        if len(wanted) and start > wanted[-1]:
            return
