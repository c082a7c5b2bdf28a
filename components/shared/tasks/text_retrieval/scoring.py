"""What evaluate asks of retrieval.

A prediction is a rank, int [pairs]: where a query finds its own passage among those of its block of test pairs, see
`ranking`. A target tells whether the pair belongs together, bool [pairs].
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics
from components.shared.tasks.scoring import Breakdown, CommonScoring, Mistake, Scored, Section, Spec
from components.shared.tasks.text_retrieval.metrics import statistics_of
from components.shared.tasks.text_retrieval.ranking import BLOCK, ranks_of_vectors

BLINDLY = "Passages in any order"


class RetrievalScoring(CommonScoring):
    """nDCG@10 first; a mistake is a passage that is not the first, the farthest down first."""

    mistakes = (
        "Passages that were not found",
        "{wrong:,} of {all:,} {what} do not find their passage first; these {shown} have it farthest down. Another "
        "passage may be as right: pairs tell of one alone.",
        "None: every {one} finds its passage first. Look whether queries stand in their passages before you believe "
        "it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns whether pairs belong together, bool [pairs]."""
        return np.array(values, bool)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns ranks by the cosines of `embedding` and `passage_embedding`."""
        sides = (np.array(list(columns[name]), np.float32) for name in ("embedding", "passage_embedding"))
        return ranks_of_vectors(*sides)

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """One rank for each pair."""
        if predictions.shape != (size,) or bool((predictions < 1).any()):
            return f"gave no ranks of {size:,} passages"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of ranks."""
        return statistics_of(predictions, targets)

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of the vectors."""
        return statistics_of(self.read({name: list(column) for name, column in columns.items()}, spec), whole["asked"])

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `rank` (int64)."""
        return {"rank": pa.array(predictions, pa.int64())}

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns the middle rank for each: what chance gives."""
        ends = np.arange(size) // BLOCK
        sizes = np.bincount(ends)[ends] if size else np.zeros(0, np.int64)
        return Baseline(BLINDLY, "", (sizes + 1) // 2, 0, 0.0, len(targets))

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns none: passages are of no classes."""
        return Breakdown([], np.zeros(0, np.int64), np.zeros(0))

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns how many relevant pairs have which ranks."""
        ranks = scored.statistics["rank"][scored.statistics["asked"]]
        ends = [0, 1, 3, 10, 100, np.inf]
        names = ["1", "2 to 3", "4 to 10", "11 to 100", "beyond 100"]
        counts = np.histogram(ranks, [end + 0.5 for end in ends])[0].tolist()
        return {"ranks": [{"rank": name, "pairs": count} for name, count in zip(names, counts, strict=True)]}

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns the rank of a passage that is not found first."""
        return np.where(statistics["asked"] & ~statistics["right"], statistics["rank"].astype(np.float64), np.nan)

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns the rank of the passage."""
        rank = f"{int(statistics['rank'][place]):,}"
        return Mistake(rank, f"the passage has rank {rank}", [("its passage has rank", rank)])

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns how many pairs have which ranks."""
        most = max([1, *(row["pairs"] for row in content["ranks"])])
        bars = [(row["rank"], row["pairs"], row["pairs"] / most) for row in content["ranks"]]
        return [Section("ranks.html.j2", {"bars": bars, "block": BLOCK})]
