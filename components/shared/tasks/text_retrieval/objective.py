"""How well queries of validation find their passages."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets
from components.shared.tasks.text_retrieval.ranking import BLOCK, gain_at_10, ranks_of, ranks_of_vectors

_SCALE, _BATCH = 20.0, 64  # as in training


class Objective:
    """nDCG@10, recall, and the mean of the reciprocal ranks, among the passages of a block of validation pairs."""

    metrics = ("ndcg_at_10", "recall_at_1", "recall_at_10", "reciprocal_rank")
    bounded = metrics

    def __init__(self, spec: Mapping[str, Any]) -> None:
        pass

    def selection(self, targets: Targets) -> str:
        """Returns "ndcg_at_10"."""
        return "ndcg_at_10"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (of a pair, in nats, among 64) and the metrics, of relevant pairs."""
        side = np.asarray(targets["side"])
        relevant = np.asarray(targets["relevant"])[side == 0] > 0
        if not relevant.any():
            return dict.fromkeys(("validation_loss", *self.metrics), float("nan"))
        queries, passages = (outputs["embedding"][side == number].astype(np.float64) for number in (0, 1))
        ranks = ranks_of_vectors(queries, passages)[relevant]
        texts = np.asarray(targets["text"])
        losses = _losses(queries, passages, texts[side == 0], texts[side == 1], relevant)
        return {
            "validation_loss": float(losses[relevant].mean()),
            "ndcg_at_10": float(gain_at_10(ranks).mean()),
            "recall_at_1": float((ranks <= 1).mean()),
            "recall_at_10": float((ranks <= 10).mean()),
            "reciprocal_rank": float((1 / ranks).mean()),
        }

    def groups(self, targets: Targets) -> np.ndarray:
        """See `Grouping`: the passages of a query; what it must not find is told apart from its own."""
        texts = np.asarray(targets["text"])[np.asarray(targets["side"]) == 0]
        found: np.ndarray = np.unique(texts, return_inverse=True)[1].ravel()
        return found

    def dealt(self, outputs: Outputs, targets: Targets, times: int) -> tuple[int, list[float]]:
        """See `Dealing`: queries look for the passages of others."""
        side = np.asarray(targets["side"])
        relevant = np.asarray(targets["relevant"])[side == 0] > 0
        queries, passages = (outputs["embedding"][side == number].astype(np.float32) for number in (0, 1))
        draw = np.random.default_rng(0)
        found: list[list[np.ndarray]] = [[] for _ in range(times)]
        for start in range(0, len(queries), BLOCK):
            block = slice(start, start + BLOCK)
            scores, asked = queries[block] @ passages[block].T, relevant[block]
            for gains in found:
                gains.append(gain_at_10(ranks_of(scores, draw.permutation(len(scores)))[asked]))
        return int(relevant.sum()), [float(np.concatenate(gains).mean()) if gains else float("nan") for gains in found]

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Does nothing: a cosine is what it is."""
        return {}


def _losses(
    queries: np.ndarray, passages: np.ndarray, query: np.ndarray, passage: np.ndarray, relevant: np.ndarray
) -> np.ndarray:
    found = []
    for start in range(0, len(queries), _BATCH):
        part = slice(start, start + _BATCH)
        scores = _SCALE * queries[part] @ passages[part].T
        same = (passage[part][:, None] == passage[part]) | (query[part][:, None] == query[part]) & relevant[part]
        np.fill_diagonal(same, False)
        scores[same] = -np.inf
        found.append(np.logaddexp.reduce(scores, 1) - scores.diagonal())
    return np.concatenate(found)
