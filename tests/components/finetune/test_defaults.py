"""What is chosen where a job leaves it open: by backbone and data, by the pictures, by the time."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.budget import plan_for, rounded
from components.finetune.defaults import CONVOLUTIONAL, DECODER, ENCODER, TRANSFORMER, Shape, resolve, shape_of
from components.finetune.learning.batches import epoch_batches, steps_of
from components.finetune.learning.learned import verdict_of
from components.finetune.learning.mirroring import keeps_class
from components.finetune.linear.calibration import calibrate
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network
from tests.heads import head_for

OPEN = FinetuneSettings("x")
SMALL = Shape(ENCODER, 22_000_000, True, 4_000)


def chosen(shape: Shape, settings: FinetuneSettings = OPEN) -> FinetuneSettings:
    return resolve(settings, shape, mirrors=False)[0]


def test_nothing_stays_open_and_why_is_said() -> None:
    settings, why = resolve(OPEN, SMALL, mirrors=True)
    assert min(settings.learning_rate, settings.epochs, settings.batch_size, settings.patience) > 0
    assert 0 < settings.layer_decay <= 1
    assert settings.flip == 0.5
    assert why.startswith("small encoder, pretrained, 4,000 examples: learning_rate 0.0002, epochs 4, batch_size 32")


def test_what_is_given_stays() -> None:
    given = {"learning_rate": 5e-5, "epochs": 3, "batch_size": 8, "patience": 2, "layer_decay": 1.0, "flip": 0.25}
    settings, why = resolve(dataclasses.replace(OPEN, **given), SMALL, mirrors=False)  # type: ignore[arg-type]
    assert {name: getattr(settings, name) for name in given} == given
    assert why == ""


def test_the_larger_the_slower() -> None:
    for kind in (ENCODER, DECODER, TRANSFORMER, CONVOLUTIONAL):
        rates = [chosen(Shape(kind, size, True, 1_000)).learning_rate for size in (10**7, 10**8, 10**9)]
        assert rates == sorted(rates, reverse=True)
        assert chosen(Shape(kind, 10**7, False, 1_000)).learning_rate > rates[0]


def test_few_examples_mean_more_epochs_and_small_batches() -> None:
    few, many = (chosen(dataclasses.replace(SMALL, examples=count)) for count in (40, 40_000))
    assert few.epochs > many.epochs == 3
    assert few.batch_size < many.batch_size
    assert few.patience > many.patience
    assert chosen(Shape(CONVOLUTIONAL, 10**7, False, 780)).epochs >= 50


def test_adapters_learn_faster() -> None:
    settings = dataclasses.replace(OPEN, strategy="lora")
    assert chosen(SMALL, settings).learning_rate > 2 * chosen(SMALL).learning_rate


def test_a_network_tells_its_kind() -> None:
    class Tiny(Network):
        pass

    network = Tiny(torch.nn.Sequential(torch.nn.Linear(4, 4)), 4, head_for(["a", "b"]), 0.1)
    assert shape_of(network, True, 7) == Shape(ENCODER, 30, True, 7)
    network.pooling = "last"
    assert shape_of(network, True, 7).kind == DECODER
    network.normalize = torch.nn.Identity()
    assert shape_of(network, True, 7).kind == TRANSFORMER
    network.encoder.append(torch.nn.BatchNorm2d(4))  # type: ignore[operator]
    assert shape_of(network, False, 7).kind == CONVOLUTIONAL


@pytest.mark.parametrize("least", [2, 4])
def test_no_batch_is_too_small_for_its_norm(least: int) -> None:
    """79 pictures in batches of 13 were six and one: that one broke the training, by the count alone."""
    for count in [1, 2, 12, 13, 14, 15, 79, 64 * 13 + 1]:
        batches = list(epoch_batches(np.ones(count, np.int32), 13, 1, 0, least))
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert len(batches) == steps_of(count, 13, least)
        assert min(map(len, batches)) >= min(least, count)


def test_training_is_planned_into_the_time() -> None:
    ample = plan_for(epoch=10, left=1000, wanted=4, race=0.3, part=0.4)
    assert ample is not None
    assert (ample.epochs, ample.races, ample.whole) == (4, True, True)
    short = plan_for(epoch=10, left=15, wanted=4, race=0.3, part=0.4)
    assert short is not None
    assert (short.epochs, short.races, short.whole) == (1, False, True)
    shorter = plan_for(epoch=10, left=9, wanted=4, race=0.3, part=0.4)
    assert shorter is not None
    assert (shorter.epochs, shorter.whole) == (2, False)
    assert plan_for(epoch=10, left=1, wanted=4, race=0.3, part=0.4) is None
    assert rounded(0.3) == rounded(0.49) == 0.5


class TestVerdict:
    counts = np.array([50, 50])

    def verdict(self, share: float, truth: np.ndarray, losses: list[float], tries: int = 3) -> Any:
        predicted = np.where(np.arange(len(truth)) < share * len(truth), truth, 1 - truth)
        return verdict_of(np.eye(2)[predicted], truth, self.counts, losses, tries)

    def test_what_is_right_beyond_chance_was_learned(self) -> None:
        found = self.verdict(0.8, np.arange(100) % 2, [])
        assert found.learned
        assert found.reason == "80 of 100 validation examples are right, 50 would be blindly."

    def test_chance_is_not_and_a_loss_that_never_fell_is_told(self) -> None:
        stuck = self.verdict(0.52, np.arange(100) % 2, [0.693] * 10)
        assert not stuck.learned
        assert "ended at 0.693; guessing by the classes' shares gives 0.693" in stuck.reason
        assert "learning_rate" in stuck.advice
        by_heart = self.verdict(0.52, np.arange(100) % 2, [0.01] * 10)
        assert "look at the labels" in by_heart.advice

    def test_always_the_largest_class_is_nothing_learned(self) -> None:
        truth = np.array([0] * 90 + [1] * 10)
        found = verdict_of(np.eye(2)[np.zeros(100, int)], truth, np.array([900, 100]), [], 1)
        assert not found.learned

    def test_few_examples_accuse_nobody(self) -> None:
        found = self.verdict(0.0, np.array([0, 1, 0]), [])
        assert found.learned
        assert "too few" in found.reason

    def test_no_number_is_nothing(self) -> None:
        assert not verdict_of(np.full((9, 2), np.nan), np.zeros(9, int), self.counts, [], 1).learned


def test_a_temperature_makes_confidence_honest() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, 600)
    logits = 3.0 * draw.normal(size=(600, 3)).astype(np.float32)
    logits[np.arange(600), truth] += 3
    cooled: list[float] = []
    told = calibrate(SimpleNamespace(cool=cooled.append), logits, truth)
    assert cooled == [told["temperature"]]
    assert told["temperature"] > 1.5
    assert told["after"] < 0.5 * told["before"]


@pytest.mark.parametrize(("both", "expected"), [(True, True), (False, False)])
def test_pictures_are_mirrored_where_validation_says_that_it_keeps_their_class(both: bool, expected: bool) -> None:
    """A bright corner: left or right is the class, or top or bottom is."""

    def examples(count: int, seed: int) -> Any:
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 2, count)
        pixels = draw.integers(0, 120, (count, 32, 32, 3)).astype(np.uint8)
        for picture, label in zip(pixels, labels, strict=True):
            half = slice(0, 16) if label else slice(16, 32)
            picture[(half, slice(0, 32)) if both else (slice(0, 32), half)] += 100

        class Pictures:
            def __len__(self) -> int:
                return count

            def batch(self, places: np.ndarray) -> dict[str, torch.Tensor]:
                return {"pixels": torch.from_numpy(pixels[places])}

        made: Any = Pictures()
        made.labels = labels
        return made

    assert keeps_class(examples(200, 0), examples(60, 1)) is expected


def test_where_nothing_is_recognised_nothing_is_mirrored(tmp_path: Path) -> None:
    class Noise:
        labels = np.arange(80) % 4

        def __len__(self) -> int:
            return 80

        def batch(self, places: np.ndarray) -> dict[str, torch.Tensor]:
            made = np.random.default_rng(places).integers(0, 255, (len(places), 20, 20, 3))
            return {"pixels": torch.from_numpy(made.astype(np.uint8))}

    noise: Any = Noise()
    other: Any = Noise()
    other.batch = lambda places: {"pixels": torch.full((len(places), 20, 20, 3), 7, dtype=torch.uint8)}
    assert not keeps_class(noise, other)
