"""Pictures: checked, and turned into squares of the size that a backbone works at."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.backbones.pixels import check_image, open_image
from components.shared.backbones.preprocessing import FILE, Preprocessing, prepare, preprocessing_of
from components.shared.cores import cores
from components.shared.errors import InputError
from components.shared.modalities.modality import Encoding, Limits

_QUALITY = 95  # of JPEG


class Image:
    """A picture: the bytes of its file."""

    name = "image"
    type = pa.binary()

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

    def surely_fit(self, columns: Sequence[pa.Array], limits: Limits) -> np.ndarray:
        """Tells none: each is decoded."""
        return np.zeros(len(columns[0]), bool)

    def encoder(self, backbone: Backbone, encoding: Encoding, task: str) -> "ImageEncoder":
        """Returns an encoder with the backbone's own preprocessing."""
        files = [backbone.read_json(name) for name in ("config.json", "preprocessor_config.json", FILE)]
        try:
            preprocessing = preprocessing_of(files[0], files[1], files[2], backbone.args)
        except ValueError as error:
            raise InputError(
                f"The backbone {backbone.name!r} cannot be fed with pictures: {error}. {task} needs a "
                "timm model (timm/NAME), or a vision model of transformers with its preprocessor_config.json."
            ) from error
        return ImageEncoder(preprocessing, encoding)


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
    PIL.Image.fromarray(square).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


IMAGE = Image()
