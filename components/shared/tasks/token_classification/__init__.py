"""Token classification: a text has entities, each of a type, from one character to another.

What evaluate asks of it is here; it registers itself when a head can learn it, and a snapshot can hold it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import TEXT, Encoder, Encoding, Limits, Modality
from components.shared.statistics import Metric
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.token_classification.metrics import METRICS


@dataclass(frozen=True)
class TokenClassification:
    """Texts in which entities stand.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        metrics: What predictions are judged by, entity F1 first.
        part: Types have an F1 each.
    """

    name: str = "token-classification"
    modality: Modality = TEXT
    input_counts: tuple[int, ...] = (1,)
    columns: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("type", "F1")

    @property
    def scoring(self) -> Scoring:
        """Strict F1 of entities."""
        from components.shared.tasks.token_classification.scoring import TokenScoring

        return TokenScoring()

    @property
    def input_type(self) -> pa.DataType:
        """What an input is in Arrow."""
        return self.modality.type

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""
        return self.modality.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer."""
        return self.modality.encoder(backbone, encoding, self.name)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Ridge token_classification on words and on characters; of pairs the cosine of their words."""
        from components.shared.tasks.token_classification.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)
