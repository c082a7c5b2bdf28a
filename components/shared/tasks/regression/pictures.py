"""Baselines of numbers on pictures: ridge regression on gradients (with colours, where they help), and on pixels."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.baselines.views import Views

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_HELD = 5  # one part in so many is chosen on where there is no validation


def picture_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[bytes]], terms: Terms
) -> Iterator[Baseline]:
    """Yields gradients, and pixels; the penalty is chosen on validation, or on a part of the training.

    Args:
        train: What they learn from; its labels are numbers.
        validation: What is chosen on; there may be none.
        test: Files of the examples that are predicted.
        terms: Nothing that numbers need.
    """
    began = time.perf_counter()
    views = Views.of(train.inputs[0], validation.inputs[0], test[0])
    looked, truth = time.perf_counter() - began, train.labels[: len(views.train)]
    for name, choices in views.choices.items():
        began = time.perf_counter()
        fits = [(_chosen(views.only(names), truth, validation.labels), names) for names in choices]
        (_, penalty), names = min(fits, key=lambda fit: fit[0][0])
        view = views.only(names)
        found = _predicted(view.train, truth, view.unseen, [penalty])[0]
        yield Baseline(
            f"Ridge on {name}",
            f"{view.words}; penalty {penalty:g}",
            np.clip(found, truth.min(), truth.max()),  # within what was seen: a line goes on for ever
            8 * (view.train.shape[1] + 1) + view.bytes,
            looked + time.perf_counter() - began,
            len(truth),
        )


def _chosen(view: Views, truth: np.ndarray, held: np.ndarray) -> tuple[float, float]:
    """Returns the least mean squared error on what is held out, and the penalty that has it."""
    own, asked = view.train, view.held
    if not len(held):
        cut = len(truth) - max(len(truth) // _HELD, 1)
        own, asked, truth, held = own[:cut], own[cut:], truth[:cut], truth[cut:]
    found = _predicted(own, truth, asked, PENALTIES)
    return min((float(((one - held) ** 2).mean()), penalty) for one, penalty in zip(found, PENALTIES, strict=True))


def _predicted(rows: np.ndarray, truth: np.ndarray, asked: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Returns for each penalty what ridge regression predicts, float [asked]; all of them by one decomposition.

    The smaller of both matrices is taken apart: of columns by columns, or of examples by examples.

    Args:
        rows: float [examples, columns], centred.
        truth: float [examples].
        asked: float [asked, columns].
        penalties: Added to the squares.
    """
    wide = rows.astype(np.float64)
    mean = wide.mean(0)
    wide -= mean
    aim = truth - truth.mean()
    is_long = wide.shape[0] >= wide.shape[1]
    values, vectors = np.linalg.eigh(wide.T @ wide if is_long else wide @ wide.T)
    values, turned = np.maximum(values, 0.0), vectors.T @ (wide.T @ aim if is_long else aim)
    found = []
    for penalty in penalties:
        solved = vectors @ (turned / (values + penalty))
        weights = solved if is_long else wide.T @ solved
        found.append((asked - mean) @ weights + truth.mean())
    return found
