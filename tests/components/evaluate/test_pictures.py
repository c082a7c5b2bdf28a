"""Thumbnails are small and true to the picture; examples are found by class and by place."""

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.evaluate.examples import first_of_each, read_rows
from components.evaluate.page.pictures import SIDE, Picture, example_grid, thumbnail
from components.shared.artifacts.artifact import Artifact, open_artifact


def file_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def shown(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.partition("base64,")[2])))


@pytest.fixture
def snapshot_of_digits(digits: dict[str, Path]) -> Artifact:
    return open_artifact(digits["snapshot"], "snapshot")


def test_tiny_picture_is_kept_pixel_by_pixel_and_drawn_large() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    found = thumbnail(file_of(pixels), "digit")
    assert np.array_equal(np.asarray(shown(found)), pixels)
    assert (found.width, found.height, found.tiny) == (72, SIDE, True)


def test_photograph_becomes_a_small_jpeg_of_the_same_shape() -> None:
    smooth = np.linspace(0, 255, 1200 * 1600 * 3).astype(np.uint8).reshape(1200, 1600, 3)
    found = thumbnail(file_of(smooth, "JPEG"), "photograph")
    assert found.uri.startswith("data:image/jpeg;")
    assert shown(found).size == (found.width, found.height) == (96, 72)
    assert not found.tiny
    assert len(found.uri) < 8000


def test_unreadable_picture_says_so_in_its_place() -> None:
    found = thumbnail(b"no picture", "digit")
    assert found.uri == "data:,"
    assert found.title.startswith("digit (no image")


def test_grid_holds_the_first_pictures_of_each_class(snapshot_of_digits: Artifact) -> None:
    grid = example_grid(snapshot_of_digits)
    assert [(label, len(pictures)) for label, pictures in grid] == [(f"digit {n}", 4) for n in range(10)]
    rows = pq.read_table(snapshot_of_digits.file("train-00000.parquet")).to_pylist()
    first = next(row["input_1"] for row in rows if row["label"] == "digit 7")
    assert grid[7][1][0] == thumbnail(first, "digit 7")


def test_rows_are_found_by_their_places(snapshot_of_digits: Artifact) -> None:
    rows = pq.read_table(snapshot_of_digits.file("test-00000.parquet")).to_pylist()
    places = [299, 0, 63, 64, 130]  # in groups of 64 rows
    assert read_rows(snapshot_of_digits, "test", places) == {place: rows[place] for place in places}


def test_first_of_each_class(snapshot_of_digits: Artifact) -> None:
    labels = pq.read_table(snapshot_of_digits.file("train-00000.parquet"))["label"].to_pylist()
    places = [place for place, label in enumerate(labels) if label == "digit 3"]
    assert first_of_each(snapshot_of_digits, "train", {"digit 3": 5, "digit 8": 0}) == {
        "digit 3": places[:5],
        "digit 8": [],
    }
