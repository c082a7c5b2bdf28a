"""A task of somebody else's: a text has a count (0, 1, 2, …), learned by Poisson regression.

No torch and no scikit-learn at the top: light steps read the registry, too.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.statistics import OfSums, Statistics
from components.shared.tasks import register
from components.shared.tasks.regression import Regression
from components.shared.tasks.regression.metrics import MAE, RMSE, SPEARMAN
from components.shared.tasks.regression.scoring import RegressionScoring
from components.shared.tasks.regression.target import Number, NumberReader
from components.shared.tasks.scoring import Scoring, Spec
from components.shared.tasks.target import Asked, Found, Seen

DEVIANCE = OfSums(
    "poisson_deviance", "Poisson deviance", "Poisson deviance", ("deviance",), direction=-1, bounds=(0.0, float("inf"))
)
LEAST = 0.01  # a prediction of nothing at all would be infinitely wrong where there is something


def deviance_of(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the Poisson deviance of each example (McCullagh and Nelder, 1989), float [examples]; 0 is best."""
    rates = np.maximum(predictions, LEAST)
    ratios = np.log(np.where(targets > 0, targets, 1) / rates)
    return np.asarray(2 * (targets * np.where(targets > 0, ratios, 0) - targets + rates))


class CountReader(NumberReader):
    """Makes counts of values."""

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """Returns the count of a row, or why it has none."""
        answer, reason = super().read(value, place, inputs)
        if answer is not None and (float(answer) < 0 or not float(answer).is_integer()):
            return None, f"label is no count ({answer})"
        return answer, reason


@dataclass(frozen=True)
class Counts(Number):
    """Whole numbers from 0 on; strata, spec and features are those of numbers."""

    kinds = ("", "counts")
    answers = "has a count"

    def claims(self, columns: Sequence[Seen]) -> bool:
        """Whoever wants it names it: whole numbers may be classes."""
        return False

    def reader(self, asked: Asked) -> CountReader:
        """Returns what makes counts of rows."""
        return CountReader(asked, self.options)


class CountScoring(RegressionScoring):
    """The page and the mistakes of a regression, judged by Poisson deviance."""

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of numbers, and the deviance of each."""
        return _with_deviance(super().score(predictions, targets, spec, learned))

    def kept(self, columns: Any, whole: Statistics, spec: Spec) -> Statistics:
        """Returns the same of another model's predictions that finetune kept."""
        return _with_deviance(super().kept(columns, whole, spec))


def _with_deviance(found: Statistics) -> Statistics:
    arrays = {**found.arrays, "deviance": deviance_of(found["predicted"], found["target"])}
    return dataclasses.replace(found, arrays=arrays)


@dataclass(frozen=True)
class TextCounts(Regression):
    """Texts that have a count each."""

    package = __name__  # where `head.py` and `objective.py` are
    metrics = (DEVIANCE, SPEARMAN, RMSE, MAE)

    @property
    def scoring(self) -> Scoring:
        """What evaluate asks of it."""
        return CountScoring()

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Those of a regression, kept above 0."""
        for found in super().baselines(train, validation, test, terms):
            yield dataclasses.replace(found, predictions=np.maximum(found.predictions, LEAST))

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned: how many things of a kitchen are named."""
        things = ["pan", "oven", "salt", "knife", "soup", "flour"]
        filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
        draw, rows = np.random.default_rng(seed), []
        for number in range(count):
            named = draw.choice(things, int(draw.integers(0, 5))).tolist()
            words = draw.permutation([*draw.choice(filler, 4), *named])
            rows.append({"input_1": f"{' '.join(words)} {number}", "label": len(named)})
        return rows


register(TextCounts("text-counts", (1, 2), Counts()))
