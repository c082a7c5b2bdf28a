"""The head of retrieval: vectors of length 1, one of each text. It goes with a registered model.

It learns by the other passages of a batch: a query's own must score higher than all of theirs (Henderson et al. 2017,
1705.00652; MultipleNegativesRankingLoss of sentence-transformers, with its scale).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, Encoded, Outputs, Spec
from ...backbones.head import Head as Contract

SCALE = 20.0
"""What a cosine is multiplied by."""

QUERY, PASSAGE = 0, 1
"""The column `side`."""


class Head(Contract):
    """Has no weights: the backbone's vectors are the answer."""

    apart: ClassVar[int] = 2
    out_features: ClassVar[int] = 0

    def __init__(self, width: int, spec: Spec) -> None:
        super().__init__(width, spec)

    def forward(self, encoded: Encoded) -> Outputs:
        """Returns `embedding`, float [texts, width], of length 1."""
        assert encoded.pooled is not None, "it takes one vector a text"
        return {"embedding": nn.functional.normalize(encoded.pooled.float(), dim=-1)}

    def targets(self, columns: Columns) -> Outputs:
        """Returns int64 [texts] each: `side`, `relevant` (of the pair), `text` (equal texts have the same)."""
        return {name: torch.from_numpy(np.asarray(columns[name], np.int64)) for name in ("side", "relevant", "text")}

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns cross-entropies in nats, of each relevant pair over the passages of the batch.

        Left out are passages that are the pair's own again, and other relevant ones of the same query; a passage that
        is not relevant to its query is one that it must not find (a hard negative). Nothing is smoothed.
        """
        vectors, side = outputs["embedding"].float(), targets["side"]
        queries, passages = vectors[side == QUERY], vectors[side == PASSAGE]
        relevant = targets["relevant"][side == QUERY] > 0
        if len(queries) != len(passages) or not bool(relevant.any()):
            return vectors.sum() * 0.0, relevant.sum() * 0
        query, passage = targets["text"][side == QUERY], targets["text"][side == PASSAGE]
        same = (passage[:, None] == passage) | ((query[:, None] == query) & relevant)
        same.fill_diagonal_(False)
        scores = (SCALE * queries @ passages.T).masked_fill(same, -torch.inf)
        wanted = torch.arange(len(queries), device=scores.device)
        return nn.functional.cross_entropy(scores[relevant], wanted[relevant], reduction="sum"), relevant.sum()

    @staticmethod
    def extras(encodings: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """Returns of each text whose it is (`example`)."""
        return {"example": [number for number, texts in enumerate(encodings) for _ in texts]}

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `embedding` of each query, `passage_embedding` of each passage, and `score`, their cosine."""
        firsts = np.flatnonzero(np.diff(np.asarray(extras["example"], np.int64), prepend=-1))
        vectors = [np.asarray(row, np.float64) for row in outputs["embedding"]]
        pairs = [(vectors[first], vectors[first + 1]) for first in firsts.tolist()]
        return {
            "embedding": [query.tolist() for query, _ in pairs],
            "passage_embedding": [passage.tolist() for _, passage in pairs],
            "score": [float(query @ passage) for query, passage in pairs],
        }
