"""Token classification: a text has entities, each of a type, from one character to another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import Encoder, Encoding
from components.shared.tasks import register
from components.shared.tasks.common import CommonTask
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.token_classification.answers import PREDICTION
from components.shared.tasks.token_classification.encoder import TokenEncoder
from components.shared.tasks.token_classification.metrics import METRICS
from components.shared.tasks.token_classification.samples import names
from components.shared.tasks.token_classification.target import Entities, words_in


@dataclass(frozen=True)
class TokenClassification(CommonTask):
    """Texts in which entities stand."""

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    part = ("type", "F1")

    @property
    def scoring(self) -> Scoring:
        """Strict F1 of entities."""
        from components.shared.tasks.token_classification.scoring import TokenScoring

        return TokenScoring()

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns texts: words are joined."""
        words = words_in(values[0])
        joiner: str = self.options.joiner
        return values if words is None else [joiner.join(words)]

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, that tags tokens."""
        if backbone.family != "transformers":  # the same refusal as of other tasks of texts
            return super().encoder(backbone, encoding)
        return TokenEncoder(backbone.folder, encoding.max_length, encoding.spec)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """A gazetteer of the training entities, and a linear model of tokens."""
        from components.shared.tasks.token_classification.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
        return names(count, seed)


TASK = register(TokenClassification("token-classification", (1,), Entities(), {"inputs": ["tokens"]}))
