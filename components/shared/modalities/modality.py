"""What a kind of input says: how a value is checked, and what makes features of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from components.shared.backbones import Backbone


@dataclass(frozen=True)
class Limits:
    """What an input must not exceed: characters of a text, pixels of an image."""

    max_characters: int = 100_000
    max_pixels: int = 100_000_000


@dataclass(frozen=True)
class Encoding:
    """What an encoder must know of the data and the settings.

    Attributes:
        inputs: How many input columns there are.
        examples: How many examples, in all splits.
        max_length: The most tokens of an example; 0: what the backbone takes.
        max_gib: The most disk that uncompressed pixels may take.
        spec: What the snapshot tells of the answers, see `components.shared.artifacts.snapshot.spec_of`.
    """

    inputs: int = 1
    examples: int = 0
    max_length: int = 0
    max_gib: float = 64.0
    spec: Mapping[str, Any] = field(default_factory=dict)


class InputEncoder(Protocol):
    """Turns raw inputs into features, a batch at a time."""

    max_length: int
    """The most that `length` can be; longer examples were cut to it."""
    row_bytes: int
    """The most that the features of one example take."""
    threads: int
    """How many batches are encoded at a time."""
    schema: pa.Schema
    """Columns of the features; always among them `length` (int32): what an example costs, to sort batches by."""

    def encode(self, inputs: Sequence[Sequence[Any]]) -> list[pa.Array]:
        """Encodes a batch: one sequence of values for each input column; returns one array a column of `schema`."""

    def save(self, folder: Path) -> None:
        """Writes what is needed to encode the same way again (a tokenizer, say)."""


class Encoder(Protocol):
    """Turns examples, inputs and answers, into features.

    Mostly a row of features is an example. Of a long text several rows, its windows, may come: then a column `example`
    (int32) tells of each whose it is, the place in the batch, in order.
    """

    max_length: int
    """As of `InputEncoder`."""
    row_bytes: int
    """As of `InputEncoder`."""
    threads: int
    """As of `InputEncoder`."""
    schema: pa.Schema
    """Columns of the inputs' features, as of `InputEncoder`; `example` where there are windows."""
    targets: pa.Schema
    """Columns that a network learns from, and is not fed with."""
    decoding: tuple[str, ...]
    """Those of `schema` that a network is not fed with: what its outputs are made answers by (offsets, say)."""

    def encode(self, inputs: Sequence[Sequence[Any]], answers: pa.Array | None = None) -> list[pa.Array]:
        """Encodes a batch.

        Args:
            inputs: One sequence of values for each input column.
            answers: The column `label` of the snapshot; None: inputs alone are encoded.

        Returns:
            One array a column of `schema`, then of `targets` where there are answers.
        """

    def save(self, folder: Path) -> None:
        """Writes what is needed to encode inputs the same way again (a tokenizer, say)."""


@runtime_checkable
class Telling(Protocol):
    """An encoder that finds out what people should know before anything is trained."""

    def told(self) -> list[str]:
        """Returns sentences on what was encoded."""


class Modality(Protocol):
    """A kind of input."""

    @property
    def name(self) -> str:
        """What tasks call it: "text", "image"."""

    @property
    def type(self) -> pa.DataType:
        """What an input is: `pa.string()`, or `pa.binary()` (an encoded file)."""

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""

    def surely_fit(self, columns: Sequence[pa.Array], limits: Limits) -> np.ndarray:
        """Tells at a glance which inputs `reason_to_reject` would not reject: bool [rows]; of the others each is asked.

        Args:
            columns: An array of `type` for each input column.
            limits: What an input must not exceed.
        """

    def encoder(self, backbone: Backbone, encoding: Encoding, task: str) -> InputEncoder:
        """Returns the encoder that goes with a backbone.

        Args:
            backbone: Where it lies.
            encoding: What is known of data and settings.
            task: The task's name, for messages.

        Raises:
            InputError: The backbone cannot eat such inputs.
        """
