"""Multi-label classification: a text, or a pair of texts, has any number of labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import TEXT, Modality
from components.shared.statistics import Metric
from components.shared.tasks.multi_label.answers import PREDICTION
from components.shared.tasks.multi_label.metrics import METRICS
from components.shared.tasks.multi_label.samples import sample
from components.shared.tasks.multi_label.target import LabelSets, Options
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.simple import Simple


@dataclass(frozen=True)
class MultiLabel(Simple):
    """Inputs of one kind that have any number of labels each.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        columns: The fields of `data` in a job that have a default with this task.
        metrics: What predictions are judged by, micro-F1 first.
        part: Labels have an F1 each.
        options: What a job may set under `task_args`.
    """

    package = __name__
    prediction = PREDICTION
    name: str = "text-multi-label-classification"
    modality: Modality = TEXT
    input_counts: tuple[int, ...] = (1, 2)
    columns: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("label", "F1")
    options: Options = field(default_factory=Options)

    @property
    def scoring(self) -> Scoring:
        """F1 of labels that are given, and how well their probabilities rank."""
        from components.shared.tasks.multi_label.scoring import MultiLabelScoring

        return MultiLabelScoring()

    @property
    def target(self) -> LabelSets:
        """What an answer is."""
        return LabelSets(self.options)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Linear models of words and characters, one label against the rest."""
        from components.shared.tasks.multi_label.baselines import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return sample(count, seed)
