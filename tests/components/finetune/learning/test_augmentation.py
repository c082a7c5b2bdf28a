import numpy as np
import pytest
import torch

from components.finetune.learning.augmentation import augmentation, crop, jitter, mix
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Normalize
from components.shared.backbones.preprocessing import Preprocessing
from tests.components.finetune.learning.test_graphs import Alone


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 40, 40), generator=torch.Generator().manual_seed(0)).float()


def test_without_crops_it_is_the_middle_that_evaluation_sees(images: torch.Tensor) -> None:
    middle = crop(images, 32, 1.0, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(middle, images[:, :, 4:36, 4:36], atol=1e-2, rtol=0)
    mirrored = crop(images, 32, 1.0, 1.0, np.random.default_rng(0))
    torch.testing.assert_close(mirrored, middle.flip(3), atol=1e-2, rtol=0)


def test_crops_show_a_part_of_each_image_and_differ() -> None:
    """On a picture whose red tells the column and whose green tells the row, a crop tells where it was cut."""
    ramp = torch.arange(40.0)
    image = torch.stack([ramp.expand(40, 40), ramp.expand(40, 40).T, torch.zeros(40, 40)]).expand(200, 3, 40, 40)
    cut = crop(image, 32, 0.3, 0.0, np.random.default_rng(1))
    assert cut.shape == (200, 3, 32, 32)
    width = (cut[:, 0, 0, -1] - cut[:, 0, 0, 0]).numpy() / 31 * 32
    height = (cut[:, 1, -1, 0] - cut[:, 1, 0, 0]).numpy() / 31 * 32
    area, ratio = width * height / 1600, width / height
    assert area.min() > 0.2
    assert area.max() > 0.85
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    assert len(np.unique(cut[:, 0, 0, 0].numpy().round(3))) > 150


def test_colours_stay_in_range_and_vary(images: torch.Tensor) -> None:
    changed = jitter(images, 0.4, np.random.default_rng(0))
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
    assert not torch.allclose(changed, images, atol=5)
    torch.testing.assert_close(jitter(images, 0.0, np.random.default_rng(0)), images)


def test_blends_share_their_targets(images: torch.Tensor) -> None:
    """Each image is a class of its own here: a target tells which two were blended, and how."""
    blended, targets = mix(images, torch.arange(6), 6, 0.5, np.random.default_rng(3))
    torch.testing.assert_close(targets.sum(1), torch.ones(6))
    assert ((targets > 0).sum(1) == 2).any()
    torch.testing.assert_close(blended, torch.einsum("bi,ichw->bchw", targets, images), atol=1e-2, rtol=0)


def test_the_same_chance_gives_the_same_pictures() -> None:
    settings = FinetuneSettings("x", crop_scale=0.5, flip=0.5, color_jitter=0.3, mixup=0.2)
    augment = augmentation(settings, 32, 3)
    assert augment is not None
    batch = {"pixels": torch.randint(0, 256, (4, 40, 40, 3), dtype=torch.uint8)}
    targets = {"label": torch.tensor([0, 1, 2, 0])}
    results = [augment(batch, targets, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert results[0][0]["pixels"].shape == (4, 32, 32, 3)
    assert torch.equal(results[0][0]["pixels"], results[1][0]["pixels"])
    assert not torch.equal(results[0][0]["pixels"], results[2][0]["pixels"])


def test_no_change_is_no_augmentation() -> None:
    assert augmentation(FinetuneSettings("x", crop_scale=1.0, flip=0.0), 32, 3) is None


class NoAnswers(Alone):
    """Lets numbers of the host go to the device: that is not waited for."""

    refused = tuple(name for name in Alone.refused if name != "lift_fresh")


def test_pictures_are_changed_and_normalised_without_asking_the_device_for_anything() -> None:
    settings = FinetuneSettings("x", crop_scale=0.5, flip=0.5, color_jitter=0.3, mixup=0.2)
    augment = augmentation(settings, 32, 3)
    assert augment is not None
    half = (0.5, 0.5, 0.5)
    normalize = Normalize(Preprocessing(32, 40, "center", "bicubic", half, half))
    batch = {"pixels": torch.randint(0, 256, (4, 40, 40, 3), dtype=torch.uint8)}
    with NoAnswers():
        changed, _ = augment(batch, {"label": torch.eye(4, 3)}, np.random.default_rng(0))
        assert normalize(changed["pixels"]).shape == (4, 3, 32, 32)
    with pytest.raises(RuntimeError, match="_local_scalar_dense"), NoAnswers():
        float(batch["pixels"][0, 0, 0, 0])
