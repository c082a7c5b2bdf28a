"""Geometry of the charts of a page: numbers only. Templates draw them as SVG, so that all text is escaped there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Point = tuple[float, float]
_MOST_POINTS = 400  # of a line; more cannot be told apart on the page
_ACROSS = (44, 470)  # pixels of the x axis
_TICK_DISTANCE = 40  # pixels
_MOST_NAMES = 10  # of versions, written below a chart


@dataclass(frozen=True)
class Scale:
    """Leads from values to pixels along one axis; on a logarithmic one equal factors are equally far apart."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Returns where a value is drawn, in pixels."""
        low, value, high = (
            map(math.log, (self.low, value, self.high)) if self.logarithmic else (self.low, value, self.high)
        )
        share = (value - low) / ((high - low) or 1.0)
        return round(self.start + share * (self.stop - self.start), 2)

    def ticks(self, count: int = 5, least: float = 0.0) -> list[float]:
        """Returns about `count` round values within the axis, at steps of at least `least`."""
        step = max(_round_step((self.high - self.low) / count), least)
        first = math.ceil(round(self.low / step, 6))
        last = math.floor(round(self.high / step, 6))
        return [round(number * step, 10) for number in range(first, last + 1)]


UNIT = {"x": Scale(0, 1, 40, 292), "y": Scale(0, 1, 268, 16)}
"""Axes of a square chart of what lies between 0 and 1."""


@dataclass(frozen=True)
class Axis:
    """The x axis of a chart: what it is called, its scale, and the values that are written."""

    name: str
    scale: Scale
    ticks: Sequence[float]


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name in the legend, its look (a CSS class), its points, and whether they are dotted."""

    name: str
    look: str
    points: Sequence[Point]
    dots: bool = False


class Mark(NamedTuple):
    """One version in a chart over time: its value, the ends of its interval, its look, and what is told of it."""

    value: float | None
    look: str
    title: str
    low: float | None = None
    high: float | None = None


def epoch_axis(last: float) -> Axis:
    """Returns the axis of a training: epochs from 0."""
    scale = Scale(0, last, *_ACROSS)
    return Axis("epoch", scale, scale.ticks(6, 1 if last > 1 else 0))


def log_axis(name: str, values: Sequence[float]) -> Axis:
    """Returns a logarithmic axis that spans some positive values, with ticks at those that are not too close."""
    scale = Scale(min(values), max(values), *_ACROSS, logarithmic=True)
    ticks: list[float] = []
    for value in sorted(values, reverse=True):
        if not ticks or scale(ticks[-1]) - scale(value) >= _TICK_DISTANCE:
            ticks.append(value)
    return Axis(name, scale, ticks)


def line_chart(lines: Sequence[Line], y_range: tuple[float, float], axis: Axis) -> dict[str, Any]:
    """Returns a chart of lines over an axis."""
    x, y = axis.scale, Scale(*y_range, 216, 12)
    return {
        "axis": axis,
        "y": y,
        "lines": [
            {
                "name": line.name,
                "look": line.look,
                "path": path(_thin(line.points), x, y),
                "dots": [(x(a), y(b)) for a, b in line.points] if line.dots else [],
            }
            for line in lines
        ],
    }


def timeline(
    names: Sequence[str], marks: Sequence[Mark], span: float, highest: float | None = None, bars: bool = False
) -> dict[str, Any] | None:
    """Returns a chart of one mark for each version, or of one bar from 0; None where no value is known.

    Args:
        names: Of the versions; as many are written as there is room for, the last one in any case.
        marks: Their values.
        span: See `padded`.
        highest: See `padded`.
        bars: Whether bars are drawn.
    """
    values = [value for mark in marks for value in (mark.value, mark.low, mark.high) if value is not None]
    if not values:
        return None
    x = Scale(-0.5, len(names) - 0.5, *_ACROSS)
    y = Scale(*((0.0, 1.05 * max(*values, 1.0)) if bars else padded(values, span, highest)), 216, 12)
    every, last = -(-len(names) // _MOST_NAMES), len(names) - 1
    return {
        "y": y,
        "bars": bars,
        "width": round(min(36.0, 0.6 * (x(1) - x(0))), 2),
        "names": [(x(place), name) for place, name in enumerate(names) if (last - place) % every == 0],
        "marks": [_drawn(mark, x(place), y) for place, mark in enumerate(marks) if mark.value is not None],
    }


def path(points: Sequence[Point], x: Scale, y: Scale) -> str:
    """Returns a line through points as the `d` of an SVG path."""
    return "M" + "L".join(f"{x(a)} {y(b)}" for a, b in points) if points else ""


def padded(values: Sequence[float], span: float, highest: float | None = None) -> tuple[float, float]:
    """Returns a range around values with some air, within 0 and `highest`.

    It is at least `span` wide where there is room: what differs by a hair should look so.
    """
    low, high = min(values), max(values)
    air = max(0.08 * (high - low), (span - (high - low)) / 2)
    return max(low - air, 0.0), high + air if highest is None else min(high + air, highest)


def interval(low: float, value: float, high: float) -> dict[str, Any]:
    """Returns the strip that shows an interval and 0."""
    reach = max(abs(low), abs(high), 0.02)
    ends = (min(low, 0.0) - 0.15 * reach, max(high, 0.0) + 0.15 * reach)
    x = Scale(*ends, 8, 632)
    return {"x": x, "low": x(low), "value": x(value), "high": x(high), "zero": x(0.0), "ticks": x.ticks(6)}


def _drawn(mark: Mark, x: float, y: Scale) -> dict[str, Any]:
    ends = [y(end) for end in (mark.low, mark.high) if end is not None]
    return {"x": x, "y": y(mark.value or 0.0), "ends": ends, "look": mark.look, "title": mark.title}


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """Returns means of neighbouring points where there are too many."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(a for a, _ in g) / len(g), sum(b for _, b in g) / len(g)) for g in groups]


def _round_step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(wanted)) if wanted > 0 else 1.0
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= wanted * 0.999 or factor == 10)
