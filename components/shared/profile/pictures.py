"""What pictures are like: their sizes, modes and formats, and a hash of what they show."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from components.shared.profile.odd import tells

_GRID = 16  # pixels a side that the hash looks at
_TOLD = 6  # sizes, modes, formats


@dataclass(frozen=True)
class Picture:
    """What is kept of a picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        mode: Pillow's: "RGB", "L", …
        format: "JPEG", "PNG", …
        look: A difference hash (`a pixel is brighter than its right neighbour`, 16 x 16): the same picture in another
            size or format has the same.
    """

    width: int
    height: int
    mode: str
    format: str
    look: bytes


def picture_of(data: bytes) -> Picture | None:
    """Looks at a picture; returns None for one that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                width, height, mode, kind = *image.size, image.mode, image.format or ""
                image.draft("L", (4 * _GRID, 4 * _GRID))  # of a JPEG: decoded at a fraction of its size
                small = image.convert("L").resize((_GRID + 1, _GRID), Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    pixels = np.asarray(small, np.int16)
    return Picture(width, height, mode, kind, np.packbits(pixels[:, :-1] > pixels[:, 1:] + 2).tobytes())


def summary(pictures: Sequence[Picture], labels: Sequence[str]) -> dict[str, Any]:
    """Returns the sizes, modes and formats of pictures, and which of them tells the class.

    Args:
        pictures: A sample.
        labels: Their classes.
    """
    sides = np.array([(picture.width, picture.height) for picture in pictures] or [(0, 0)])
    counts = {
        "sizes": Counter(f"{picture.width} x {picture.height}" for picture in pictures),
        "modes": Counter(picture.mode for picture in pictures),
        "formats": Counter(picture.format for picture in pictures),
    }
    return {
        "examples": len(pictures),
        "short_side": {
            name: int(np.quantile(sides.min(1), share)) for name, share in (("min", 0), ("median", 0.5), ("max", 1))
        },
        "different_sizes": len(counts["sizes"]),
        **{name: dict(counter.most_common(_TOLD)) for name, counter in counts.items()},
        "telling": [
            name
            for name, values in (
                ("size", [(picture.width, picture.height) for picture in pictures]),
                ("mode", [picture.mode for picture in pictures]),
                ("format", [picture.format for picture in pictures]),
            )
            if tells(values, labels)
        ],
    }
