"""image-classification: a picture belongs to one of several classes."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from components.shared.backbones import Backbone
from components.shared.backbones.pixels import check_image, open_image
from components.shared.backbones.preprocessing import FILE, Preprocessing, prepare, preprocessing_of
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.cores import cores
from components.shared.errors import InputError
from components.shared.tasks import Encoding, Limits, register

_QUALITY = 95  # of JPEG


class ImageClassification:
    """A picture (the bytes of its file) into one of two or more classes."""

    name = "image-classification"
    input_counts = (1,)
    input_type = pa.binary()
    columns: Mapping[str, Any] = {"inputs": ["image"], "label": "label"}

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Rejects what cannot be decoded whole, or is no single picture."""
        for value in inputs:
            if not value:
                return "empty input"
            if not isinstance(value, bytes):
                return f"input is no image file ({type(value).__name__})"
            if reason := check_image(value, limits.max_pixels):
                return reason
        return None

    def encoder(self, backbone: Backbone, encoding: Encoding) -> "ImageEncoder":
        """Returns an encoder with the backbone's own preprocessing."""
        files = [backbone.read_json(name) for name in ("config.json", "preprocessor_config.json", FILE)]
        try:
            preprocessing = preprocessing_of(files[0], files[1], files[2], backbone.args)
        except ValueError as error:
            raise InputError(
                f"The backbone {backbone.name!r} cannot be fed with pictures: {error}. image-classification needs a "
                "timm model (timm/NAME), or a vision model of transformers with its preprocessor_config.json."
            ) from error
        return ImageEncoder(preprocessing, encoding)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[bytes]], terms: Terms
    ) -> Iterator[Baseline]:
        """Gradients, colours, pixels, and the nearest class mean. See `components.shared.baselines`."""
        from components.shared.baselines.pictures import picture_baselines  # scikit-learn

        return picture_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """PNG pictures of 32 x 32 pixels: a disc or a cross of any colour, anywhere on a noisy background."""
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            label = ("cross", "disc")[number % 2]
            image = Image.fromarray(draw.integers(0, 110, (32, 32, 3), np.uint8))
            radius = int(draw.integers(6, 10))
            x, y = draw.integers(radius, 32 - radius, 2).tolist()
            red, green, blue = draw.integers(150, 256, 3).tolist()
            boxes = [(radius, radius)] if label == "disc" else [(radius, 2), (2, radius)]
            shape = ImageDraw.Draw(image).ellipse if label == "disc" else ImageDraw.Draw(image).rectangle
            for wide, high in boxes:
                shape((x - wide, y - high, x + wide, y + high), fill=(red, green, blue))
            file = io.BytesIO()
            image.save(file, "PNG")
            rows.append({"input_1": file.getvalue(), "label": label})
        return rows


class ImageEncoder:
    """Squares of the backbone's working size, each picture decoded once.

    Columns: `pixels` fixed_size_list<uint8> (height, width, colour), or where all examples' would not fit into the
    budget `encoded` binary, the same square as JPEG; `length` int32, always 1: one picture costs as much as another.
    """

    max_length = 0  # none is cut

    def __init__(self, preprocessing: Preprocessing, encoding: Encoding) -> None:
        self.preprocessing = preprocessing
        self.threads = cores()
        self.row_bytes = preprocessing.resize**2 * 3
        fits = encoding.examples * self.row_bytes <= encoding.max_gib * 2**30
        column = ("pixels", pa.list_(pa.uint8(), self.row_bytes)) if fits else ("encoded", pa.binary())
        self.schema = pa.schema([column, ("length", pa.int32())])

    def encode(self, inputs: Sequence[Sequence[bytes]]) -> list[pa.Array]:
        """Encodes a batch of pictures, one after the other.

        Raises:
            ImageError: One cannot be decoded.
        """
        # Ingest has looked at the number of pixels.
        squares = (prepare(open_image(data, sys.maxsize), self.preprocessing) for data in inputs[0])
        kind = self.schema.field(0).type
        if pa.types.is_binary(kind):
            column = pa.array([_to_jpeg(square) for square in squares], kind)
        else:
            values = np.empty((len(inputs[0]), kind.list_size), np.uint8)
            for row, square in zip(values, squares, strict=True):
                row[:] = square.reshape(-1)
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind)
        return [column, pa.array(np.ones(len(inputs[0]), np.int32))]

    def save(self, folder: Path) -> None:
        """Writes `preprocessing.json`."""
        (folder / FILE).write_text(json.dumps(self.preprocessing.to_json(), indent=1) + "\n", "utf-8")


def _to_jpeg(square: np.ndarray) -> bytes:
    """The colours at full resolution, too: the square is small already."""
    file = io.BytesIO()
    Image.fromarray(square).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


register(ImageClassification())
