import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.shared.backbones.preprocessing import Preprocessing, prepare, preprocessing_of

SIZES = [(640, 427), (427, 640), (100, 101), (33, 32), (5, 3), (2, 150), (224, 224), (256, 256), (257, 300), (2, 2)]
GEOMETRIES = [(224, 1.0), (224, 0.875), (224, 0.9), (64, 0.95), (65, 0.9), (31, 0.8)]
TIMM = {
    "architecture": "vit_tiny_patch16_224",
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
    },
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
VIT = {"do_resize": True, "size": {"height": 224, "width": 224}, "resample": 2, "image_mean": [0.5] * 3,
       "image_std": [0.5] * 3, "do_normalize": True, "rescale_factor": 0.00392156862745098}  # fmt: skip


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("crop", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "ratio"), GEOMETRIES)
def test_the_middle_of_the_square_is_what_timm_evaluates_on(crop: str, size: int, ratio: float) -> None:
    from timm.data.transforms_factory import transforms_imagenet_eval

    mean = (0.485, 0.456, 0.406)
    theirs = transforms_imagenet_eval(size, ratio, crop, interpolation="bicubic", mean=mean, normalize=False)
    ours = Preprocessing(size, int(size / ratio), crop, "bicubic", mean, (1.0, 1.0, 1.0))
    start = round((ours.resize - size) / 2)
    for width, height in SIZES:
        image = picture(width, height)
        square = prepare(image, ours)
        assert square.shape == (ours.resize, ours.resize, 3)
        assert square.dtype == np.uint8
        expected = theirs(image).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(square[start : start + size, start : start + size], expected, f"{width}x{height}")


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_every_interpolation_is_torchvisions(interpolation: str) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    theirs = Compose([Resize(40, InterpolationMode(interpolation)), CenterCrop(32)])
    ours = Preprocessing(32, 40, "center", interpolation, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    for width, height in SIZES:
        image = picture(width, height)
        np.testing.assert_array_equal(prepare(image, ours)[4:36, 4:36], np.asarray(theirs(image)), f"{width}x{height}")


def test_timms_own_configuration_is_used() -> None:
    found = preprocessing_of(TIMM, {}, {}, {})
    assert (found.size, found.resize, found.crop, found.interpolation) == (224, 248, "center", "bicubic")
    assert found.mean == (0.485, 0.456, 0.406)
    assert preprocessing_of(TIMM, {}, {}, {"img_size": 384}).resize == 426  # as timm: the ratio is kept
    flat = {"architecture": "vit_tiny_patch16_224", **TIMM["pretrained_cfg"]}  # type: ignore[dict-item]
    assert preprocessing_of(flat, {}, {}, {}) == found


def test_an_architecture_without_weights_asks_for_nothing_special() -> None:
    half = (0.5, 0.5, 0.5)
    found = preprocessing_of({"architecture": "resnet18"}, {}, {}, {"img_size": 32})
    assert found == Preprocessing(32, 32, "center", "bicubic", half, half)
    assert preprocessing_of({"architecture": "resnet18"}, {}, {}, {}).size == 224


def test_a_model_of_ours_keeps_what_it_was_trained_with() -> None:
    trained = preprocessing_of(TIMM, {}, {}, {"img_size": 64})
    again = preprocessing_of(TIMM, {}, json.loads(json.dumps(trained.to_json())), {})
    assert again == trained
    assert preprocessing_of(TIMM, {}, trained.to_json(), {"img_size": 128}).resize == 2 * trained.resize


@pytest.mark.parametrize(
    ("processor", "geometry"),
    [
        (VIT, (224, 224, "squash", "bilinear")),
        ({"size": 224, "resample": 3, **IMAGENET}, (224, 224, "squash", "bicubic")),  # older ViT
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True,
          "resample": 3, **IMAGENET}, (224, 256, "center", "bicubic")),  # DINOv2
        ({"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True,
          "resample": 3, **IMAGENET}, (224, 256, "squash", "bicubic")),  # DeiT
        ({"size": 256, "crop_size": 224, "do_center_crop": True, "resample": 3, **IMAGENET},
         (224, 256, "squash", "bicubic")),  # older DeiT
        ({"size": 224, "crop_size": 224, "do_center_crop": True, "resample": 3, **IMAGENET},
         (224, 224, "center", "bicubic")),  # older CLIP
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3, **IMAGENET},
         (224, 256, "center", "bicubic")),  # ConvNeXt
        ({"size": 224, "crop_pct": 0.875, "resample": 2, **IMAGENET}, (224, 256, "center", "bilinear")),  # older ResNet
        ({"size": {"shortest_edge": 384}, "crop_pct": 1.0, "resample": 3, **IMAGENET},
         (384, 384, "squash", "bicubic")),  # ConvNeXt at 384
    ],
)  # fmt: skip
def test_transformers_processors_are_understood(processor: dict[str, Any], geometry: tuple[object, ...]) -> None:
    found = preprocessing_of({"model_type": "vit"}, processor, {}, {})
    assert (found.size, found.resize, found.crop, found.interpolation) == geometry


def test_pictures_are_as_transformers_own_processors_make_them() -> None:
    """Their PIL backend, on a landscape: the same pixels before normalisation."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    theirs = ViTImageProcessorPil(size={"height": 48, "width": 48}, do_rescale=False, do_normalize=False)
    ours = preprocessing_of({}, {**theirs.to_dict(), "do_rescale": True}, {}, {})
    image = picture(90, 61)
    expected = np.asarray(theirs(image)["pixel_values"][0]).transpose(1, 2, 0)
    np.testing.assert_array_equal(prepare(image, ours), expected)
    assert (ours.mean, ours.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("config", "processor", "args", "message"),
    [
        ({"model_type": "bert"}, {}, {}, "no preprocessor_config.json"),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [3, 1024, 768]}}, {}, {}, r"\[1024, 768\]"),
        (TIMM, {}, {"img_size": "large"}, "one whole number, or a square; it is large"),
        (TIMM, {}, {"img_size": [224, 448]}, "one whole number"),
        ({}, {**VIT, "do_flip_channel_order": True}, {}, "swaps colours"),
        ({}, {**VIT, "rescale_factor": 1 / 127.5}, {}, "in a way of its own"),
        ({}, {**VIT, "size": {"shortest_edge": 800, "longest_edge": 1333}}, {}, "one whole number, or a square"),
        ({}, {**VIT, "image_mean": [0.5]}, {}, "red, green and blue"),
    ],
)
def test_what_cannot_be_done_is_said(
    config: dict[str, Any], processor: dict[str, Any], args: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        preprocessing_of(config, processor, {}, args)
