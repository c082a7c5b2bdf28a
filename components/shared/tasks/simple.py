"""What tasks have in common whose inputs are values of one kind, taken as they are."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.modalities import Encoder, Encoding, Limits, Modality
from components.shared.tasks.beside import Beside
from components.shared.tasks.target import Target


class Simple:
    """A task on inputs of one kind; a frozen dataclass builds on it, with the fields that are told here."""

    name: str
    modality: Modality
    options: Any
    grouped_by: ClassVar[int | None] = None

    @property
    def target(self) -> Target:
        """What an answer is."""
        raise NotImplementedError

    @property
    def input_type(self) -> pa.DataType:
        """What an input is in Arrow."""
        return self.modality.type

    def configured(self, options: Any) -> Self:
        """Returns the same task with other options."""
        return dataclasses.replace(self, options=options)  # type: ignore[type-var]

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns what columns hold as inputs, which they are."""
        return values

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""
        return self.modality.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, or preprocessing, and the target beside."""
        return Beside(self.modality.encoder(backbone, encoding, self.name), self.target, encoding.spec)
