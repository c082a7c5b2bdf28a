"""Regression: a text, a pair of texts, or a picture has a number: a score, a similarity, a count, an age."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import IMAGE, TEXT
from components.shared.tasks import register
from components.shared.tasks.common import CommonTask
from components.shared.tasks.regression.answers import PREDICTION
from components.shared.tasks.regression.metrics import METRICS
from components.shared.tasks.regression.samples import dots, scores
from components.shared.tasks.regression.target import Number
from components.shared.tasks.scoring import Scoring


@dataclass(frozen=True)
class Regression(CommonTask):
    """Texts, or pictures, that have a number each.

    Attributes:
        make_sample: Makes rows, see `sample`.
    """

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    shared = True
    part = ("", "")
    make_sample: Callable[[int, int], list[dict[str, Any]]] = scores

    @property
    def scoring(self) -> Scoring:
        """Correlations and errors of numbers."""
        from components.shared.tasks.regression.scoring import RegressionScoring

        return RegressionScoring()

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Ridge regression: on words and characters, of pairs the cosine of their words; on gradients and pixels."""
        if self.modality is TEXT:
            from components.shared.tasks.regression.baselines import text_baselines  # scikit-learn

            return text_baselines(train, validation, test, terms)
        from components.shared.tasks.regression.pictures import picture_baselines

        return picture_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
        return self.make_sample(count, seed)


TASK = register(Regression("text-regression", (1, 2), Number()))
register(Regression("image-regression", (1,), Number(), {"inputs": ["image"]}, modality=IMAGE, make_sample=dots))
