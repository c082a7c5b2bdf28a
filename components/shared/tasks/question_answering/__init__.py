"""Question answering: the answer to a question is a part of a text, or is not there.

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
from components.shared.tasks.question_answering.metrics import METRICS
from components.shared.tasks.scoring import Scoring


@dataclass(frozen=True)
class QuestionAnswering:
    """A question and a context, and what of the latter is the answer.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        metrics: What predictions are judged by, F1 of answers first.
        part: Questions with and without an answer.
    """

    name: str = "question-answering"
    modality: Modality = TEXT
    input_counts: tuple[int, ...] = (2,)
    columns: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("kind of question", "F1")

    @property
    def scoring(self) -> Scoring:
        """Exact match and F1 of answers."""
        from components.shared.tasks.question_answering.scoring import AnswerScoring

        return AnswerScoring()

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
        """Ridge question_answering on words and on characters; of pairs the cosine of their words."""
        from components.shared.tasks.question_answering.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)
