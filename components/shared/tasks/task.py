"""The contract of a task: all that differs between tasks is behind it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import Encoder, Encoding, Limits


class Task(Protocol):
    """What is learned. Everything that differs between tasks is behind these few members."""

    @property
    def name(self) -> str:
        """What a job calls it."""

    @property
    def input_counts(self) -> tuple[int, ...]:
        """How many input columns it takes."""

    @property
    def input_type(self) -> pa.DataType:
        """What an input is: `pa.string()`, or `pa.binary()` (an encoded file)."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """The fields of `data` in a job that have a default with this task (`inputs`, `label`)."""

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns the encoder that goes with a backbone.

        Raises:
            InputError: The backbone cannot eat such inputs.
        """

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Fits classical models on raw inputs; what there is to choose is chosen on validation examples.

        Args:
            train: What they learn from.
            validation: What is chosen and calibrated on; there may be none.
            test: Raw inputs (a sequence for each column) of the examples that are predicted.
            terms: By what they are fitted.

        Yields:
            One after the other, so that one that fails does not lose those before it.
        """

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
