"""The metrics of entities: strict ones, as seqeval has them; type, beginning and end must be right."""

import numpy as np

from components.shared.statistics import OfSums
from components.shared.statistics.f1 import MacroF1, f1_of, share_of


def _precision(right: np.ndarray, found: np.ndarray) -> np.ndarray:
    return share_of(right, found)


ENTITY_F1 = OfSums("entity_f1", "entity F1", "Entity F1", ("hits", "found", "there"), of=f1_of)
TYPE_F1 = MacroF1("type_f1", "mean F1 of the types", "F1 of types", ("types_hit", "types_found", "types_there"))
PRECISION = OfSums("precision", "precision", "Precision", ("hits", "found"), decides=False, of=_precision)
RECALL = OfSums("recall", "recall", "Recall", ("hits", "there"), decides=False, of=_precision)
EXACT = OfSums(
    "exact_match", "share of texts with exactly their entities", "Exact texts", ("right",), hits="right",
    proportion=True, decides=False,
)  # fmt: skip
METRICS = (ENTITY_F1, TYPE_F1, PRECISION, RECALL, EXACT)
