"""Whether a changed picture keeps its answer: asked of the pictures themselves, before anything is trained.

A ridge regression on thumbnails is fitted on training pictures and shown validation pictures, as they are and mirrored.
Where it recognises the mirrored ones less often, left and right matter: letters, digits, text, hands, traffic signs.

Of several labels, and of numbers, it is asked whether changed pictures can be told as well by one that learned from
such, too: where things are counted or measured, a part of a picture, blown up, has another answer.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.learning.augmentation import crop
from components.finetune.learning.examples import Examples

_SIDE = 16  # pixels of a thumbnail
_MOST = 2_000  # pictures of each split
_RIDGE = 10.0  # on standardised values
_LOST = 0.1  # of what is known, that may be lost by a change
_AREA = 0.5  # that a part of a picture shows, at least

Change = Callable[[Tensor], Tensor]
"""Takes pictures, float [batch, 3, side, side], and returns as many."""


def keeps_class(train: Examples, validation: Examples) -> bool:
    """Returns whether validation shows that mirrored pictures keep their classes.

    It must know some pictures (more than the largest class by twice the standard error), and know the mirrored ones as
    often, within one standard error.

    Args:
        train: Pictures to learn from, not augmented.
        validation: Pictures to ask about.
    """
    seen, labels = _thumbnails(train)
    asked, truth = _thumbnails(validation)
    classes = int(max(labels.max(initial=0), truth.max(initial=0))) + 1
    if not len(asked) or not len(seen):
        return False
    right, mirrored = (
        _ridge(seen, labels, part.reshape(len(part), -1), classes) == truth for part in (asked, asked[:, :, ::-1])
    )
    share = np.bincount(truth, minlength=classes).max() / len(truth)
    error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    lost = right.astype(float) - mirrored.astype(float)
    knows = right.mean() > share + 2 * error
    return bool(knows and lost.mean() <= lost.std() / np.sqrt(len(lost)))


def keeps_answers(train: Examples, validation: Examples, change: Change) -> bool:
    """Returns whether validation shows that changed pictures keep their labels, or their number.

    It must know some answers (its squared error is less than that of their mean, by twice the standard error), and of
    changed pictures, when it has learned from such, too, nine tenths of that, though it be one standard error less.

    Args:
        train: Pictures to learn from, not augmented.
        validation: Pictures to ask about.
        change: What is done to pictures.
    """
    places, held = (_spread(examples) for examples in (train, validation))
    if not len(places) or not len(held):
        return False
    aims, truth = _aims(train, places), _aims(validation, held)
    if aims is None or truth is None:
        return False
    seen, asked = _small(train, places), _small(validation, held)
    both = np.concatenate([seen, _small(train, places, change)]), np.concatenate([aims, aims])
    beyond = truth - aims.mean(0)  # what is to be explained
    plain, changed = _fitted(seen, aims, asked), _fitted(*both, _small(validation, held, change))
    base, known, kept = (((found - beyond) ** 2).sum(1) for found in (np.zeros_like(beyond), plain, changed))
    gained, lost, error = base - known, kept - known, 1 / np.sqrt(len(truth))
    knows = gained.mean() > 2 * error * gained.std()
    return bool(knows and lost.mean() + error * lost.std() <= _LOST * gained.mean())


def mirrored(pictures: Tensor) -> Tensor:
    """Returns pictures, float [batch, 3, side, side], mirrored."""
    return pictures.flip(3)


def cropped(size: int) -> Change:
    """Returns what cuts a random part out of pictures, as training by default does.

    Args:
        size: What the network eats.
    """
    draw = np.random.default_rng(0)
    return lambda pictures: crop(pictures, size, _AREA, 0.0, draw)


def _spread(examples: Examples) -> np.ndarray:
    """Returns evenly spaced places."""
    return np.arange(len(examples))[:: max(1, len(examples) // _MOST)]


def _aims(examples: Examples, places: np.ndarray) -> np.ndarray | None:
    """Returns what is to be predicted, float [places, outputs]; None where it is no number, or numbers, of each."""
    made = list(examples.targets(places).values())
    if len(made) != 1 or not torch.is_floating_point(made[0]) or made[0].ndim > 2:
        return None
    found: np.ndarray = made[0].double().cpu().numpy().reshape(len(places), -1)
    return found


def _thumbnails(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 [pictures, side, side, 3] of evenly spaced pictures, and their classes."""
    places = _spread(examples)
    return _small(examples, places), examples.labels[places].astype(np.int64)


def _small(examples: Examples, places: np.ndarray, change: Change = lambda pictures: pictures) -> np.ndarray:
    """Returns thumbnails of pictures, float32 [places, side, side, 3]."""
    found = [np.zeros((0, _SIDE, _SIDE, 3), np.float32)]
    for start in range(0, len(places), 64):
        pixels = change(examples.batch(places[start : start + 64])["pixels"].permute(0, 3, 1, 2).float())
        found.append(nn.functional.adaptive_avg_pool2d(pixels, _SIDE).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(found)


def _ridge(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int) -> np.ndarray:
    """Returns the class that a ridge regression gives each picture, int [asked]."""
    found: np.ndarray = _fitted(seen, np.eye(classes)[labels], asked).argmax(1)
    return found


def _fitted(seen: np.ndarray, aims: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Returns what a ridge regression on thumbnails predicts beyond the mean, float [asked, outputs]."""
    known = seen.reshape(len(seen), -1).astype(np.float64)
    mean, deviation = known.mean(0), known.std(0) + 1.0
    known, other = ((part.reshape(len(part), -1) - mean) / deviation for part in (known, asked))
    penalty = _RIDGE * len(known) ** 0.5 * np.eye(known.shape[1])
    weights = np.linalg.solve(known.T @ known + penalty, known.T @ (aims - aims.mean(0)))
    found: np.ndarray = other @ weights
    return found
