"""What a vision backbone does to a picture first: its size and crop, interpolation, mean and deviation.

Needs nothing else of graft: `register` puts a copy of it beside the weights.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

FILE = "preprocessing.json"
_CROP_PCT = 0.875  # timm's, where a configuration names none
_SQUASHED_FROM = 384  # pixels: from there on ConvNeXt's preprocessing squashes instead of cropping
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input; lengths are in pixels.

    Attributes:
        size: The side of the square that the network sees.
        resize: The side of the square that it is cut out of: what features hold. Never below `size`.
        crop: "center": the shorter side is brought to `resize`, and what is too long is cut off. "squash": both sides
            are, whatever their ratio. "border": the longer side is, and what is too short is filled with the mean
            colour. As timm's modes of these names.
        interpolation: A filter of PIL: "bicubic", "bilinear", …
        mean: Of red, green and blue, between 0 and 1; it is subtracted.
        std: Likewise; what is left is divided by it.
    """

    size: int
    resize: int
    crop: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize:
            raise ValueError(f"a square of {self.size} pixels cannot be cut out of one of {self.resize}")
        if self.crop not in ("center", "squash", "border"):
            raise ValueError(f"its crop {self.crop!r} is none of 'center', 'squash', 'border'")
        if self.interpolation.upper() not in Image.Resampling.__members__:
            raise ValueError(f"its interpolation {self.interpolation!r} is unknown")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError("it does not take pictures in red, green and blue")

    def to_json(self) -> dict[str, Any]:
        """Returns what `preprocessing.json` holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Preprocessing":
        """Makes it of what `preprocessing.json` holds."""
        return cls(**{**content, "mean": tuple(content["mean"]), "std": tuple(content["std"])})


def preprocessing_of(
    config: Mapping[str, Any], processor: Mapping[str, Any], own: Mapping[str, Any], args: Mapping[str, Any]
) -> Preprocessing:
    """Returns what a backbone asks for; of several configurations the first in the order own, timm, transformers.

    Args:
        config: Its `config.json`; timm's holds `architecture`, and `pretrained_cfg` where it has weights.
        processor: Its `preprocessor_config.json` (transformers), or {}.
        own: Its `preprocessing.json` (a model that graft trained), or {}.
        args: What it is built with: `img_size` (`image_size` in transformers) is another size than it was trained for.

    Raises:
        ValueError: It asks for nothing, or for what cannot be done (no square, other channels). The message follows on
            the backbone's name.
    """
    wanted = args.get("img_size") or args.get("image_size")
    size = _side(wanted) if wanted else 0
    if own:
        return _scaled(Preprocessing.from_json(own), size)
    if "architecture" in config:
        return _of_timm(config, size)
    if processor:
        return _scaled(_of_transformers(processor), size)
    raise ValueError("it has no preprocessor_config.json, so that it is no vision model")


def prepare(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Brings a picture to the working size.

    The middle `size` x `size` of the result (from `round((resize - size) / 2)` on) equals bit for bit what timm's
    evaluation transform makes of the picture. For that it is cut where timm cuts, which may be a pixel off its middle.

    Args:
        image: In mode RGB.
        preprocessing: Of the backbone.

    Returns:
        uint8 [resize, resize, 3].
    """
    side, size = preprocessing.resize, preprocessing.size
    image = image.resize(_resized(image.size, preprocessing), Image.Resampling[preprocessing.interpolation.upper()])
    if image.size == (side, side):
        return np.asarray(image)
    left, top = (_start(side, size) - _start(length, size) for length in image.size)
    red, green, blue = (round(255 * value) for value in preprocessing.mean)
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(image, (left, top))
    return np.asarray(square)


def _start(length: int, size: int) -> int:
    """Where timm's centre crop of `size` begins in `length` pixels; below 0 where it pads."""
    return round((length - size) / 2) if length >= size else -((size - length) // 2)


def _resized(lengths: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Returns the width and height of the whole picture at the working size, rounded as timm and torchvision do."""
    side, shorter, longer = preprocessing.resize, min(lengths), max(lengths)
    if preprocessing.crop == "squash":
        return side, side
    if preprocessing.crop == "border":
        ratio = longer / side
        width, height = (max(1, round(length / ratio)) for length in lengths)
        return width, height
    long = int(side * longer / shorter)
    return (side, long) if lengths[0] <= lengths[1] else (long, side)


def _of_timm(config: Mapping[str, Any], wanted: int) -> Preprocessing:
    """Without weights there is no `pretrained_cfg`: nothing asks for another size, mean or crop than the plain ones."""
    told = config.get("pretrained_cfg", config)  # timm's first configurations had it all on one level
    if "input_size" not in told:
        size = wanted or _side(config.get("model_args", {}).get("img_size", 224))
        return Preprocessing(size, size, "center", "bicubic", _HALF, _HALF)
    size = wanted or _side(told["input_size"][1:])
    return Preprocessing(
        size,
        max(size, math.floor(size / told.get("crop_pct", _CROP_PCT))),  # a few of timm's would pad with black
        told.get("crop_mode", "center"),
        told.get("interpolation", "bicubic"),
        tuple(told.get("mean", _HALF)),
        tuple(told.get("std", _HALF)),
    )


def _of_transformers(told: Mapping[str, Any]) -> Preprocessing:
    if told.get("do_flip_channel_order") or round(255 * told.get("rescale_factor", 1 / 255), 3) != 1:
        raise ValueError("its preprocessing swaps colours, or scales them in a way of its own, which graft does not do")
    size, resize, crop = _geometry(told)
    normalizes = told.get("do_normalize", "image_mean" in told)
    return Preprocessing(
        size,
        max(size, resize),
        crop,
        Image.Resampling(told.get("resample", Image.Resampling.BILINEAR)).name.lower(),
        tuple(told["image_mean"]) if normalizes else (0.0, 0.0, 0.0),
        tuple(told["image_std"]) if normalizes else (1.0, 1.0, 1.0),
    )


def _geometry(told: Mapping[str, Any]) -> tuple[int, int, str]:
    """Returns size, resize and crop of a `preprocessor_config.json`.

    Old files give a plain number as size: ConvNeXt's and CLIP's mean the shorter side by it, the others both sides.
    """
    side = _side(told.get("size"))
    cut = _side(told.get("crop_size", side)) if told.get("do_center_crop") else None
    ratio = told.get("crop_pct")
    of_shorter = "shortest_edge" in told["size"] if isinstance(told["size"], Mapping) else bool(ratio) or cut == side
    if of_shorter and ratio and cut is None:
        return (side, int(side / ratio), "center") if side < _SQUASHED_FROM else (side, side, "squash")
    return cut or side, side, "center" if of_shorter else "squash"


def _scaled(preprocessing: Preprocessing, size: int) -> Preprocessing:
    """Returns it for another size (0: its own), with the same crop in proportion."""
    if size in (0, preprocessing.size):
        return preprocessing
    resize = max(size, round(size * preprocessing.resize / preprocessing.size))
    return dataclasses.replace(preprocessing, size=size, resize=resize)


def _side(size: Any) -> int:
    """Returns the one side of `224`, `[224, 224]`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`."""
    lengths = list(size.values()) if isinstance(size, Mapping) else size if isinstance(size, Sequence) else [size]
    if not lengths or len(set(lengths)) != 1 or not isinstance(lengths[0], int):
        raise ValueError(f"the size of its pictures must be one whole number, or a square; it is {size}")
    return int(lengths[0])
