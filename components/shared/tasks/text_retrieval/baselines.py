"""The baseline of retrieval: BM25 over words (Robertson & Zaragoza 2009), as the library bm25s computes it."""

import re
import time
from collections.abc import Iterator, Sequence

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.tasks.text_retrieval.ranking import BLOCK, barred_of, ranks_of

_WORD = re.compile(r"\w+")
_NO_WORD = "\u0000"  # stands for a passage without any: an index of nothing is refused


def text_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[str]], terms: Terms
) -> Iterator[Baseline]:
    """Yields BM25 with its usual parameters; it learns nothing, and counts words in the passages that it ranks.

    Args:
        train: Pairs; of them only the number is told.
        validation: Not needed.
        test: Queries and passages that are ranked.
        terms: Nothing of them is needed.
    """
    began = time.perf_counter()
    found, size = [np.zeros(0, np.int64)], 0
    for start in range(0, len(test[0]), BLOCK):
        queries, passages = (list(column[start : start + BLOCK]) for column in test)
        ranks, own = _ranks(queries, passages)
        found.append(ranks)
        size = max(size, own)
    yield Baseline("BM25", "k1 1.5, b 0.75", np.concatenate(found), size, time.perf_counter() - began, len(train))


def _ranks(queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, int]:
    """Returns the ranks of passages, and the bytes of the index."""
    from bm25s import BM25

    candidates = {text: number for number, text in enumerate(dict.fromkeys(passages))}
    own = np.array([candidates[text] for text in passages])
    index = BM25()
    index.index([_words(text) or [_NO_WORD] for text in candidates], show_progress=False)
    known = index.vocab_dict
    scores = np.zeros((len(queries), len(candidates)), np.float32)
    for row, query in zip(scores, queries, strict=True):
        if words := [word for word in _words(query) if word in known]:
            row[:] = index.get_scores(words)
    _, numbers = np.unique(np.array(queries, object), return_inverse=True)
    size = int(sum(part.nbytes for part in index.scores.values() if isinstance(part, np.ndarray)))
    return ranks_of(scores, own, barred_of(numbers, own, len(candidates))), size


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
