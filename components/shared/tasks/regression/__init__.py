"""Regression: a text, or a pair of texts, has a number: a score, a similarity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.tasks import register
from components.shared.tasks.regression.answers import PREDICTION
from components.shared.tasks.regression.metrics import METRICS
from components.shared.tasks.regression.samples import scores
from components.shared.tasks.regression.target import Number
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.text_task import TextTask


@dataclass(frozen=True)
class Regression(TextTask):
    """Texts that have a number each."""

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    part = ("", "")

    @property
    def scoring(self) -> Scoring:
        """Correlations and errors of numbers."""
        from components.shared.tasks.regression.scoring import RegressionScoring

        return RegressionScoring()

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Ridge regression on words and on characters; of pairs the cosine of their words."""
        from components.shared.tasks.regression.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
        return scores(count, seed)


TASK = register(Regression("text-regression", (1, 2), Number()))
