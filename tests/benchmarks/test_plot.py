"""Bars of what benchmarks tell."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))

import plot

_SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_what_they_tell(tmp_path: Path) -> None:
    sides = {"graft": [{"parts": {"train": 10.0, "save": 10.0}}], "trainer": {"parts": {"train": 40.0}}}
    plot.write(tmp_path / "bars.svg", {"texts & words": sides, "limits": {"tflops": 1.0}, "checks": []})
    drawn = ET.parse(tmp_path / "bars.svg").getroot()
    bars = {box[0].text: float(box.attrib["width"]) for box in drawn.iter(f"{_SVG}rect") if len(box)}
    assert bars["trainer: train 40.0 s"] == 4 * bars["graft: train 10.0 s"]
    texts = [text.text for text in drawn.iter(f"{_SVG}text")]
    assert "texts & words" in texts
    assert {"20 s", "40 s, 2.0 ×"} <= set(texts)
    assert "limits" not in texts


def test_of_several_runs_the_middle_one_is_drawn(tmp_path: Path) -> None:
    runs = [{"parts": {"train": seconds}} for seconds in (9.0, 3.0, 4.0)]
    plot.write(tmp_path / "bars.svg", {"row": {"graft": runs}})
    assert "graft: train 4.0 s" in (tmp_path / "bars.svg").read_text("utf-8")


def test_a_side_without_figures_has_no_bar(tmp_path: Path) -> None:
    plot.write(tmp_path / "bars.svg", {"row": {"graft": {"parts": {"train": 1.0}}, "timm": {"error": "over 150 s"}}})
    assert "timm" not in (tmp_path / "bars.svg").read_text("utf-8")
