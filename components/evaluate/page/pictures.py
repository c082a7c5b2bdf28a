"""Small pictures that lie in the page itself: thumbnails as data: URIs."""

import base64
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from components.evaluate.examples import first_of_each, read_rows
from components.shared.artifacts.artifact import Artifact
from components.shared.backbones.pixels import ImageError, open_image

SIDE = 96  # pixels of the longer side
_MOST = 40  # pictures of the grid
_MOST_OF_CLASS = 8
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Picture:
    """A thumbnail.

    Attributes:
        uri: A data: URI; "data:," where there is nothing to show.
        width: In CSS pixels.
        height: In CSS pixels.
        title: What it shows, or why it cannot be shown.
        tiny: Whether it is drawn larger than it is, so that its pixels are to be seen as squares.
    """

    uri: str
    width: int
    height: int
    title: str
    tiny: bool = False


def thumbnail(data: bytes, title: str) -> Picture:
    """Returns a picture of at most 96 pixels a side; smaller ones are not blown up but drawn larger."""
    try:
        image = open_image(data, sys.maxsize)  # ingest has looked at the number of pixels
    except ImageError as error:  # ingest let it pass, so a page without it is better than none
        return Picture("data:,", SIDE, SIDE, f"{title} ({error})")
    scale = SIDE / max(image.size)
    width, height = (max(1, round(scale * side)) for side in image.size)
    if scale >= 1:
        return Picture(_uri(image, "png"), width, height, title, tiny=scale > 1)
    return Picture(_uri(image.resize((width, height), Image.Resampling.LANCZOS), "jpeg"), width, height, title)


def example_grid(snapshot: Artifact) -> list[tuple[str, list[Picture]]]:
    """Returns a few training examples of each class, of the largest classes where there are many."""
    counts: dict[str, int] = snapshot.read_json("snapshot.json")["classes"]["train"]
    labels = sorted(sorted(counts), key=lambda label: -counts[label])[:_MOST_CLASSES]
    each = min(_MOST // len(labels), _MOST_OF_CLASS)
    places = first_of_each(snapshot, "train", {label: min(each, counts[label]) for label in sorted(labels)})
    rows = read_rows(snapshot, "train", [place for some in places.values() for place in some])
    return [(label, [thumbnail(rows[place]["input_1"], label) for place in some]) for label, some in places.items()]


def pictures_of(inputs: Sequence[object], title: str) -> list[Picture]:
    """Returns the thumbnails of those inputs that are files' bytes."""
    return [thumbnail(value, title) for value in inputs if isinstance(value, bytes)]


def _uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 80} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
