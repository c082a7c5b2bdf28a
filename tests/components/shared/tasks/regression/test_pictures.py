"""Baselines of numbers on pictures: ridge as scikit-learn has it, within what was seen."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from components.shared.baselines import Labelled, Terms
from components.shared.tasks.regression.pictures import _predicted, picture_baselines
from tests.components.shared.baselines.test_pictures import png


def lights(count: int, seed: int) -> Labelled:
    """Reddish noise; the number is how red it is."""
    draw = np.random.default_rng(seed)
    red = draw.uniform(0, 150, count)
    files = [png(np.clip(draw.normal(90, 20, (12, 12, 3)) + np.array([tint, 0, 0]), 0, 255)) for tint in red]
    return Labelled([files], red / 10)


@pytest.mark.parametrize("held", [30, 0])
def test_colours_and_pixels_tell_how_red_it_is(held: int) -> None:
    train, test = lights(80, 0), lights(50, 2)
    found = list(picture_baselines(train, lights(held, 1), test.inputs, Terms(0)))
    assert [one.name for one in found] == ["Ridge on HOG", "Ridge on pixels"]
    for one in found:
        assert np.corrcoef(one.predictions, test.labels)[0, 1] > 0.9
        assert train.labels.min() <= one.predictions.min() <= one.predictions.max() <= train.labels.max()
        assert one.examples == 80
    assert found[0].what.startswith("gradients and colours of 8 x 8 pixels; penalty ")


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
def test_ridge_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    rows, asked, truth = draw.normal(size=shape), draw.normal(size=(5, shape[1])), draw.normal(size=shape[0])
    for penalty, found in zip((0.1, 10.0), _predicted(rows, truth, asked, (0.1, 10.0)), strict=True):
        np.testing.assert_allclose(found, Ridge(alpha=penalty).fit(rows, truth).predict(asked), rtol=1e-6)
