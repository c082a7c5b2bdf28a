"""The size that a network from scratch sees pictures at: as large as they are, not blown up to what nobody trained."""

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from PIL import Image

from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import read_batches
from components.shared.backbones import TIMM, Backbone

_ANY_SIZE = (
    "convnext", "densenet", "dla", "efficientnet", "ghostnet", "mobilenet", "mobileone", "regnet", "res2net", "resnest",
    "resnet", "resnext", "rexnet", "seresnet", "tf_efficientnet", "wide_resnet",
)  # fmt: skip
"""How timm's convolutional networks are called that take pictures of any size."""
_LOOKED_AT = 256  # pictures
_STEP = 32  # pixels: such networks halve five times
_LEAST, _MOST = 64, 224  # below, the last layers would see single pixels; above is what they are made for


def arguments_for(backbone: Backbone, snapshot: Artifact) -> Mapping[str, Any]:
    """Returns what a backbone is built with: beside what the job says, the pictures' own size where it is free.

    Args:
        backbone: With the job's arguments.
        snapshot: Whose training pictures are looked at.
    """
    name = backbone.name.partition(TIMM)[2]
    is_free = not backbone.pretrained and name.startswith(_ANY_SIZE) and not backbone.is_model
    if not is_free or {"img_size", "image_size"} & set(backbone.args) or backbone.read_json("preprocessing.json"):
        return backbone.args
    size = size_of(snapshot)
    return {**backbone.args, "img_size": size} if size < _MOST else backbone.args


def size_of(snapshot: Artifact) -> int:
    """Returns the side of the square that most of the first pictures fit into, from 64 to 224 pixels."""
    sides: list[int] = []
    for batch in read_batches(snapshot, "train"):
        values = batch.column("input_1").slice(0, _LOOKED_AT - len(sides))
        if not pa.types.is_binary(values.type):
            return _MOST
        sides += [max(Image.open(io.BytesIO(value)).size) for value in values.to_pylist()]
        if len(sides) >= _LOOKED_AT:
            break
    middle = sorted(sides)[len(sides) // 2] if sides else _MOST
    return min(_MOST, max(_LEAST, -(-middle // _STEP) * _STEP))
