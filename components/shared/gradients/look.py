"""Pictures into columns: gradients, colours and pixels, each picture looked at by its own size."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix, vstack

from ..backbones.pixels import open_image
from ..cores import cores
from .hog import colours, oriented_gradients

GRADIENTS, COLOURS, PIXELS = "gradients", "colours", "pixels"
_SIDES = (8, 64)  # pixels that pictures are looked at with, at least and at most
_THUMBNAIL = 16  # pixels, at most
_LOOKED_AT = 256  # pictures, for their size
_CHUNK = 512  # pictures that are decoded at once


@dataclass(frozen=True)
class Look:
    """How pictures become columns.

    Attributes:
        side: Pixels that a picture is brought to: no more than it has, so that small ones are not blown up.
        grey: Whether no picture has a colour.
        seen: Which of gradients, colours and pixels are columns, in this order.
        max_pixels: A larger picture is refused. No part of what is saved: who serves has to bound what strangers send.
    """

    kind: ClassVar[str] = "gradients"
    level: ClassVar[str] = "pooled"
    side: int
    grey: bool
    seen: tuple[str, ...] = (GRADIENTS, COLOURS, PIXELS)
    max_pixels: int = 100_000_000

    @classmethod
    def fitting(cls, files: Sequence[bytes]) -> "Look":
        """Returns how to look at pictures: the side is the median shorter one of the first, in steps of 8 pixels."""
        images = [open_image(file, sys.maxsize) for file in islice(files, _LOOKED_AT)]
        side = int(np.median([min(image.size) for image in images])) // 8 * 8
        small = (np.asarray(image.convert("RGB").resize((8, 8)), np.int64) for image in images)
        grey = all((picture.max(-1) == picture.min(-1)).all() for picture in small)
        return cls(int(np.clip(side, *_SIDES)), grey, max_pixels=sys.maxsize)  # ingest has looked at them

    @property
    def parts(self) -> dict[str, slice]:
        """Which columns are which."""
        counts = {name: self._sizes[name] for name in self.seen}
        ends = np.cumsum(list(counts.values())).tolist()
        return {name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)}

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(self._sizes[name] for name in self.seen)

    @property
    def words(self) -> str:
        """What it looks at, in words."""
        names = [name for name in self.seen if self._sizes[name]]
        return f"{' and '.join(names)} of {self.side} x {self.side} pixels"

    @property
    def thumbnail(self) -> int:
        """Pixels of a side of the small picture whose pixels are columns."""
        return min(self.side, _THUMBNAIL)

    def vectors(self, files: Sequence[bytes]) -> np.ndarray:
        """Returns float32 [pictures, width], of few enough pictures to be decoded at once."""
        if not files:
            return np.zeros((0, self.width), np.float32)
        with ThreadPoolExecutor(cores()) as pool:  # PIL decodes without holding Python's lock
            squares = np.stack(list(pool.map(self._square, files))).astype(np.float32) / 255
        makers = {GRADIENTS: self._gradients, COLOURS: self._colours, PIXELS: self._pixels}
        return np.column_stack([makers[name](squares) for name in self.seen]).astype(np.float32)

    def columns(self, inputs: Sequence[Sequence[bytes | str]], extras: Any = None) -> csr_matrix:
        """Takes for the one input its pictures (the bytes or the paths of files); returns float32 [pictures, width].

        Raises:
            ImageError: One cannot be read.
        """
        files = inputs[0]
        parts = [csr_matrix((0, self.width), dtype=np.float32)]
        for start in range(0, len(files), _CHUNK):
            given = files[start : start + _CHUNK]
            read = [file if isinstance(file, bytes) else Path(file).read_bytes() for file in given]
            parts.append(csr_matrix(self.vectors(read)))
        return csr_matrix(vstack(parts, "csr"))

    def __deepcopy__(self, memory: dict[int, Any]) -> "Look":
        """Returns itself: nothing of it changes."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return {"side": self.side, "grey": self.grey, "seen": list(self.seen)}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Look":
        """Returns the look that `to_json` told."""
        return cls(told["side"], told["grey"], tuple(told["seen"]))

    @property
    def _sizes(self) -> dict[str, int]:
        return {
            GRADIENTS: 13 * sum((self.side // cell) ** 2 for cell in self._cells),
            COLOURS: 0 if self.grey else 64,
            PIXELS: (1 if self.grey else 3) * self.thumbnail**2,
        }

    @property
    def _cells(self) -> tuple[int, int]:
        """Two sizes of cells in pixels: what the strokes are like, and how the parts lie."""
        return max(2, self.side // 8), max(4, self.side // 4)

    def _gradients(self, squares: np.ndarray) -> np.ndarray:
        return np.column_stack([oriented_gradients(squares, cell) for cell in self._cells])

    def _colours(self, squares: np.ndarray) -> np.ndarray:
        return np.zeros((len(squares), 0), np.float32) if self.grey else colours(squares)

    def _pixels(self, squares: np.ndarray) -> np.ndarray:
        places = (np.arange(self.thumbnail) * self.side) // self.thumbnail
        small = np.add.reduceat(np.add.reduceat(squares, places, 1), places, 2)
        found: np.ndarray = (small / (self.side / self.thumbnail) ** 2).reshape(len(squares), -1)
        return found

    def _square(self, file: bytes) -> np.ndarray:
        mode = "L" if self.grey else "RGB"
        image = open_image(file, self.max_pixels).convert(mode).resize((self.side, self.side))
        return np.asarray(image).reshape(self.side, self.side, -1)
