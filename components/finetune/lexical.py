"""What the words of the texts tell: a linear SVM on TF-IDF columns, everything about it chosen on validation examples.

Source: Lin et al. 2023, "Linear Classifier: An Often-Forgotten Baseline for Text Classification".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from components.finetune.words import Words, sample
from components.shared.lexical.corpus import Corpus, Reading
from components.shared.lexical.terms import CHARACTERS
from components.shared.lexical.vectorizer import Vectorizer, join
from components.shared.linear import PENALTIES, Linear, fit_linear
from components.shared.metrics import log_loss
from components.shared.selection import rank

CHOICE, FIT = 40_000_000, 300_000_000  # numbers that are not 0 times classes: in a fit that chooses, in the last one
_LEAST = 2_000  # examples that are chosen on, if there are so many
_WEIGHTS = 10_000_000  # columns times classes
_FEW = 1_000  # examples: below, a word that is in one text alone is kept
_MOST_FOR_CHARACTERS = 10_000_000  # characters of all texts: beyond, words tell enough


@dataclass(frozen=True)
class LexicalFit:
    """A linear model of the words alone.

    Attributes:
        vectorizer: Makes its columns of raw texts.
        linear: Its weights [classes, columns], and what was chosen, with scores on validation examples.
        columns: float32 [training examples of `Words`, columns].
        validation_columns: float32 [validation examples of `Words`, columns].
        reading: Which terms, in words.
        tried: Of each reading that was tried: `reading`, its scores, `seconds`.
        examples: How many training examples it was fitted on.
        total: How many there were.
        train_loss: On the examples that it was fitted on, in nats.
        seconds: Of everything.
    """

    vectorizer: Vectorizer
    linear: Linear
    columns: csr_matrix
    validation_columns: csr_matrix
    reading: str
    tried: list[dict[str, Any]]
    examples: int
    total: int
    train_loss: float
    seconds: float

    @property
    def validation(self) -> dict[str, float]:
        """`validation_loss`, `accuracy` and `macro_f1`."""
        return self.linear.validation

    @property
    def words(self) -> str:
        """What was chosen, in words."""
        return f"{self.reading}, {self.linear.words}"


def fit_lexical(words: Words, seed: int, selection: str = "") -> LexicalFit | None:
    """Fits a linear SVM on TF-IDF columns; terms, penalty and balance are chosen on validation examples.

    All readings are tried at the same penalty, in both balances; the penalty is chosen for the best. Among them is the
    recipe `TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)` with `LinearSVC`. Where a fit would take
    long it is chosen on a part of the examples.

    Args:
        words: The texts.
        seed: Of the fits, and of the part that is chosen on.
        selection: What is chosen by; "" leaves it to the counts of the classes.

    Returns:
        The fit; None where the texts hold no term that could tell anything.
    """
    return _Search(words, seed, selection or words.selection).run()


def top_words(vectorizer: Vectorizer, wide: np.ndarray, labels: Sequence[str], most: int = 10) -> dict[str, Any]:
    """Returns for each class the words with the largest positive weights, as [word, weight], largest first.

    Args:
        vectorizer: Of the columns.
        wide: float [classes, columns].
        labels: Of the classes.
        most: How many of each.
    """
    names = vectorizer.names()
    against = wide - wide.mean(0)  # what all classes share tells them not apart
    found: dict[str, Any] = {}
    for label, weights in zip(labels, against, strict=True):
        best = np.argsort(-weights, kind="stable")[:most]
        found[label] = [
            [names[place], round(float(weights[place]), 4)] for place in best.tolist() if weights[place] > 0
        ]
    return found


@dataclass
class _Search:
    """Looks for the best model of the words alone."""

    words: Words
    seed: int
    selection: str

    def run(self) -> LexicalFit | None:
        began, words = time.perf_counter(), self.words
        self.least = 1 if len(words.labels) < _FEW else 2
        self.most = min(200_000, max(1_000, _WEIGHTS // words.classes))
        self.corpora = [Corpus(side) for side in words.train]
        tried: list[tuple[Reading, Linear]] = []
        columns = {}
        for reading in self._readings():
            made = self._columns(reading)
            if made is None:
                continue
            few = part_of(words.labels, made[1].nnz * words.classes, CHOICE, self.seed)
            columns[reading] = made
            balances = [False, True]
            if reading.kind == CHARACTERS and tried:  # many columns, so that each fit takes long
                balances = [max(tried, key=lambda item: rank(item[1].validation, self.selection))[1].balanced]
            tried += [(reading, self._fit(made, few, balanced, [1.0])) for balanced in balances]
        if not tried:
            return None
        reading, best = max(tried, key=lambda item: rank(item[1].validation, self.selection))
        vectorizer, train, validation = columns[reading]
        few, most = (part_of(words.labels, train.nnz * words.classes, limit, self.seed) for limit in (CHOICE, FIT))
        linear = penalised(lambda part, **more: self._fit(columns[reading], part, best.balanced, **more), few, most)
        return LexicalFit(
            vectorizer=vectorizer,
            linear=linear,
            columns=train,
            validation_columns=validation,
            reading=reading.words,
            tried=[
                {"reading": one.words, "balanced": fit.balanced, **fit.validation, "seconds": fit.seconds}
                for one, fit in tried
            ],
            examples=len(most),
            total=words.total,
            train_loss=log_loss(linear.probabilities(train[most]), words.labels[most]),
            seconds=time.perf_counter() - began,
        )

    def _readings(self) -> list[Reading]:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        found = [
            Reading(longest=longest, stop_words=stop)
            for stop in (ENGLISH_STOP_WORDS, frozenset[str]())
            for longest in (1, 2)
        ]
        volume = sum(len(text) for side in self.words.train for text in side)
        return [*found, Reading(CHARACTERS, 4)] if volume <= _MOST_FOR_CHARACTERS else found

    def _columns(self, reading: Reading) -> tuple[Vectorizer, csr_matrix, csr_matrix] | None:
        """Makes the columns of a reading: terms are those of all texts, whichever of two they are."""
        words = self.words
        documents = self.corpora[0] if len(self.corpora) == 1 else Corpus([t for side in words.train for t in side])
        terms, weights = documents.terms(reading, self.least, self.most)
        if not len(terms):
            return None
        vectorizer = Vectorizer((terms,), len(words.train))
        count = len(words.labels)
        sides = [weights[start : start + count] for start in range(0, weights.shape[0], count)]
        return vectorizer, join(sides), vectorizer.columns(words.validation)

    def _fit(
        self,
        made: tuple[Vectorizer, csr_matrix, csr_matrix],
        part: np.ndarray,
        balanced: bool,
        penalties: Sequence[float] = PENALTIES,
    ) -> Linear:
        _, train, validation = made
        given = (train[part], self.words.labels[part], validation, self.words.truth, self.words.classes, self.seed)
        return fit_linear(*given, balances=[balanced], selection=self.selection, penalties=penalties)


def penalised(fit: Callable[..., Linear], few: np.ndarray, most: np.ndarray) -> Linear:
    """Returns a fit on `most` examples with the penalty that was chosen on `few`.

    Args:
        fit: Takes examples and `penalties`.
        few: The examples that the penalty is chosen on.
        most: The examples of the last fit.
    """
    chosen = fit(few)
    return chosen if len(most) == len(few) else fit(most, penalties=[chosen.penalty])


def part_of(labels: np.ndarray, size: int, limit: int, seed: int) -> np.ndarray:
    """Returns which examples a fit takes, ascending: so many that its size stays within the limit."""
    count = max(_LEAST, len(labels) * limit // max(size, 1))
    return sample(np.arange(len(labels)), count, seed)
