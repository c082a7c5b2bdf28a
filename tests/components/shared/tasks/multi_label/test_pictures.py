"""Baselines of several labels on pictures: what can be seen is found, whatever is missing."""

import numpy as np
import pytest

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.statistics import score_of
from components.shared.tasks.multi_label import pictures
from components.shared.tasks.multi_label.metrics import MICRO_F1
from components.shared.tasks.multi_label.pictures import picture_baselines
from components.shared.tasks.multi_label.scoring import MultiLabelScoring
from tests.components.shared.baselines.test_pictures import png

SPEC = {"labels": ["across", "down", "never"]}


def stripes(count: int, seed: int, side: int = 16) -> Labelled:
    """Grey pictures with stripes across, down, both or neither, in noise; nothing has the third label."""
    draw, (y, x) = np.random.default_rng(seed), np.mgrid[:side, :side]
    there = np.column_stack([draw.random((count, 2)) < 0.5, np.zeros(count, bool)])
    files = []
    for across, down, _ in there:
        light = 50 * across * np.sin((y + draw.integers(8)) * np.pi / 4)
        light = light + 50 * down * np.sin((x + draw.integers(8)) * np.pi / 4)
        files.append(png(np.clip(120 + light + draw.normal(0, 15, (side, side)), 0, 255)))
    return Labelled([files], there)


def scores(found: list[Baseline], truth: np.ndarray) -> dict[str, float]:
    scoring = MultiLabelScoring()
    assert all(scoring.fault(one.predictions, len(truth), SPEC) is None for one in found)
    return {one.name: score_of(MICRO_F1, scoring.score(one.predictions, truth, SPEC)) or 0.0 for one in found}


@pytest.mark.parametrize("held", [30, 0])
def test_gradients_tell_what_lies_how(held: int) -> None:
    train, test = stripes(90, 0), stripes(60, 2)
    found = list(picture_baselines(train, stripes(held, 1), test.inputs, Terms(3)))
    told = scores(found, test.labels)
    kinds = ("Logistic regression", "Linear SVM")
    assert set(told) == {f"{kind} on {name}" for kind in kinds for name in ("HOG", "pixels")}
    assert min(told[f"{kind} on HOG"] for kind in kinds) > (0.9 if held else 0.8)
    assert found[0].what.startswith("gradients of 16 x 16 pixels; one a label, C = ")
    assert all((one.predictions[:, 0, 2] == 0).all() for one in found)


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_LEAST", 25)
    monkeypatch.setattr(pictures, "_WORK", 1)
    monkeypatch.setattr(pictures, "_SEARCH_WORK", 1)
    assert {
        one.examples for one in picture_baselines(stripes(60, 0), stripes(10, 1), stripes(5, 2).inputs, Terms(3))
    } == {25}
