"""Classification: one text, a pair of texts, or a picture belongs to one of two or more classes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import IMAGE, TEXT, Encoder, Encoding, Limits, Modality
from components.shared.tasks import register
from components.shared.tasks.classification.samples import sentences, shapes


@dataclass(frozen=True)
class Classification:
    """Inputs of one kind into one of two or more classes.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        make_sample: Makes rows, see `sample`.
        columns: The fields of `data` in a job that have a default with this task.
    """

    name: str
    modality: Modality
    input_counts: tuple[int, ...]
    make_sample: Callable[[int, int], list[dict[str, Any]]]
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_type(self) -> pa.DataType:
        """What an input is in Arrow."""
        return self.modality.type

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""
        return self.modality.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, or preprocessing."""
        return self.modality.encoder(backbone, encoding, self.name)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Linear models of words and characters, or of gradients, colours and pixels: `components.shared.baselines`."""
        if self.modality is TEXT:
            from components.shared.baselines.texts import text_baselines  # scikit-learn

            return text_baselines(train, validation, test, terms)
        from components.shared.baselines.pictures import picture_baselines

        return picture_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return self.make_sample(count, seed)


register(Classification("text-classification", TEXT, (1, 2), sentences))
register(Classification("image-classification", IMAGE, (1,), shapes, {"inputs": ["image"], "label": "label"}))
