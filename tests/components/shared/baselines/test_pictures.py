"""Baselines of pictures: seen at their own size, in colour where there is some, and learned from."""

import io

import numpy as np
import pytest
from PIL import Image

from components.shared.baselines import Baseline, Labelled, Terms, pictures
from components.shared.baselines.pictures import picture_baselines
from components.shared.gradients.hog import colours, oriented_gradients


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def stripes(count: int, seed: int, side: int = 16) -> tuple[list[bytes], np.ndarray]:
    """Grey stripes of three directions, at any place, in noise."""
    draw, labels = np.random.default_rng(seed), np.arange(count) % 3
    y, x = np.mgrid[:side, :side]
    files = []
    for label in labels:
        across = (x, y, x + y)[label] + draw.integers(8)
        files.append(png(np.clip(120 + 80 * np.sin(across * np.pi / 4) + draw.normal(0, 40, (side, side)), 0, 255)))
    return files, labels


def hues(count: int, seed: int) -> tuple[list[bytes], np.ndarray]:
    """Noise that is reddish or bluish."""
    draw, labels = np.random.default_rng(seed), np.arange(count) % 2
    tint = np.array([[40, 0, -40], [-40, 0, 40]])
    return [png(np.clip(draw.normal(128, 30, (24, 24, 3)) + tint[label], 0, 255)) for label in labels], labels


def fit(make, *counts: int) -> tuple[dict[str, Baseline], np.ndarray]:  # type: ignore[no-untyped-def]
    (train, labels), (held, truth), (test, answers) = (make(count, seed) for seed, count in enumerate(counts))
    terms = Terms(int(labels.max()) + 1)
    found = picture_baselines(Labelled([train], labels), Labelled([held], truth), [test], terms)
    return {baseline.name: baseline for baseline in found}, answers


def accuracy(baseline: Baseline, answers: np.ndarray) -> float:
    return float((baseline.probabilities.argmax(1) == answers).mean())


def test_gradients_tell_directions_wherever_they_are() -> None:
    found, answers = fit(stripes, 90, 45, 150)
    assert set(found) == {"SVM on HOG", "SVM on pixels", "Nearest class mean"}
    assert accuracy(found["SVM on HOG"], answers) > 0.95
    assert "gradients of 16 x 16 pixels" in found["SVM on HOG"].what  # small pictures are not blown up


def test_colours_are_looked_at_where_they_help() -> None:
    found, answers = fit(hues, 80, 40, 100)
    assert "gradients and colours" in found["SVM on HOG"].what
    assert accuracy(found["SVM on HOG"], answers) > 0.95


def test_pictures_of_any_size_and_kind_are_read() -> None:
    files = [
        png(np.full(shape, value))
        for value in (0, 255)
        for shape in ((3, 5), (70, 200, 3), (40, 40, 4), (300, 20))
    ]  # fmt: skip
    labels = np.repeat([0, 1], 4)
    for baseline in picture_baselines(Labelled([files], labels), Labelled([files], labels), [files], Terms(2)):
        assert np.isfinite(baseline.probabilities).all()


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_LEAST", 15)
    monkeypatch.setattr(pictures, "_WORK", 1)
    found, _ = fit(stripes, 60, 20, 20)
    assert found["SVM on HOG"].examples == 15
    assert found["Nearest class mean"].examples == 60


def test_a_gradient_falls_into_the_bin_of_its_direction() -> None:
    ramp = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))[None, ..., None]  # to the right: angle 0
    across = oriented_gradients(ramp, 4).reshape(4, 4, 13)[1, 1, :9]
    downwards = oriented_gradients(ramp.transpose(0, 2, 1, 3), 4).reshape(4, 4, 13)[1, 1, :9]
    assert set(np.flatnonzero(across > 0.05)) == {0, 8}  # halfway between the first and the last of nine
    assert downwards.argmax() == 4


def test_gradients_do_not_depend_on_light() -> None:
    picture = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float32)
    bright, dim = oriented_gradients(picture, 4), oriented_gradients(0.5 * picture + 0.2, 4)
    np.testing.assert_allclose(bright, dim, atol=1e-2)


def test_colours_are_counted() -> None:
    picture = np.zeros((1, 8, 8, 3), np.float32)
    picture[0, :4, :, 0] = 1.0  # a half is red
    found = colours(picture)[0]
    assert found[0] == pytest.approx(np.sqrt(0.5))
    assert found[3 * 16] == pytest.approx(np.sqrt(0.5))
    assert np.linalg.norm(found) == pytest.approx(1)
