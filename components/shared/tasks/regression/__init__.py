"""Regression: a text, or a pair of texts, has a number: a score, a similarity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import TEXT, Modality
from components.shared.statistics import Metric
from components.shared.tasks.regression.answers import PREDICTION
from components.shared.tasks.regression.metrics import METRICS
from components.shared.tasks.regression.samples import sample
from components.shared.tasks.regression.target import Number, Options
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.simple import Simple


@dataclass(frozen=True)
class Regression(Simple):
    """Inputs of one kind that have a number each.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        metrics: What predictions are judged by, Pearson's correlation first.
        part: Numbers are of no classes.
        options: What a job may set under `task_args`.
    """

    package = __name__
    prediction = PREDICTION
    name: str = "text-regression"
    modality: Modality = TEXT
    input_counts: tuple[int, ...] = (1, 2)
    columns: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("", "")
    options: Options = field(default_factory=Options)

    @property
    def scoring(self) -> Scoring:
        """Correlations and errors of numbers."""
        from components.shared.tasks.regression.scoring import RegressionScoring

        return RegressionScoring()

    @property
    def target(self) -> Number:
        """What an answer is."""
        return Number(self.options)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Ridge regression on words and on characters; of pairs the cosine of their words."""
        from components.shared.tasks.regression.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return sample(count, seed)
