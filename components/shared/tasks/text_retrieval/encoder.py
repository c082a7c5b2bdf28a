"""Queries and passages as rows of their own: both are read by the same backbone, and neither sees the other."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.shared.modalities.text import TextEncoder


class PairEncoder:
    """Token ids of each text; of a pair two rows, its query and its passage.

    Columns: those of `TextEncoder`, and `example` int32, whose pair it is.
    Targets: `side` int32 (0: query, 1: passage), `relevant` int32, `text` int64 (the same for the same text).

    Args:
        backbone: Its folder.
        max_length: The most tokens of a text; 0: what the backbone takes.
    """

    decoding: tuple[str, ...] = ()

    def __init__(self, backbone: Path, max_length: int) -> None:
        self._texts = TextEncoder(backbone, 1, max_length)
        self.max_length, self.threads = self._texts.max_length, self._texts.threads
        self.row_bytes = 2 * self._texts.row_bytes
        self.schema = pa.schema([*self._texts.schema, ("example", pa.int32())])
        self.targets = pa.schema([("side", pa.int32()), ("relevant", pa.int32()), ("text", pa.int64())])

    def encode(self, inputs: Sequence[Sequence[str]], answers: pa.Array | None = None) -> list[pa.Array]:
        """See `Encoder`."""
        texts = [text for pair in zip(*inputs, strict=True) for text in pair]
        examples = np.repeat(np.arange(len(texts) // 2, dtype=np.int32), 2)
        arrays = [*self._texts.encode([texts]), pa.array(examples)]
        if answers is None:
            return arrays
        relevant = np.array(answers.to_pylist(), np.int32).repeat(2)
        sides = np.tile(np.array([0, 1], np.int32), len(texts) // 2)
        return [*arrays, pa.array(sides), pa.array(relevant), pa.array([_number(text) for text in texts], pa.int64())]

    def save(self, folder: Path) -> None:
        """See `Encoder`."""
        self._texts.save(folder)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
