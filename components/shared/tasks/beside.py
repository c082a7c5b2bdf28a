"""Features of answers beside those of inputs, where neither needs to know the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared.modalities import InputEncoder
from components.shared.tasks.target import Target


class Beside:
    """An encoder of inputs, with the columns of the target beside its own.

    Args:
        encoder: Of the inputs.
        target: What an answer is.
        spec: What the snapshot tells of the answers.
    """

    def __init__(self, encoder: InputEncoder, target: Target, spec: Mapping[str, Any]) -> None:
        self._encoder, self._target, self._spec = encoder, target, spec
        self.max_length, self.row_bytes, self.threads = encoder.max_length, encoder.row_bytes, encoder.threads
        self.schema, self.targets = encoder.schema, target.features
        self.decoding: tuple[str, ...] = ()

    def encode(self, inputs: Sequence[Sequence[Any]], answers: pa.Array | None = None) -> list[pa.Array]:
        """See `Encoder`."""
        encoded = self._encoder.encode(inputs)
        return encoded if answers is None else [*encoded, *self._target.encode(answers, self._spec)]

    def save(self, folder: Path) -> None:
        """See `Encoder`."""
        self._encoder.save(folder)
