"""Geometry of the page's charts: numbers only. The template draws them as SVG, so that all text is escaped there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]
_MOST_POINTS = 400  # of a line; more cannot be told apart on the page


@dataclass(frozen=True)
class Scale:
    """Leads from values to pixels along one axis."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Returns where a value is drawn, in pixels."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.stop - self.start), 2)

    def ticks(self, count: int = 5, least: float = 0.0) -> list[float]:
        """Returns about `count` round values within the axis, at steps of at least `least`."""
        step = max(_round_step((self.high - self.low) / count), least)
        first = math.ceil(round(self.low / step, 6))
        last = math.floor(round(self.high / step, 6))
        return [round(number * step, 10) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name in the legend, its look (a CSS class), its points, and whether they are dotted."""

    name: str
    look: str
    points: Sequence[Point]
    dots: bool = False


def line_chart(lines: Sequence[Line], y_range: tuple[float, float], x_high: float) -> dict[str, Any]:
    """Returns a chart with the x axis from 0."""
    x, y = Scale(0, x_high, 44, 470), Scale(*y_range, 216, 12)
    return {
        "x": x,
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
