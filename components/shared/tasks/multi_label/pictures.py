"""Baselines of several labels on pictures: a logistic regression and a linear SVM a label, on gradients and pixels."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.baselines.views import Views
from components.shared.tasks.multi_label.one_vs_rest import SVM, Examples, baselines_on, chosen

# Values times labels that one fit may look at. Work, not seconds: the same on every machine.
_SEARCH_WORK = 6_000_000
_WORK = 60_000_000
_LEAST = 500  # examples, however much work they are


def picture_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[bytes]], terms: Terms
) -> Iterator[Baseline]:
    """Yields gradients (and colours, where they help), and pixels; all that is to choose is chosen on validation.

    Args:
        train: What they learn from; its labels are bool [examples, labels].
        validation: What is chosen on; there may be none.
        test: Files of the examples that are predicted.
        terms: How many labels there are.
    """
    began = time.perf_counter()
    views = Views.of(train.inputs[0], validation.inputs[0], test[0])
    looked = time.perf_counter() - began
    for name, choices in views.choices.items():
        began = time.perf_counter()
        seen = [views.only(names) for names in choices]
        scores = [_score(view, train.labels, validation.labels) for view in seen] if len(seen) > 1 else [0.0]
        view = seen[int(np.argmax(scores))]
        own, held = _examples(view, train.labels, validation.labels, _WORK)
        searched, spent = _most(view, own.truth.shape[1], _SEARCH_WORK), looked + time.perf_counter() - began
        for found in baselines_on(name, own, held, view.unseen, view.bytes, searched):
            what = f"{view.words}; {found.what}"
            yield dataclasses.replace(found, what=what, seconds=found.seconds + spent)


def _score(view: Views, labels: np.ndarray, truth: np.ndarray) -> float:
    """Returns the micro-F1 that an SVM reaches by a view."""
    return chosen(SVM, [1.0], *_examples(view, labels, truth, _SEARCH_WORK)).score


def _examples(view: Views, labels: np.ndarray, truth: np.ndarray, work: int) -> tuple[Examples, Examples]:
    own = Examples(view.train, labels[: len(view.train)])
    return own.first(_most(view, labels.shape[1], work)), Examples(view.held, truth)


def _most(view: Views, labels: int, work: int) -> int:
    return max(work // (int(view.train.shape[1]) * labels), _LEAST)
