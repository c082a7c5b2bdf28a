"""The page: whole in itself, quiet in a browser, and deaf to what stands in the data."""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from components.evaluate.evaluate import EvaluateReport
from components.evaluate.page.report import write_page
from components.evaluate.predictions import Predictions
from components.evaluate.sources import open_sources
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.charts import Scale, log_axis, padded
from components.shared.tasks.classification.curves import class_metrics, confusion_of, most_confused
from components.shared.tasks.classification.statistics import statistics_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REPORTS = ["report", "pair_report", "hostile_report", "digits_report", "retraining_report"]


class Elements(HTMLParser):
    """Collects the names of all elements, all attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def words(page: str, begin: str, end: str) -> str:
    """Returns what one reads between two headings."""
    part = page[page.index(f"<h2>{begin}") : page.index(f"<h2>{end}")]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", part)).split())


@pytest.fixture(params=REPORTS)
def page(request: pytest.FixtureRequest) -> Path:
    found: EvaluateReport = request.getfixturevalue(request.param)
    return found.report


def test_page_is_whole_in_itself(page: Path) -> None:
    text = page.read_text("utf-8")
    elements = Elements(text)
    assert elements.names.isdisjoint({"script", "iframe", "object", "embed", "form", "base"})
    references = [
        value for name, value in elements.attributes if name in ("src", "href", "srcset", "action", "xlink:href")
    ]
    assert references[0] == "data:,"  # the icon: nothing, so that no browser asks for one
    assert all(re.match("data:image/(png|jpeg);base64,", str(reference)) for reference in references[1:])
    assert len(references) - 1 == len(re.findall("<img ", text))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import", style[1])
    assert not any("url(" in (value or "") for name, value in elements.attributes if name == "style")
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert len(text) < 1_000_000


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_browser_has_nothing_to_complain_of(page: Path, tmp_path: Path) -> None:
    quiet = ["background-networking", "component-update", "gpu", "sync"]
    options = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    options += ["--enable-logging=stderr", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [str(CHROMIUM), *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "<title>taken over" not in done.stdout
    assert "</main>" in done.stdout


def test_page_begins_with_the_verdict_and_its_numbers(report: EvaluateReport) -> None:
    text = report.report.read_text("utf-8")
    body = Elements(text[text.index("<main>") : text.index("Against the baselines")]).text
    assert "kitchen-or-ship" in body
    assert report.sentence in body
    assert f"{report.metrics['accuracy']:.3f}" in body


def test_page_shows_every_part(report: EvaluateReport) -> None:
    text = report.report.read_text("utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Against the baselines", "Training", "Confusion", "Calibration", "Classes", "Most confident mistakes", "Data",
        "What the data is like", "Settings and lineage",
    ]  # fmt: skip
    for told in (*report.labels, "learning_rate", "SVM on words", "Majority class", "exact duplicates", "epoch 4 of 4"):
        assert told in text


def test_page_of_pictures_shows_them(digits_report: EvaluateReport) -> None:
    text = digits_report.report.read_text("utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Against the baselines", "Did transfer help?", "Would more labels help?", "Training", "Examples", "Confusion",
        "Calibration", "Classes", "Most confident mistakes", "Data", "Settings and lineage",
    ]  # fmt: skip
    grid, mistakes = (part.count("<img ") for part in text.split("Most confident mistakes"))
    assert (grid, mistakes) == (40, 20)
    assert re.search(r'alt="[0-9a-f]{16}: labelled digit \d, predicted digit \d" .*class="tiny"', text)


def test_probe_and_sweep_are_told_though_there_were_no_epochs(digits_report: EvaluateReport) -> None:
    body = words(digits_report.report.read_text("utf-8"), "Training", "Examples")
    assert "Strategy: probe (4 of 4 blocks frozen). The head was fitted" in body
    assert "the penalty 0.01 was chosen on validation" in body
    assert "Validation accuracy 0.930" in body
    assert "probe, kept 0.310 0.930 0.920 0 1.5" in body
    assert "full 0.470 0.930 0.920 1,200 12.0" in body


def test_page_tells_transfer_and_the_learning_curve(digits_report: EvaluateReport) -> None:
    body = words(digits_report.report.read_text("utf-8"), "Did transfer help?", "Training")
    told = open_artifact(digits_report.report.parent.parent, "evaluation").read_json("evaluation.json")
    assert digits_report.transfer == "positive"
    assert "Positive: better than without pretrained weights" in body
    assert told["transfer"]["sentence"] in body
    for rival in ("probe, pretrained pretrained 0.800", "from scratch reference random 0.700", "SVM on HOG none"):
        assert rival in body
    assert "From 32 to 60 labels a class the model's accuracy went from 0.600 to" in body


def test_data_cannot_become_html(hostile_report: EvaluateReport) -> None:
    text = hostile_report.report.read_text("utf-8")
    elements = Elements(text)
    assert elements.names.isdisjoint({"script", "img"})
    assert "<i>html</i>" in elements.text  # shown as text
    assert "<b>title</b>" in elements.text
    assert "ספנות & סירות" in elements.text
    assert "&lt;script&gt;" in text  # of the rejected row
    assert "Content-Security-Policy" in text.partition("<style>")[0]
    assert "default-src 'none'" in text
    assert "missing label" in elements.text
    assert "and more " * 70 not in elements.text  # long texts are cut


def test_model_that_learned_nothing_is_not_praised(hostile_report: EvaluateReport) -> None:
    assert hostile_report.verdict == "nothing was learned"
    heading = re.search(r"<h1>(.*?)</h1>", hostile_report.report.read_text("utf-8"))
    assert heading
    assert heading[1].startswith("Nothing was learned")


@pytest.mark.parametrize("count", [60, 300])
def test_many_classes_stay_readable(
    count: int, report: EvaluateReport, snapshot: Path, features: Path, model: Path, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, count, 3000)
    statistics = statistics_of(draw.dirichlet(np.ones(count), 3000) + np.eye(count)[labels] * 0.02, labels)
    confusion = confusion_of(statistics)
    names = [f"class {number:03d}" for number in range(count)]
    told = open_artifact(report.report.parent.parent, "evaluation").read_json("evaluation.json")
    told |= {"labels": names, "classes": class_metrics(statistics, names), "roc": None, "examples": 3000}
    told |= {
        "most_confused": most_confused(confusion, names),
        "confusion": confusion.tolist() if count <= 200 else None,
    }
    timing = {"examples_per_second": 1.0, "device": "CPU"}
    predictions = Predictions(statistics, [], 1.0, "CPU", "", labels, {"labels": names})
    sources, task = open_sources(snapshot, features, model), tasks.get("text-classification")
    write_page(tmp_path / "page.html", "many", sources, task, told, predictions, timing, {})
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "Most often confused" in text
    assert f"The 40 with the lowest F1 of {count}" in text
    assert ("The 30 most confused of 60 classes" in text) == (count == 60)
    assert text.count('<th scope="col"') == (30 if count == 60 else 0)
    assert len(text) < 1_000_000


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.013, 0.12, [0, 0.05, 0.1]),
        (0, 3, [0, 1, 2, 3]),
        (97, 1003, [200, 400, 600, 800, 1000]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100).ticks() == ticks


def test_range_has_air_around_a_single_value() -> None:
    low, high = padded([0.4, 0.4], span=0.1)
    assert low < 0.4 < high
    assert padded([1.0], span=0.1, highest=1.0)[1] == 1.0


def test_logarithmic_axis_has_equal_steps_for_equal_factors() -> None:
    axis = log_axis("labels", [8, 32, 128, 130])
    assert axis.scale(128) - axis.scale(32) == pytest.approx(axis.scale(32) - axis.scale(8), abs=0.01)
    assert axis.ticks == [130, 32, 8]  # 128 would be written over 130
    assert log_axis("penalty", [0.01]).ticks == [0.01]


def test_the_page_shows_what_the_data_is_like(report: EvaluateReport) -> None:
    told = words(report.report.read_text("utf-8"), "What the data is like", "Settings and lineage")
    assert "All 400 examples were looked at." in told
    assert "2 classes, by examples kitchen 200 ship 200" in told
    assert "Lengths in tokens" in told
    assert "estimated" not in told  # counted in the features
