"""A few numbers of each example, metrics that are functions of them, and how sure a metric is. Knows no task.

No file here imports SciPy at its top: light steps read the names of metrics too.
"""

from components.shared.statistics.bootstrap import CONFIDENCE, Gain, Interval, interval_of, mcnemar, paired_gain, wilson
from components.shared.statistics.metric import Metric, OfSums, measure, score_of, smaller, written
from components.shared.statistics.statistics import Statistics, join

__all__ = [
    "CONFIDENCE",
    "Gain",
    "Interval",
    "Metric",
    "OfSums",
    "Statistics",
    "interval_of",
    "join",
    "mcnemar",
    "measure",
    "paired_gain",
    "score_of",
    "smaller",
    "wilson",
    "written",
]
