"""Token classification: a text has entities, each of a type, from one character to another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import TEXT, Encoder, Encoding, Modality
from components.shared.modalities.text import check_is_language
from components.shared.statistics import Metric
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.simple import Simple
from components.shared.tasks.token_classification.answers import PREDICTION
from components.shared.tasks.token_classification.encoder import TokenEncoder
from components.shared.tasks.token_classification.metrics import METRICS
from components.shared.tasks.token_classification.samples import reports
from components.shared.tasks.token_classification.target import Entities, Options


@dataclass(frozen=True)
class TokenClassification(Simple):
    """Texts in which entities stand.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        metrics: What predictions are judged by, entity F1 first.
        part: Types have an F1 each.
        options: What a job may set under `task_args`.
    """

    package = __name__
    prediction = PREDICTION
    name: str = "token-classification"
    modality: Modality = TEXT
    input_counts: tuple[int, ...] = (1,)
    columns: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("type", "F1")
    options: Options = field(default_factory=Options)

    @property
    def scoring(self) -> Scoring:
        """Strict F1 of entities."""
        from components.shared.tasks.token_classification.scoring import TokenScoring

        return TokenScoring()

    @property
    def target(self) -> Entities:
        """What an answer is."""
        return Entities(self.options)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer; long texts are read in windows."""
        check_is_language(backbone, self.name)
        return TokenEncoder(backbone.folder, encoding.max_length, encoding.spec)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """The names that training texts hold, and a linear model of tokens."""
        from components.shared.tasks.token_classification.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return reports(count, seed)
