"""Whether pictures that are mirrored, or shown in part, keep labels and numbers: as the pictures themselves tell."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.learning.augmentation import augmentation, mix
from components.finetune.learning.mirroring import cropped, keeps_answers, mirrored
from components.finetune.settings import FinetuneSettings
from components.shared.tasks.multi_label.head import Head as Sets
from components.shared.tasks.regression.head import Head as Number

SIDE = 32


class Pictures:
    """Pictures in memory with their targets, as `Examples` gives them."""

    def __init__(self, pixels: np.ndarray, targets: torch.Tensor) -> None:
        self._pixels, self._targets = pixels, targets

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, places: np.ndarray) -> dict[str, torch.Tensor]:
        return {"pixels": torch.from_numpy(self._pixels[places])}

    def targets(self, places: np.ndarray) -> dict[str, torch.Tensor]:
        return {"target": self._targets[places]}


def dots(draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """The number is how many bright squares there are, anywhere."""
    picture, count = draw.integers(0, 60, (SIDE, SIDE, 3)), int(draw.integers(0, 7))
    for place in draw.choice(16, count, replace=False).tolist():
        y, x = (8 * side for side in divmod(place, 4))
        picture[y + 1 : y + 7, x + 1 : x + 7] = 220
    return picture, float(count)


def column(draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """The number is how far on the right something bright stands."""
    picture, x = draw.integers(0, 60, (SIDE, SIDE, 3)), int(draw.integers(0, SIDE - 6))
    picture[:, x : x + 6] = 220
    return picture, float(x)


def light(draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """The number is how bright all of it is."""
    bright = float(draw.uniform(20, 200))
    return bright + draw.normal(0, 20, (SIDE, SIDE, 3)), bright


def tints(draw: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Two labels: it is reddish, it is bluish."""
    picture, there = draw.normal(90, 25, (SIDE, SIDE, 3)), draw.random(2) < 0.5
    picture[..., 0] += 50 * there[0]
    picture[..., 2] += 50 * there[1]
    return picture, there.astype(float).tolist()


def sides(draw: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Two labels: something stands on the left, something stands on the right."""
    picture, there = draw.normal(60, 15, (SIDE, SIDE, 3)), draw.random(2) < 0.5
    picture[:, : SIDE // 2] += 80 * there[0]
    picture[:, SIDE // 2 :] += 80 * there[1]
    return picture, there.astype(float).tolist()


def noise(draw: np.random.Generator) -> tuple[np.ndarray, float]:
    return draw.integers(0, 255, (SIDE, SIDE, 3)), float(draw.normal())


def made(make: Callable[[np.random.Generator], Any], count: int, seed: int) -> Any:
    draw = np.random.default_rng(seed)
    pictures, answers = zip(*(make(draw) for _ in range(count)), strict=True)
    pixels = np.clip(np.stack(pictures), 0, 255).astype(np.uint8)
    return Pictures(pixels, torch.tensor(answers, dtype=torch.float32))


@pytest.mark.parametrize(
    ("make", "mirrors", "crops"),
    [
        (dots, True, False),
        (column, False, False),
        (light, True, True),
        (tints, True, True),
        (sides, False, True),
        (noise, False, False),
    ],
)
def test_validation_tells_what_keeps_an_answer(make: Any, mirrors: bool, crops: bool) -> None:
    train, validation = made(make, 300, 0), made(make, 120, 1)
    assert keeps_answers(train, validation, mirrored) is mirrors
    assert keeps_answers(train, validation, cropped(28)) is crops


def test_without_validation_nothing_is_changed() -> None:
    train = made(light, 40, 0)
    assert not keeps_answers(train, Pictures(np.zeros((0, 4, 4, 3), np.uint8), torch.zeros(0)), mirrored)  # type: ignore[arg-type]


def test_a_blend_has_a_part_of_the_labels_of_both() -> None:
    assert (Sets.blended, Number.blended) == ("labels", "")
    images, there = torch.rand(3, 3, 4, 4), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    blended, soft = mix(images, there, 2, 0.5, np.random.default_rng(3))
    share = np.random.default_rng(3).beta(0.5, 0.5)
    other = (soft - share * there) / (1 - share)
    assert sorted(other.round(decimals=4).tolist()) == sorted(there.tolist())
    assert blended.shape == images.shape
    augment = augmentation(FinetuneSettings("x", crop_scale=1.0, flip=0.0, mixup=0.5), 4, 2, Sets.blended)
    assert augment is not None
    _, targets = augment({"pixels": torch.rand(3, 4, 4, 3)}, {"labels": there}, np.random.default_rng(3))
    assert not torch.equal(targets["labels"], there)
    head = Sets(2, {"labels": ["a", "b"]})
    loss, count = head.loss({"logits": torch.zeros(3, 2)}, targets)
    assert float(loss) == pytest.approx(6 * np.log(2))
    assert float(count) == 3
