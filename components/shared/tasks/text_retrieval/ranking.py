"""At which rank a query finds its passage among those of the other queries."""

import numpy as np

BLOCK = 1024
"""Pairs whose passages are ranked together: what is the same for all rivals, however they are asked."""
_CUT = 10


def ranks_of(scores: np.ndarray, own: np.ndarray, barred: np.ndarray | None = None) -> np.ndarray:
    """Returns the rank of each query's own passage, from 1; equal scores count as lower.

    Args:
        scores: [queries, candidates].
        own: int [queries], which candidate is a query's own.
        barred: bool [queries, candidates]: other passages of the same query, which compete with none of them.
    """
    mine = scores[np.arange(len(own)), own][:, None]
    above = scores > mine + 1e-5 * np.maximum(np.abs(mine), 1.0)
    if barred is not None:
        above &= ~barred
    found: np.ndarray = 1 + above.sum(1)
    return found


def ranks_of_vectors(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Returns the rank of each query's passage among those of its block, by the cosine.

    The same text has the same vector, but for the last digits: so equal passages are one candidate, and passages of
    equal queries do not compete.

    Args:
        queries: float [pairs, width], of length 1.
        passages: float [pairs, width], of length 1.
    """
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(queries), BLOCK):
        mine, texts = queries[start : start + BLOCK], passages[start : start + BLOCK]
        _, firsts, own = np.unique(np.round(texts, 3), axis=0, return_index=True, return_inverse=True)
        _, query = np.unique(np.round(mine, 3), axis=0, return_inverse=True)
        barred = barred_of(query.ravel(), own.ravel(), len(firsts))
        found.append(ranks_of(mine @ texts[firsts].T, own.ravel(), barred))
    return np.concatenate(found)


def barred_of(query: np.ndarray, own: np.ndarray, candidates: int) -> np.ndarray:
    """Returns which candidates are passages of the same query, bool [pairs, candidates].

    Args:
        query: int [pairs], the number of each pair's query.
        own: int [pairs], its candidate.
        candidates: How many there are.
    """
    there = np.zeros((int(query.max(initial=-1)) + 1, candidates), bool)
    there[query, own] = True
    found: np.ndarray = there[query]
    return found


def gain_at_10(ranks: np.ndarray) -> np.ndarray:
    """Returns nDCG@10 where one passage is wanted (Järvelin & Kekäläinen 2002): 1 / log2(1 + rank), 0 below."""
    return np.where(ranks <= _CUT, 1 / np.log2(1.0 + ranks), 0.0)
