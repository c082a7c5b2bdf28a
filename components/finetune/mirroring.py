"""Whether a mirrored picture keeps its class: asked of the pictures themselves, before anything is trained.

A ridge regression on thumbnails is fitted on training pictures and shown validation pictures, as they are and mirrored.
Where it recognises the mirrored ones less often, left and right matter: letters, digits, text, hands, traffic signs.
"""

import numpy as np
from torch import nn

from components.finetune.examples import Examples

_SIDE = 16  # pixels of a thumbnail
_MOST = 2_000  # pictures of each split
_RIDGE = 10.0  # on standardised values


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


def _thumbnails(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 [pictures, side, side, 3] of evenly spaced pictures, and their classes."""
    places = np.arange(len(examples))[:: max(1, len(examples) // _MOST)]
    found = [np.zeros((0, _SIDE, _SIDE, 3), np.float32)]
    for start in range(0, len(places), 64):
        pixels = examples.batch(places[start : start + 64])["pixels"].permute(0, 3, 1, 2).float()
        found.append(nn.functional.adaptive_avg_pool2d(pixels, _SIDE).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(found), examples.labels[places].astype(np.int64)


def _ridge(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int) -> np.ndarray:
    """Returns the class that a ridge regression gives each picture, int [asked]."""
    known = seen.reshape(len(seen), -1).astype(np.float64)
    mean, deviation = known.mean(0), known.std(0) + 1.0
    known, other = ((part - mean) / deviation for part in (known, asked))
    targets = np.eye(classes)[labels] - np.bincount(labels, minlength=classes) / len(labels)
    weights = np.linalg.solve(known.T @ known + _RIDGE * len(known) ** 0.5 * np.eye(known.shape[1]), known.T @ targets)
    found: np.ndarray = (other @ weights).argmax(1)
    return found
