"""What the words of the texts tell: a linear model on TF-IDF columns, everything about it chosen on validation.

Of classes it is a linear SVM; of other answers the layer of the task's own head, see `fitters.py`.

Source: Lin et al. 2023, "Linear Classifier: An Often-Forgotten Baseline for Text Classification".
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from components.finetune.linear.classical import CHOICE, FIT, ClassicalFit, part_of
from components.finetune.linear.convex import Seen
from components.finetune.linear.fitters import Fitter, fitter_of
from components.finetune.linear.words import Words
from components.shared.lexical.corpus import Corpus, Reading
from components.shared.lexical.terms import CHARACTERS
from components.shared.lexical.tokens import TokenTerms
from components.shared.lexical.vectorizer import Vectorizer, join
from components.shared.linear import Linear
from components.shared.selection import rank

_TERMS, _LEAST_TERMS = 200_000, 1_000  # that are kept at most, however few or many classes there are
_A_TERM = 5  # characters of a text for each of its terms, about
_FEW = 1_000  # examples: below, a word that is in one text alone is kept
_MOST_FOR_CHARACTERS = 10_000_000  # characters of all texts: beyond, words tell enough


def fit_lexical(words: Words, seed: int, selection: str = "", like: ClassicalFit | None = None) -> ClassicalFit | None:
    """Fits a linear model of TF-IDF columns; terms, penalty and balance are chosen on validation examples.

    All readings are tried at the same penalty, in both balances; the penalty is chosen for the best. Among them is the
    recipe `TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)` with `LinearSVC`. Where a fit would take
    long it is chosen on a part of the examples.

    Args:
        words: The texts.
        seed: Of the fits, and of the part that is chosen on.
        selection: What is chosen by; "" leaves it to the counts of the classes.
        like: Another fit, whose terms, penalty and balance are taken: nothing is chosen.

    Returns:
        The fit; None where the texts hold no term that could tell anything.
    """
    fitter = fitter_of(words, seed, selection)
    return _Search(words, seed, fitter.selection, fitter, like).run()


def top_words(
    vectorizer: Vectorizer | TokenTerms, wide: np.ndarray, labels: Sequence[str], exclusive: bool = True, most: int = 10
) -> dict[str, Any]:
    """Returns for each class the words with the largest positive weights, as [word, weight], largest first.

    Of one number without a name they are those that raise it, and those that lower it.

    Args:
        vectorizer: Of the columns.
        wide: float [outputs, columns].
        labels: Of the outputs: classes, or labels of which an example may have several; [] of a number.
        exclusive: Whether an example has one of them: what all share tells them not apart.
        most: How many of each.
    """
    if not labels and len(wide) == 1:
        labels, wide, exclusive = ("raises", "lowers"), np.stack([wide[0], -wide[0]]), False
    names = vectorizer.names()
    against = wide - wide.mean(0) if exclusive else wide
    found: dict[str, Any] = {}
    for label, weights in zip(labels, against, strict=True):
        best = np.argsort(-weights, kind="stable")[:most]
        found[label] = [
            [names[place], round(float(weights[place]), 4)] for place in best.tolist() if weights[place] > 0
        ]
    return found


@dataclass(frozen=True)
class _Columns:
    """What a reading makes of the texts: of the training examples `numbers`, of which a fit takes `part`."""

    reading: Reading
    vectorizer: Vectorizer
    train: csr_matrix
    validation: csr_matrix
    numbers: np.ndarray
    part: np.ndarray


@dataclass
class _Search:
    """Looks for the best model of the words alone."""

    words: Words
    seed: int
    selection: str
    fitter: Fitter
    like: ClassicalFit | None = None
    _corpus: Corpus | None = None

    def run(self) -> ClassicalFit | None:
        began, labels = time.perf_counter(), self.words.labels
        size = _volume(self.words) // _A_TERM * self.words.classes
        few, most = (part_of(labels, size, limit, self.seed) for limit in (CHOICE, FIT))
        tried = self._try(few)
        if not tried:
            return None
        made, best = max(tried, key=lambda item: rank(item[1].validation, self.selection))
        linear = best if self.like else self._fit(made, best.balanced, self.fitter.penalties)
        if len(few) < len(labels):
            made = self._columns(made.reading, np.arange(len(labels))) or made
            linear = self._fit(replace(made, part=most), best.balanced, [linear.penalty])
        return ClassicalFit(
            maker=made.vectorizer,
            linear=linear,
            columns=made.train,
            validation_columns=made.validation,
            choice=made.reading,
            tried=[
                {"reading": one.reading.words, "balanced": fit.balanced, **fit.validation, "seconds": fit.seconds}
                for one, fit in tried
            ],
            examples=len(most),
            total=self.words.total,
            train_loss=self.fitter.loss(linear, Seen(made.train[most]), most),
            seconds=time.perf_counter() - began,
        )

    def _try(self, part: np.ndarray) -> list[tuple[_Columns, Linear]]:
        """Fits all readings on some examples, at one penalty."""
        if self.like is not None:
            reading = self.like.choice
            assert isinstance(reading, Reading), "it read texts"
            found = self._columns(reading, part)
            return [(found, self._fit(found, self.like.linear.balanced, [self.like.linear.penalty]))] if found else []
        tried: list[tuple[_Columns, Linear]] = []
        for reading in self._readings():
            balances = list(self.fitter.balances)
            if reading.kind == CHARACTERS and tried:  # many columns, so that each fit takes long
                balances = [max(tried, key=lambda item: rank(item[1].validation, self.selection))[1].balanced]
            if made := self._columns(reading, part):
                tried += [(made, self._fit(made, balanced, [1.0])) for balanced in balances]
        return tried

    def _readings(self) -> list[Reading]:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        stops = (ENGLISH_STOP_WORDS, frozenset[str]())
        found = [Reading(longest=longest, stop_words=stop) for stop in stops for longest in (1, 2)]
        return [*found, Reading(CHARACTERS, 4)] if _volume(self.words) <= _MOST_FOR_CHARACTERS else found

    def _columns(self, reading: Reading, part: np.ndarray) -> _Columns | None:
        """Makes the columns of a reading: terms are those of all texts, whichever of two they are."""
        words, count = self.words, len(part)
        if self._corpus is None or len(self._corpus) != count * len(words.train):
            self._corpus = Corpus([side[number] for side in words.train for number in part.tolist()])
        most = min(_TERMS, max(_LEAST_TERMS, self.fitter.weights // words.classes))
        terms, weights = self._corpus.terms(reading, 1 if count < _FEW else 2, most)
        if not len(terms):
            return None
        vectorizer = Vectorizer((terms,), len(words.train))
        sides = [weights[start : start + count] for start in range(0, weights.shape[0], count)]
        return _Columns(reading, vectorizer, join(sides), vectorizer.columns(words.validation), part, part)

    def _fit(self, made: _Columns, balanced: bool, penalties: Sequence[float]) -> Linear:
        """Fits on the examples that a fit is to take."""
        train = Seen(made.train[np.searchsorted(made.numbers, made.part)])
        return self.fitter.fit(train, made.part, Seen(made.validation), balanced, penalties)


def _volume(words: Words) -> int:
    """Returns how many characters there are to learn from."""
    return sum(len(text) for side in words.train for text in side)
