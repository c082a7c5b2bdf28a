"""Question answering: the answer to a question is a part of a text, or is not there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import Encoder, Encoding
from components.shared.tasks import register
from components.shared.tasks.common import CommonTask
from components.shared.tasks.question_answering.answers import PREDICTION
from components.shared.tasks.question_answering.encoder import AnswerEncoder
from components.shared.tasks.question_answering.metrics import METRICS
from components.shared.tasks.question_answering.samples import finds
from components.shared.tasks.question_answering.target import Answers
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.target import Target


@dataclass(frozen=True)
class QuestionAnswering(CommonTask):
    """Question and context, and where in the context the answer stands; questions on one context stay together."""

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    part = ("kind of question", "F1")
    name: str = "question-answering"
    input_counts: tuple[int, ...] = (2,)
    target: Target = field(default_factory=Answers)
    columns: dict[str, Any] = field(default_factory=lambda: {"inputs": ["question", "context"], "label": "answers"})
    grouped_by: int | None = 1

    @property
    def scoring(self) -> Scoring:
        """F1 of an answer's words, and exact match."""
        from components.shared.tasks.question_answering.scoring import AnswerScoring

        return AnswerScoring()

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns an encoder with the backbone's own tokenizer, that reads long contexts in windows."""
        if backbone.family != "transformers":  # the same refusal as of other tasks of texts
            return super().encoder(backbone, encoding)
        return AnswerEncoder(backbone.folder, encoding.max_length)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """The sentence, and the window of words, that shares most with the question."""
        from components.shared.tasks.question_answering.baselines import text_baselines

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, `input_2`, `label`), to try the chain on."""
        return finds(count, seed)


TASK = register(QuestionAnswering())
