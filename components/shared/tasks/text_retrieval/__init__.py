"""Retrieval by a bi-encoder: a query finds its passage, since both have near vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import Encoder, Encoding
from components.shared.tasks import register
from components.shared.tasks.common import CommonTask
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.target import Target
from components.shared.tasks.text_retrieval.answers import PREDICTION
from components.shared.tasks.text_retrieval.encoder import PairEncoder
from components.shared.tasks.text_retrieval.metrics import METRICS
from components.shared.tasks.text_retrieval.samples import notes
from components.shared.tasks.text_retrieval.target import Relevance
from components.shared.tasks.text_retrieval.unfolding import Pair, pairs_of


@dataclass(frozen=True)
class TextRetrieval(CommonTask):
    """Queries and passages, and whether they belong together; all pairs of a query stay in one split."""

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    name: str = "text-retrieval"
    input_counts: tuple[int, ...] = (2,)
    target: Target = field(default_factory=Relevance)
    columns: Mapping[str, Any] = field(default_factory=lambda: {"inputs": ["query", "passage"], "label": "score"})
    grouped_by: int | None = 0

    @property
    def scoring(self) -> Scoring:
        """Ranks of passages."""
        from components.shared.tasks.text_retrieval.scoring import RetrievalScoring

        return RetrievalScoring()

    def unfolded(self, inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> list[Pair] | None:
        """Returns the pairs of a row of triplets, or of lists; None where the row is one pair."""
        return pairs_of(inputs, labels)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, that reads both texts apart."""
        if backbone.family != "transformers":  # the same refusal as of other tasks of texts
            return super().encoder(backbone, encoding)
        return PairEncoder(backbone.folder, encoding.max_length)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """BM25; the frozen encoder is told beside."""
        from components.shared.tasks.text_retrieval.baselines import text_baselines

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, `input_2`, `label`), to try the chain on."""
        return notes(count, seed)


TASK = register(TextRetrieval())
