"""What evaluate asks of a regression: predictions and targets are numbers, float [examples]."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics, interval_of
from components.shared.tasks.regression.metrics import PEARSON, statistics_of
from components.shared.tasks.regression.sections import residuals_of, scatter_of, sections_of
from components.shared.tasks.scoring import CHANCE, Breakdown, CommonScoring, Duel, Mistake, Scored, Section, Spec

MEAN = "Mean of the training examples"


class RegressionScoring(CommonScoring):
    """Pearson's correlation first; a mistake is every example that is not met exactly, the farthest first."""

    mistakes = (
        "Largest errors",
        "These {shown} of {all:,} {what} are farthest from what they are labelled. Wrong labels in the data show up "
        "here first.",
        "None: every {one} is predicted exactly as it is labelled. Look whether the label is in the input before you "
        "believe it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns numbers, float64 [examples]."""
        return np.array(values, np.float64)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns `value`."""
        return np.array(columns["value"], np.float64)

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """Numbers are finite, and as many as there are examples."""
        if predictions.shape != (size,) or not np.isfinite(predictions).all():
            return f"gave no {size:,} finite numbers"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of numbers; what a model knew of others does not matter to them."""
        return statistics_of(predictions, targets)

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of `value`, the predicted numbers."""
        return statistics_of(columns["value"], whole["target"])

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `value` (double)."""
        return {"value": pa.array(predictions, pa.float64())}

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns the mean of the training examples."""
        return Baseline(MEAN, "", np.full(size, targets.mean()), 8, 0.0, len(targets))

    def chance(self, ours: Statistics, constant: Duel, name: str, seed: int) -> tuple[bool, str]:
        """Predictions have to follow the targets more than by chance; by an error they have to beat the mean, too."""
        if constant.metric.direction < 0 and constant.gain.low <= 0:
            return False, constant.numbers(name)
        found = interval_of(PEARSON, ours, seed, CHANCE)
        return found.low > 0, (
            f"{PEARSON.title} of predictions and labels is {found.value:.3f}, with a {CHANCE:.0%} interval of "
            f"{found.low:+.3f} to {found.high:+.3f}, where chance is 0"
        )

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns none: numbers are of no classes."""
        return Breakdown([], np.zeros(0, np.int64), np.zeros(0))

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns a scatter of at most 1,000 examples, and a histogram of the errors."""
        return {"scatter": scatter_of(scored.statistics), "residuals": residuals_of(scored.statistics)}

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns the distance of each prediction."""
        error = statistics["absolute_error"]
        return np.where(error > 0, error, np.nan)

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns how far it is off, which number is predicted, and that which it is labelled."""
        predicted, target = (float(statistics[name][place]) for name in ("predicted", "target"))
        said = [("predicted", f"{predicted:.4g}"), ("but labelled", f"{target:.4g}")]
        return Mistake(
            f"{predicted - target:+.3g}".replace("-", "−"), f"labelled {target:.4g}, predicted {predicted:.4g}", said
        )

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns predictions over targets, and how errors are spread."""
        return sections_of(content)
