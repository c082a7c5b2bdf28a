"""Classification: one text, a pair of texts, or a picture belongs to one of two or more classes."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import IMAGE, TEXT, Limits, Modality
from components.shared.statistics import Metric
from components.shared.tasks import NoOptions, register
from components.shared.tasks.classification.metrics import METRICS
from components.shared.tasks.classification.samples import sentences, shapes
from components.shared.tasks.classification.target import Classes
from components.shared.tasks.common import OfOneKind
from components.shared.tasks.scoring import Scoring


@dataclass(frozen=True)
class Classification(OfOneKind):
    """Inputs of one kind into one of two or more classes.

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        input_counts: How many input columns it takes.
        make_sample: Makes rows, see `sample`.
        columns: The fields of `data` in a job that have a default with this task.
        target: What an answer is.
        options: None.
        grouped_by: Nothing: each example is dealt alone.
        metrics: What predictions are judged by, accuracy first.
        part: Classes have a recall each.
    """

    package = __name__
    shared = True
    prediction = pa.schema({"label": pa.string(), "confidence": pa.float64(), "probabilities": pa.list_(pa.float64())})
    name: str
    modality: Modality
    input_counts: tuple[int, ...]
    make_sample: Callable[[int, int], list[dict[str, Any]]]
    columns: Mapping[str, Any] = field(default_factory=dict)
    target: Classes = field(default_factory=Classes)
    options: NoOptions = field(default_factory=NoOptions)
    grouped_by: int | None = None
    metrics: tuple[Metric, ...] = METRICS
    part: tuple[str, str] = ("class", "recall")

    @property
    def scoring(self) -> Scoring:
        """Accuracy, macro-F1 and what is told beside them, of probabilities."""
        from components.shared.tasks.classification.scoring import ClassificationScoring

        return ClassificationScoring()

    def configured(self, options: NoOptions) -> Self:
        """Returns the same task with other options."""
        return dataclasses.replace(self, options=options)

    def surely_fit(self, columns: Sequence[pa.Array], limits: Limits) -> np.ndarray:
        """Tells at a glance which inputs are not rejected: bool [rows]. A task without it looks at each row."""
        return self.modality.surely_fit(columns, limits)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Linear models of words and characters, or of gradients, colours and pixels: `components.shared.baselines`."""
        if self.modality is TEXT:
            from components.shared.baselines.texts import text_baselines  # scikit-learn

            return text_baselines(train, validation, test, terms)
        from components.shared.baselines.pictures import picture_baselines

        return picture_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return self.make_sample(count, seed)


register(Classification("text-classification", TEXT, (1, 2), sentences))
register(Classification("image-classification", IMAGE, (1,), shapes, {"inputs": ["image"], "label": "label"}))
