"""Texts as sparse vectors: TF-IDF of words or of characters, of one text or of two side by side with what they share.

Memory is bounded: a large vocabulary is hashed (Weinberger et al. 2009, 0902.2206), and features times classes are
limited, because a linear classifier holds as many weights.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array, hstack

_HASHED = 10_000_000  # characters from which on words are hashed
_MOST = 2**18  # columns of one text
_WEIGHTS = 40_000_000  # columns times classes
_LEAST = 1_000


class EmptyVocabularyError(ValueError):
    """The texts have nothing in them that could be counted."""


class TextVectors(Protocol):
    """Turns texts into TF-IDF vectors of unit length."""

    def fit(self, texts: Sequence[str]) -> None:
        """Learns vocabulary and document frequencies; raises `EmptyVocabularyError`."""

    def transform(self, texts: Sequence[str]) -> csr_array:
        """Returns float32 [texts, columns]."""

    @property
    def bytes(self) -> int:
        """What vocabulary and frequencies take."""


class Words:
    """Words, or words and pairs of them, that occur in at least two texts; sublinear term frequency."""

    def __init__(self, most: int, pairs: bool, stop_words: bool) -> None:
        self.options: dict[str, Any] = {
            "ngram_range": (1, 2 if pairs else 1),
            "stop_words": "english" if stop_words else None,
            "dtype": np.float32,
        }
        self.most, self.model = most, None

    def fit(self, texts: Sequence[str]) -> None:
        """Few texts may have no word in common: then each word counts."""
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
        from sklearn.pipeline import make_pipeline

        model: Any
        if sum(map(len, texts)) > _HASHED:
            columns = 2 ** int(np.log2(self.most))
            hashing = HashingVectorizer(n_features=columns, norm=None, alternate_sign=False, **self.options)
            model = make_pipeline(hashing, TfidfTransformer(sublinear_tf=True)).fit(texts)
        else:
            model = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=self.most, **self.options)
            try:
                model.fit(texts)
            except ValueError:
                model = _of_any_word(model, texts)
        self.model = model

    def transform(self, texts: Sequence[str]) -> csr_array:
        """Returns float32 [texts, columns]."""
        assert self.model is not None
        return csr_array(self.model.transform(texts))

    @property
    def bytes(self) -> int:
        """Of a hashed vocabulary only the frequencies are kept."""
        vocabulary: Mapping[str, int] = getattr(self.model, "vocabulary_", {})
        return sum(len(word.encode("utf-8", "replace")) + 5 for word in vocabulary) or 4 * self.most


class Characters:
    """Sequences of two to five characters within words, that occur in at least two texts (scikit-learn's `char_wb`).

    They are counted once for each distinct word, and so for the texts by one product of matrices: the same counts,
    some ten times as fast.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.grams: Any = None
        self.kept = np.zeros(0, np.int64)
        self.frequencies = np.zeros(0, np.float32)

    def fit(self, texts: Sequence[str]) -> None:
        """Keeps the most frequent sequences."""
        from sklearn.feature_extraction.text import CountVectorizer

        self.grams = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), dtype=np.float32)
        words, counts = _count(texts)
        found = csr_array(counts @ self.grams.fit_transform(words))
        documents = np.bincount(found.indices, minlength=found.shape[1])
        order = np.argsort(-documents, kind="stable")[: self.most]
        self.kept = np.sort(order[documents[order] >= min(2, documents.max())])
        self.frequencies = (np.log((1 + len(texts)) / (1 + documents[self.kept])) + 1).astype(np.float32)

    def transform(self, texts: Sequence[str]) -> csr_array:
        """Returns float32 [texts, columns]."""
        from sklearn.preprocessing import normalize

        words, counts = _count(texts)
        found = csr_array(counts @ self.grams.transform(words))[:, self.kept]
        found.data = (1 + np.log(found.data)) * self.frequencies[found.indices]
        return csr_array(normalize(found))

    @property
    def bytes(self) -> int:
        """Of the sequences that are kept."""
        names = self.grams.get_feature_names_out()[self.kept]
        return sum(len(name.encode("utf-8", "replace")) + 5 for name in names)


def _of_any_word(model: Any, texts: Sequence[str]) -> Any:
    try:
        return model.set_params(min_df=1).fit(texts)
    except ValueError as error:  # scikit-learn's "empty vocabulary"
        raise EmptyVocabularyError(str(error)) from error


def most_columns(classes: int, inputs: int) -> int:
    """Returns how many columns a text may have, so that the weights of a classifier fit the memory."""
    return int(min(_MOST, max(_LEAST, _WEIGHTS // (classes * (1 if inputs == 1 else 4)))))


def side_by_side(columns: Sequence[csr_array]) -> csr_array:
    """Returns one text's vector; or of two texts both, their product, their distance and their cosine, side by side.

    What two texts share is told by the product of their vectors, in what they differ by the distance |a - b| (as in
    InferSent, Conneau et al. 2017, 1705.02364).
    """
    if len(columns) == 1:
        return columns[0]
    left, right = columns
    product = left * right  # arrays: value by value
    cosine = csr_array(np.asarray(product.sum(axis=1), np.float32).reshape(-1, 1))
    return csr_array(hstack([left, right, product, abs(left - right), cosine], "csr", dtype=np.float32))


def _count(texts: Sequence[str]) -> tuple[list[str], csr_array]:
    """Returns the distinct words between blanks, and how often each text has them."""
    numbers: dict[str, int] = {}
    places = [[numbers.setdefault(word, len(numbers)) for word in re.split(r"\s+", text.lower())] for text in texts]
    ends = np.cumsum([0, *map(len, places)], dtype=np.int32)  # 32 bits: scikit-learn takes no more
    flat = np.fromiter(chain.from_iterable(places), np.int32, int(ends[-1]))
    counts = csr_array((np.ones(len(flat), np.float32), flat, ends), shape=(len(texts), len(numbers)))
    counts.sum_duplicates()
    return list(numbers), counts
