"""Multi-label classification: a text, or a pair of texts, has any number of labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.tasks import register
from components.shared.tasks.multi_label.answers import PREDICTION
from components.shared.tasks.multi_label.metrics import METRICS
from components.shared.tasks.multi_label.samples import topics
from components.shared.tasks.multi_label.target import LabelSets
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.text_task import TextTask


@dataclass(frozen=True)
class MultiLabel(TextTask):
    """Texts that have any number of labels each."""

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    part = ("label", "F1")

    @property
    def scoring(self) -> Scoring:
        """F1 of labels that are given, and how well their probabilities rank."""
        from components.shared.tasks.multi_label.scoring import MultiLabelScoring

        return MultiLabelScoring()

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """A logistic regression and a linear SVM a label, on words and on characters."""
        from components.shared.tasks.multi_label.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
        return topics(count, seed)


TASK = register(MultiLabel("multi-label-classification", (1, 2), LabelSets()))
