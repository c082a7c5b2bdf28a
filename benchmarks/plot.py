"""Stacked bars of seconds by part, as an SVG that reads on a light page and on a dark one.

python benchmarks/plot.py RESULTS.json FILE.svg      of what engine.py or gpu.py wrote with --json
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape, quoteattr

sys.path.insert(0, str(Path(__file__).parent.parent))  # Graft need not be installed

from components.shared.charts import Scale

Parts = Mapping[str, float]
_COLOURS = {
    "train": "#0072b2", "embed": "#cc79a7", "evaluate": "#009e73", "import": "#9aa3ad", "load": "#e69f00",
    "load, validate, save": "#d55e00", "ingest": "#8f7fc7", "tokenize": "#56b4e9", "decode": "#56b4e9",
    "save": "#a5762f", "other": "#c3c9cf",
}  # fmt: skip
_TEXT = "#78818b"  # as far from white as from a dark page
_WIDTH, _LEFT, _RIGHT, _BAR, _PITCH = 760, 130, 620, 20, 30  # pixels
_LEAST = 0.5  # pixels: what is shorter cannot be seen


def draw(groups: Mapping[str, Mapping[str, Parts]]) -> str:
    """Returns bars in groups, each group with a scale of its own from 0.

    Args:
        groups: By their headings; of each side the seconds of its parts.
    """
    lines: list[str] = []
    seen: set[str] = set()
    y = 8
    for heading, sides in groups.items():
        y += 20
        lines.append(_text(8, y, heading, "font-weight='600'"))
        y += 10
        scale = Scale(0, max(sum(parts.values()) for parts in sides.values()), _LEFT, _RIGHT)
        for side, parts in sides.items():
            lines.append(_text(_LEFT - 8, y + 15, side, "text-anchor='end'"))
            boxes = _bar(side, parts, scale, y)
            seen |= boxes.keys()
            lines += boxes.values()
            lines.append(_text(scale(sum(parts.values())) + 8, y + 15, _seconds(side, sides)))
            y += _PITCH
    legend, y = _legend(seen, y + 14)
    size = f"width='{_WIDTH}' height='{y}' viewBox='0 0 {_WIDTH} {y}'"
    font = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif' font-size='13'"
    told = quoteattr("Seconds by part: " + "; ".join(groups))
    body = "\n".join(lines + legend)
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {font} role='img' aria-label={told}>\n{body}\n</svg>\n"


def _bar(side: str, parts: Parts, scale: Scale, y: int) -> dict[str, str]:
    """Returns a box for each part that can be seen."""
    found, before = {}, 0.0
    for name, seconds in _ordered(parts):
        start, before = scale(before), before + seconds
        if (width := scale(before) - start) >= _LEAST:
            box = f"x='{start:.1f}' y='{y}' width='{width:.1f}' height='{_BAR}' fill='{_colour(name)}'"
            found[name] = f"<rect {box}><title>{escape(f'{side}: {name} {seconds:.1f} s')}</title></rect>"
    return found


def _seconds(side: str, sides: Mapping[str, Parts]) -> str:
    """Returns what is written behind a bar: seconds, and how many times Graft's they are."""
    total, own = sum(sides[side].values()), sum(sides.get("graft", {}).values())
    return f"{total:.0f} s" if side == "graft" or not own else f"{total:.0f} s, {total / own:.1f} ×"


def _legend(names: set[str], y: int) -> tuple[list[str], int]:
    """Returns the legend's lines, and where it ends."""
    found: list[str] = []
    x = _LEFT
    for name, _ in _ordered(dict.fromkeys(names, 0.0)):
        wide = 28 + 7 * len(name)
        if x + wide > _WIDTH:
            x, y = _LEFT, y + 22
        found.append(f"<rect x='{x}' y='{y}' width='12' height='12' fill='{_colour(name)}'/>")
        found.append(_text(x + 18, y + 11, name))
        x += wide + 8
    return found, y + 24


def _ordered(parts: Parts) -> list[tuple[str, float]]:
    """Returns parts in one order for all bars: training first, where bars are compared."""
    places = {name: place for place, name in enumerate(_COLOURS)}
    return sorted(parts.items(), key=lambda part: places.get(part[0], len(places)))


def _colour(name: str) -> str:
    return _COLOURS.get(name, _COLOURS["other"])


def _text(x: float, y: float, text: str, look: str = "") -> str:
    return f"<text x='{x:g}' y='{y:g}' fill='{_TEXT}' {look}>{escape(text)}</text>".replace(" >", ">")


def write(file: Path, told: Mapping[str, Any]) -> None:
    """Draws what sides tell into a file; of several runs the medians.

    Args:
        file: An SVG.
        told: Of each group and side a run or its runs, each with `parts`; what has none is left out.
    """
    drawn = {heading: {side: _medians(runs) for side, runs in sides.items()} for heading, sides in _groups(told)}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(draw(drawn), "utf-8")


def _medians(runs: Sequence[Mapping[str, Any]]) -> Parts:
    names = dict.fromkeys(name for run in runs for name in run["parts"])
    return {name: max(0.0, median(run["parts"].get(name, 0.0) for run in runs)) for name in names}


def _groups(told: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    for heading, sides in told.items():
        if isinstance(sides, Mapping):  # what gpu.py checks is a list, its limits are numbers
            runs = {side: each if isinstance(each, list) else [each] for side, each in sides.items()}
            if found := {
                side: each
                for side, each in runs.items()
                if all(isinstance(run, Mapping) and "parts" in run for run in each)
            }:
                yield heading, found


if __name__ == "__main__":
    *results, target = map(Path, sys.argv[1:])
    write(target, {name: sides for file in results for name, sides in json.loads(file.read_text("utf-8")).items()})
