"""The metrics of retrieval: where the passage of a query stands among those of a block of test pairs."""

import numpy as np

from components.shared.statistics import OfSums, Statistics
from components.shared.statistics.f1 import share_of
from components.shared.tasks.text_retrieval.ranking import gain_at_10


def _mean(found: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return np.where(asked > 0, share_of(found, asked), np.nan)


NDCG = OfSums("ndcg_at_10", "nDCG@10", "nDCG@10", ("gain", "asked"), of=_mean)
RECALL_1 = OfSums("recall_at_1", "recall@1", "Recall@1", ("first", "asked"), of=_mean)
RECALL_10 = OfSums("recall_at_10", "recall@10", "Recall@10", ("in_ten", "asked"), of=_mean)
RECIPROCAL = OfSums("reciprocal_rank", "mean reciprocal rank", "MRR", ("reciprocal", "asked"), of=_mean)
METRICS = (NDCG, RECALL_1, RECALL_10, RECIPROCAL)


def statistics_of(ranks: np.ndarray, relevant: np.ndarray) -> Statistics:
    """Returns the statistics of ranks, int [pairs]; pairs that are not relevant (bool [pairs]) count nowhere."""
    ranks = np.maximum(ranks, 1)
    return Statistics(
        {
            "rank": ranks,
            "asked": relevant,
            "right": (ranks == 1) & relevant,
            "first": (ranks == 1) & relevant,
            "in_ten": (ranks <= 10) & relevant,
            "reciprocal": np.where(relevant, 1 / ranks, 0.0),
            "gain": np.where(relevant, gain_at_10(ranks), 0.0),
        }
    )
