"""The terms of a text, and their weights: TF-IDF as scikit-learn's `TfidfVectorizer(sublinear_tf=True)` has it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

WORDS, CHARACTERS = "words", "characters"
WORD = re.compile(r"(?u)\b\w\w+\b")
_SHORTEST = 2  # characters


@dataclass(frozen=True)
class Terms:
    """One kind of terms, with how many documents of those that it was made from hold each.

    Attributes:
        kind: "words", or "characters" (within words, a blank at both ends).
        longest: Terms are sequences of up to so many neighbouring words, or of two up to so many characters.
        stop_words: Words that are left out before they are joined.
        vocabulary: The terms, in the order of their columns.
        frequencies: int64 [terms], documents that hold each.
        documents: How many there were.
    """

    kind: str
    longest: int
    stop_words: frozenset[str]
    vocabulary: tuple[str, ...]
    frequencies: np.ndarray
    documents: int

    def __len__(self) -> int:
        return len(self.vocabulary)

    @cached_property
    def index(self) -> dict[str, int]:
        """The column of each term."""
        return {term: column for column, term in enumerate(self.vocabulary)}

    @cached_property
    def idf(self) -> np.ndarray:
        """float64 [terms]: ln((1 + documents) / (1 + frequency)) + 1."""
        found: np.ndarray = np.log((1 + self.documents) / (1 + self.frequencies)) + 1
        return found

    def columns(self, texts: Sequence[str]) -> csr_matrix:
        """Returns the terms' weights, float32 [texts, terms]; rows have length 1, or 0 where no term is known."""
        index, starts = self.index, [0]
        indices: list[int] = []
        counts: list[int] = []
        for text in texts:
            found = Counter(column for term in self.found_in(text) if (column := index.get(term)) is not None)
            indices += found.keys()
            counts += found.values()
            starts.append(len(indices))
        made = csr_matrix((np.array(counts, np.float64), np.array(indices, np.int32), starts), (len(texts), len(self)))
        made.sort_indices()  # sums in one order, whatever order the words come in
        return weigh(made, self.idf)

    def found_in(self, text: str) -> Iterable[str]:
        """Returns all terms of a text, known or not, each as often as it is there."""
        if self.kind == CHARACTERS:
            return (part for word in text.lower().split() for part in parts_of(word, self.longest))
        words = WORD.findall(text.lower())
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        return joined(words, self.longest)

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        told = {"kind": self.kind, "longest": self.longest, "stop_words": sorted(self.stop_words)}
        frequencies = self.frequencies.tolist()
        return {**told, "documents": self.documents, "vocabulary": list(self.vocabulary), "frequencies": frequencies}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Terms":
        """Returns the terms that `to_json` told."""
        return cls(
            told["kind"], told["longest"], frozenset(told["stop_words"]), tuple(told["vocabulary"]),
            np.array(told["frequencies"], np.int64), told["documents"],
        )  # fmt: skip


def weigh(counts: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """Returns (1 + ln(count)) · idf, float32, each row of length 1; changes the counts, which are above 0."""
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    squares = np.add.reduceat(np.append(values**2, 0), counts.indptr[:-1]) if counts.shape[0] else np.zeros(0)
    sizes = np.diff(counts.indptr)
    lengths = np.sqrt(np.where(sizes > 0, squares, 1))
    counts.data = (values / np.repeat(lengths, sizes)).astype(np.float32)
    return counts


def joined(words: list[str], longest: int) -> list[str]:
    """Returns words, and all runs of up to so many of them, joined by blanks."""
    found = list(words)
    for length in range(2, longest + 1):
        found += [" ".join(words[start : start + length]) for start in range(len(words) - length + 1)]
    return found


def parts_of(word: str, longest: int) -> list[str]:
    """Returns the sequences of two up to so many characters of a word with a blank at both ends."""
    padded = f" {word} "
    found: list[str] = []
    for length in range(_SHORTEST, longest + 1):
        if length >= len(padded):
            return [*found, padded]
        found += [padded[start : start + length] for start in range(len(padded) - length + 1)]
    return found
