"""The best span of the windows of one example. No torch here: training and prediction use it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Window = tuple[Any, Any, Any]
"""Logits [tokens, 2] of beginning and end; where each token of the context begins and ends in characters, else -1."""


class Span(NamedTuple):
    """A part of a context.

    Attributes:
        start: Its first character.
        end: The one after its last; both are 0 where there is no answer.
        score: Its probability; of no answer the probability of that.
        margin: The logarithm of its odds against "no answer here", in its window; -inf where there is no span.
    """

    start: int
    end: int
    score: float
    margin: float


def best_span(windows: Sequence[Window], longest: int, level: float | None) -> Span:
    """Returns the best span of an example, or none.

    Args:
        windows: Of the example.
        longest: The most tokens of a span.
        level: The margin that an answer must exceed; None: there always is an answer.
    """
    found = [_best_of(*window, longest) for window in windows]
    total = np.logaddexp.reduce([0.0 if level is not None else -np.inf, *(window.total for window in found)])
    best = max(found, key=lambda window: window.margin, default=None)
    if best is None or best.margin == -np.inf:
        return Span(0, 0, float(level is not None), -np.inf)
    if level is not None and best.margin <= level:
        return Span(0, 0, float(np.exp(-total)), best.margin)
    same = [margin for window in windows for margin in _margins_of(*window, best.start, best.end)]
    score = float(np.exp(np.logaddexp.reduce(same) - total))
    return Span(best.start, best.end, min(score, 1.0), best.margin)


class _Best(NamedTuple):
    start: int
    end: int
    margin: float
    total: float  # logarithm of the sum of all spans' odds


def _best_of(logits: Any, starts: Any, ends: Any, longest: int) -> _Best:
    """Returns the best span of a window, and what all of its spans weigh."""
    starts, ends = np.asarray(starts), np.asarray(ends)
    places = np.flatnonzero(starts >= 0)
    if not len(places):
        return _Best(0, 0, -np.inf, -np.inf)
    values = np.asarray(logits, np.float64)
    begin, end = (values[places, side] - values[0, side] for side in (0, 1))
    steps = range(min(longest, len(places)))  # from the first token to the last
    sums = [begin[: len(begin) - step] + end[step:] for step in steps]
    bests = [int(row.argmax()) for row in sums]
    step = max(steps, key=lambda step: sums[step][bests[step]])
    first = bests[step]
    best = float(sums[step][first])
    total = best + float(np.log(np.exp(np.concatenate(sums) - best).sum()))
    first_place, last_place = places[first], places[first + step]
    return _Best(int(starts[first_place]), int(ends[last_place]), best, total)


def _margins_of(logits: Any, starts: Any, ends: Any, start: int, end: int) -> list[float]:
    """Returns the margin of a span in a window; [] where it does not stand in there."""
    first, last = np.flatnonzero(np.asarray(starts) == start), np.flatnonzero(np.asarray(ends) == end)
    if not len(first) or not len(last):
        return []
    values = np.asarray(logits, np.float64)
    return [float(values[first[0], 0] - values[0, 0] + values[last[-1], 1] - values[0, 1])]
