"""The parts of the page that are a regression's own: predictions over targets, and how errors are spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.shared.charts import Scale
from components.shared.statistics import Statistics
from components.shared.tasks.scoring import Section

POINTS = 1_000  # that are drawn; more cannot be told apart
BINS = 21  # of errors; odd, so that one of them is around 0
_WITHIN = 0.99  # of the errors are within the bins; the last ones hold the rest


def scatter_of(statistics: Statistics) -> list[list[float]]:
    """Returns pairs of target and prediction: the first examples, whose order is random."""
    pairs = np.stack([statistics[name][:POINTS] for name in ("target", "predicted")], axis=1)
    found: list[list[float]] = pairs.tolist()
    return found


def residuals_of(statistics: Statistics) -> dict[str, Any]:
    """Returns how errors (prediction minus target) are spread.

    Returns:
        `edges` of bins of equal width about 0, the `counts` in them (what is beyond is in the last ones), the `mean`,
        and the `deviation`.
    """
    error = statistics["predicted"] - statistics["target"]
    reach = float(np.quantile(abs(error), _WITHIN)) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    counts = np.histogram(np.clip(error, -reach, reach), edges)[0]
    told = {"mean": float(error.mean()), "deviation": float(error.std())}
    return {"edges": edges.tolist(), "counts": counts.tolist(), **told}


def sections_of(content: Mapping[str, Any]) -> Sequence[Section]:
    """Returns the sections, see `Scoring.sections`."""
    return [
        Section("scatter.html.j2", _scatter(content["scatter"]), beside=True),
        Section("residuals.html.j2", _residuals(content["residuals"]), beside=True),
    ]


def _scatter(pairs: Sequence[Sequence[float]]) -> dict[str, Any]:
    values = [value for pair in pairs for value in pair]
    low, high = min(values), max(values)
    air = 0.04 * ((high - low) or abs(high) or 1.0)
    x, y = Scale(low - air, high + air, 40, 292), Scale(low - air, high + air, 268, 16)
    return {
        "x": x,
        "y": y,
        "points": [(x(target), y(predicted)) for target, predicted in pairs],
        "ends": (x.low, x.high),
    }


def _residuals(told: Mapping[str, Any]) -> dict[str, Any]:
    edges, counts = told["edges"], told["counts"]
    x, y = Scale(edges[0], edges[-1], 40, 292), Scale(0, max(*counts, 1) * 1.05, 268, 16)
    bars = [
        {"x": x(low), "width": round(x(high) - x(low), 2), "y": y(count), "count": count, "low": low, "high": high}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    return {"x": x, "y": y, "bars": bars, "mean": told["mean"], "deviation": told["deviation"]}
