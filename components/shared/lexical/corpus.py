"""Which terms there are: texts are taken apart once, then counted in any way without looking at them again."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from components.shared.lexical.terms import CHARACTERS, WORD, WORDS, Terms, parts_of, weigh

_Names = Callable[[np.ndarray], list[str]]
"""Takes columns; returns the terms that they stand for."""


@dataclass(frozen=True)
class Reading:
    """How texts are read.

    Attributes:
        kind: "words" or "characters".
        longest: The most words, or characters, of a term.
        stop_words: Words that are left out.
    """

    kind: str = WORDS
    longest: int = 1
    stop_words: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """What it is called."""
        if self.kind == CHARACTERS:
            return f"characters, 2 to {self.longest}"
        return ("words" if self.longest == 1 else "words and pairs") + (
            " without stop words" if self.stop_words else ""
        )


class Corpus:
    """Documents taken apart into their words, a number for each."""

    def __init__(self, documents: Sequence[str]) -> None:
        self.documents = documents

    def __len__(self) -> int:
        return len(self.documents)

    def terms(self, reading: Reading, least: int, most: int) -> tuple[Terms, csr_matrix]:
        """Finds the terms of the documents.

        Args:
            reading: Which terms.
            least: In how many documents a term must be.
            most: The most terms that are kept: those in the most documents.

        Returns:
            The terms, sorted, and their weights in the documents, float32 [documents, terms].
        """
        counts, names = self._characters(reading) if reading.kind == CHARACTERS else self._words(reading)
        frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
        kept = np.flatnonzero(frequencies >= least)
        if len(kept) > most:
            kept = kept[np.argsort(-frequencies[kept], kind="stable")[:most]]
        vocabulary = names(kept)
        order = sorted(range(len(kept)), key=vocabulary.__getitem__)
        kept = kept[order]
        terms = Terms(
            reading.kind, reading.longest, reading.stop_words, tuple(vocabulary[place] for place in order),
            frequencies[kept].astype(np.int64), len(self),
        )  # fmt: skip
        chosen = csr_matrix(counts[:, kept], dtype=np.float64)
        chosen.sort_indices()
        return terms, weigh(chosen, terms.idf)

    @cached_property
    def _taken(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The words; the number of each word in the documents, one after the other; of each its document."""
        return _numbered(WORD.findall(text.lower()) for text in self.documents)

    def _words(self, reading: Reading) -> tuple[csr_matrix, _Names]:
        words, numbers, documents = self._taken
        if reading.stop_words:
            left = ~np.isin(numbers, [number for number, word in enumerate(words) if word in reading.stop_words])
            numbers, documents = numbers[left], documents[left]
        keys, holders, count = numbers, documents, max(len(words), 1)
        if reading.longest == 2:
            pairs = documents[:-1] == documents[1:]
            joined = (numbers[:-1] + 1)[pairs] * count + numbers[1:][pairs]
            keys, holders = np.concatenate([keys, joined]), np.concatenate([holders, documents[:-1][pairs]])
        found, columns = np.unique(keys, return_inverse=True)

        def names(chosen: np.ndarray) -> list[str]:
            firsts, seconds = np.divmod(found[chosen], count)
            return [
                f"{words[first - 1]} {words[second]}" if first else words[second]
                for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True)
            ]

        return _count(holders, columns, (len(self), len(found))), names

    def _characters(self, reading: Reading) -> tuple[csr_matrix, _Names]:
        """A word's parts are the same wherever it stands: each word is taken apart once."""
        words, numbers, documents = _numbered(text.lower().split() for text in self.documents)
        parts, columns, holders = _numbered(parts_of(word, reading.longest) for word in words)
        of_words = _count(holders, columns, (len(words), len(parts)))
        counts = _count(documents, numbers, (len(self), len(words))) @ of_words
        return csr_matrix(counts), lambda chosen: [parts[number] for number in chosen.tolist()]


def _numbered(texts: Iterable[Iterable[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    index: dict[str, int] = {}
    flat, sizes = array("q"), array("q")
    for parts in texts:
        before = len(flat)
        flat.extend([index.setdefault(part, len(index)) for part in parts])
        sizes.append(len(flat) - before)
    documents = np.repeat(np.arange(len(sizes)), np.frombuffer(sizes, np.int64) if len(sizes) else 0)
    return list(index), np.array(flat, np.int64), documents


def _count(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    made = csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
    made.sum_duplicates()
    return made
