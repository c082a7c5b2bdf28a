"""How a probe is chosen: which view of the examples, which loss, whether classes weigh the same, which penalty.

Validation chooses, where there is enough of it. Else it would choose by chance: the best of twenty fits on 75 examples
is the luckiest one. Then a cross-validation of the training examples chooses, whose every example counts.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.finetune.linear.probe import (
    DENSE,
    ENOUGH,
    PENALTIES,
    Probe,
    Vectors,
    View,
    begun,
    class_weights,
    fit_path,
    margins_of,
    minimize,
)
from components.shared.linear import LOGISTIC, SQUARED_HINGE, softmax, temperature_of
from components.shared.selection import is_uneven, rank, selection_of
from components.shared.tasks.classification.objective import scores_of

_FEW, _FOLDS, _CROSSED = 500, 5, 20_000_000
"""Validation examples below which a cross-validation chooses; its folds; numbers times classes that it may cost."""
_LEAST, _CHOICE = 2_000, 60_000_000  # examples that are chosen on at least; numbers times classes, at most


@dataclass(frozen=True)
class Choice:
    """What was chosen on a path of penalties.

    Attributes:
        view: What was looked at.
        loss: "squared hinge" or "logistic".
        balanced: Whether classes weighed the same.
        chosen: The best penalty.
        scores: What it scored.
        tried: Penalties, each with its loss.
        fits: How many there were.
    """

    view: View
    loss: str
    balanced: bool
    chosen: float
    scores: dict[str, float]
    tried: dict[float, float]
    fits: int


def fit_probe(
    train: Vectors,
    validation: Vectors,
    classes: int,
    tell: Callable[[str], None],
    views: Sequence[View] = (View(),),
    like: Probe | None = None,
) -> Probe:
    """Fits a head: the view first, then the loss, the balance of classes, and the penalty on a dense grid.

    Of many examples view and loss are chosen on an even part.

    Args:
        train: What it is fitted on.
        validation: What everything is chosen on, where there is enough of it; and the temperature.
        classes: How many there are.
        tell: Is told the outcome.
        views: Those that are tried.
        like: Another one, whose view, loss, balance and penalty are taken: nothing is chosen.

    Raises:
        InputError: A vector is no number.
    """
    counts = np.bincount(train.labels, minlength=classes)
    selection = selection_of(counts)

    def last(chosen: Probe | Choice, penalties: Sequence[float]) -> Probe:
        seen = train.seen(chosen.view), validation.seen(chosen.view)
        return fit_path(*seen, classes, chosen.loss, chosen.balanced, penalties, selection, all_of_them=True)

    if like is not None:
        return last(like, [like.chosen])
    cost = len(train) * classes * train.states.inner[-1]
    crossed = len(validation) < _FEW and cost <= _CROSSED and len(train) >= 2 * _FOLDS
    enough = max(_LEAST, min(ENOUGH, _CHOICE // (classes * train.states.inner[-1])))
    given = (None if crossed else validation, classes, selection)
    tried = [choose(train.seen(view, enough), *given, SQUARED_HINGE, False, PENALTIES) for view in views]

    def best_of_them() -> Choice:
        return max(tried, key=lambda choice: rank(choice.scores, selection))

    best = best_of_them()
    seen = train.seen(best.view, enough)
    tried.append(choose(seen, *given, LOGISTIC, False, PENALTIES))
    if is_uneven(counts):
        tried.append(choose(seen, *given, best_of_them().loss, True, PENALTIES))
    best = best_of_them()
    grid = sorted((best.chosen, *(factor * best.chosen for factor in DENSE)), reverse=True)
    if crossed:
        tried.append(choose(seen, *given, best.loss, best.balanced, grid, all_of_them=True))
        dense = last(best, [tried[-1].chosen])
        told = {**best.tried, **tried[-1].tried}
    else:
        dense = last(best, grid)
        told = {**best.tried, **dense.tried}
    fits = sum(choice.fits for choice in tried) + len(dense.tried)
    found = dataclasses.replace(dense, tried=told, fits=fits, crossed=crossed)
    how = f", chosen by {_FOLDS} folds of the training examples" if crossed else ""
    tell(f"probe, {found.words}: validation loss {found.validation['validation_loss']:.4f}, best of {fits} fits{how}")
    return found


def choose(
    train: Vectors,
    validation: Vectors | None,
    classes: int,
    selection: str,
    loss: str,
    balanced: bool,
    penalties: Sequence[float],
    all_of_them: bool = False,
) -> Choice:
    """Goes from the strongest penalty to weaker ones, while it gains; see `fit_path`.

    Args:
        train: What is fitted on.
        validation: What is chosen on; None: what fits on the other folds make of each fold of the training examples.
        classes: How many there are.
        selection: What is chosen by.
        loss: "squared hinge" or "logistic".
        balanced: Whether classes weigh the same.
        penalties: That are tried, strongest first.
        all_of_them: Whether it goes on where it does not gain.
    """
    if validation is not None:
        seen = validation.seen(train.view)
        found = fit_path(train, seen, classes, loss, balanced, penalties, selection, all_of_them)
        fits = len(found.tried)
        return Choice(found.view, loss, balanced, found.chosen, found.validation, found.tried, fits)
    folds = _folds(train.labels)
    parts = [
        (train.some(np.flatnonzero(folds != fold)), train.some(np.flatnonzero(folds == fold))) for fold in range(_FOLDS)
    ]
    paths = [_path(fitted, own, classes, loss, balanced, penalties) for fitted, own in parts]
    best: Choice | None = None
    tried: dict[float, float] = {}
    for penalty, *margins in zip(penalties, *paths, strict=False):
        together = np.concatenate(margins)
        labels = np.concatenate([own.labels for _, own in parts])
        scores = scores_of(softmax(together / temperature_of(together, labels)), labels)
        tried[penalty] = scores["validation_loss"]
        if best is None or rank(scores, selection) > rank(best.scores, selection):
            best = Choice(train.view, loss, balanced, penalty, scores, {}, 0)
        elif not all_of_them:
            break
    assert best is not None, "a penalty is tried"
    return dataclasses.replace(best, tried=tried, fits=_FOLDS * len(tried))


def _folds(labels: np.ndarray) -> np.ndarray:
    """Returns the fold of each example, int [examples]; each class is spread over all of them."""
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.zeros(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % _FOLDS
    return folds


def _path(
    train: Vectors, held: Vectors, classes: int, loss: str, balanced: bool, penalties: Sequence[float]
) -> Iterator[np.ndarray]:
    """Yields for each penalty what a fit makes of what it has not seen; each begins where the last one ended."""
    weight, bias, length = begun(train, held, classes)
    weights = class_weights(train, classes, balanced)
    for penalty in penalties:
        minimize(weight, bias, train, penalty * length, loss, weights)
        yield margins_of(weight, bias, held)
