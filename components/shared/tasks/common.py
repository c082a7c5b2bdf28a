"""What most tasks have in common: inputs of one kind, as they are, and beside them what is answered."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.modalities import TEXT, Encoder, Encoding, Limits, Modality
from components.shared.statistics import Metric
from components.shared.tasks.beside import Beside
from components.shared.tasks.target import Target


class OfOneKind:
    """What a task has whose inputs are all of one kind, as they are.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        target: What an answer is.
    """

    name: str
    modality: Modality
    target: Any

    @property
    def input_type(self) -> pa.DataType:
        """What an input is in Arrow."""
        return self.modality.type

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns what columns hold as inputs, which they are."""
        return values

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""
        return self.modality.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, or preprocessing, and the answers beside."""
        return Beside(self.modality.encoder(backbone, encoding, self.name), self.target, encoding.spec)


@dataclass(frozen=True)
class CommonTask(OfOneKind):
    """A task of inputs of one kind; each has its own target, metrics and predictions.

    Attributes:
        name: What a job calls it.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        target: What an answer is.
        grouped_by: Which of the inputs is never parted; None: each example is dealt alone.
        modality: What an input is.
    """

    package: ClassVar[str]
    prediction: ClassVar[pa.Schema]
    metrics: ClassVar[tuple[Metric, ...]]
    part: ClassVar[tuple[str, str]] = ("", "")
    shared: ClassVar[bool] = False
    name: str
    input_counts: tuple[int, ...]
    target: Target
    columns: Mapping[str, Any] = field(default_factory=dict)
    grouped_by: int | None = None
    modality: Modality = TEXT

    @property
    def options(self) -> Any:
        """Those of its target."""
        return getattr(self.target, "options")  # noqa: B009  # each has its own class of them

    def configured(self, options: Any) -> Self:
        """Returns the same task with other options."""
        target: Any = self.target
        return dataclasses.replace(self, target=dataclasses.replace(target, options=options))
