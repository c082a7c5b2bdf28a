"""Do predictions and labels agree more than chance would have it? Cohen's kappa, with its interval.

Cohen, A Coefficient of Agreement for Nominal Scales (1960): 0 for whatever does not look at the input, a constant
class and guessing alike, so that it tells chance where classes are uneven, too.
"""

from dataclasses import dataclass

import numpy as np

from components.shared import metrics
from components.shared.outcomes import Outcome

LEVEL = 0.99
"""Of the interval: a useful model is far from chance, and one of noise is to pass in one of two hundred tries."""
_RESAMPLES = 2_000
_CELLS = 4_000_000  # counts held at once


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa with its interval."""

    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """It as part of a sentence."""
        return (
            f"Cohen's kappa of predictions and labels is {self.value:.3f}, with a {LEVEL:.0%} interval of "
            f"{self.low:+.3f} to {self.high:+.3f}, where chance is 0"
        )


def kappa_of(outcome: Outcome, seed: int) -> Kappa:
    """Returns the kappa of predictions and labels; the interval by a percentile bootstrap over the examples."""
    counts = metrics.confusion_matrix(outcome.labels, outcome.predicted, outcome.classes).ravel()
    cells = np.flatnonzero(counts)
    generator, total = np.random.default_rng(seed), int(counts.sum())
    drawn, at_once = [], max(1, _CELLS // len(cells))
    for start in range(0, _RESAMPLES, at_once):
        size = min(at_once, _RESAMPLES - start)
        drawn.append(_kappas(generator.multinomial(total, counts[cells] / total, size=size), cells, outcome.classes))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(drawn), (tail, 1 - tail))
    return Kappa(float(_kappas(counts[cells][None], cells, outcome.classes)[0]), float(low), float(high))


def _kappas(counts: np.ndarray, cells: np.ndarray, classes: int) -> np.ndarray:
    """Takes how often each cell (true class times classes, plus predicted) occurs, [resamples, cells]."""
    truth, predicted = np.divmod(cells, classes)
    total = counts.sum(1)
    there, found = (counts @ np.equal.outer(side, np.arange(classes)) for side in (truth, predicted))
    agreed = counts[:, truth == predicted].sum(1) / total
    expected = (there * found).sum(1) / total.astype(np.float64) ** 2
    kappas: np.ndarray = np.divide(agreed - expected, 1 - expected, out=np.zeros(len(counts)), where=expected < 1)
    return kappas
