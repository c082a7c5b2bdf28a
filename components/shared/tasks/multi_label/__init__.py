"""Multi-label classification: a text, a pair of texts, or a picture has any number of labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.modalities import IMAGE, TEXT
from components.shared.tasks import register
from components.shared.tasks.common import CommonTask
from components.shared.tasks.multi_label.answers import PREDICTION
from components.shared.tasks.multi_label.metrics import METRICS
from components.shared.tasks.multi_label.samples import scenes, topics
from components.shared.tasks.multi_label.target import LabelSets
from components.shared.tasks.scoring import Scoring


@dataclass(frozen=True)
class MultiLabel(CommonTask):
    """Texts, or pictures, that have any number of labels each.

    Attributes:
        make_sample: Makes rows, see `sample`.
    """

    package = __name__
    prediction = PREDICTION
    metrics = METRICS
    shared = True
    part = ("label", "F1")
    make_sample: Callable[[int, int], list[dict[str, Any]]] = topics

    @property
    def scoring(self) -> Scoring:
        """F1 of labels that are given, and how well their probabilities rank."""
        from components.shared.tasks.multi_label.scoring import MultiLabelScoring

        return MultiLabelScoring()

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """A logistic regression and a linear SVM a label, on words and characters, or on gradients and pixels."""
        if self.modality is TEXT:
            from components.shared.tasks.multi_label.baselines import text_baselines  # scikit-learn

            return text_baselines(train, validation, test, terms)
        from components.shared.tasks.multi_label.pictures import picture_baselines

        return picture_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""
        return self.make_sample(count, seed)


TASK = register(MultiLabel("multi-label-classification", (1, 2), LabelSets()))
register(
    MultiLabel(
        "image-multi-label-classification", (1,), LabelSets(), {"inputs": ["image"]}, modality=IMAGE, make_sample=scenes
    )
)
