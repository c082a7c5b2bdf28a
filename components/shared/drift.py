"""Have the inputs changed? A classifier two-sample test: can a model tell new inputs from those of before?

After Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (1610.06545): a classifier is fitted on one half of
both samples and scored on the other. If both come from one distribution it is right as often as a fair coin, whatever
the classifier: so the binomial distribution gives an exact p-value. Features are simple on purpose (hashed words,
shrunk pixels) and need neither torch nor scikit-learn.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

WORDS = 1024
PIXELS = 8
LEAST = 40
"""Fewer new inputs tell nothing."""

_WORD = re.compile(r"\w+")


def input_features(inputs: Sequence[Any], input_type: pa.DataType) -> np.ndarray:
    """Returns the features of one example.

    Args:
        inputs: A text, or the bytes of an image file, for each input column.
        input_type: Of the columns: `pa.string()` or `pa.binary()`.

    Returns:
        float32 [1024]: of texts, logarithms of the counts of hashed words, of length 1. Or float32 [192 for each
        input]: of images, 8 x 8 pixels in RGB, 0 to 1.
    """
    if input_type == pa.binary():
        return np.concatenate([_pixels(data) for data in inputs])
    counts = Counter(
        zlib.crc32(f"{column} {word}".encode()) % WORDS
        for column, text in enumerate(inputs)
        for word in _WORD.findall(text.lower())
    )
    found = np.zeros(WORDS, np.float32)
    found[list(counts)] = np.log1p(list(counts.values()))
    length = float(np.linalg.norm(found))
    return found / length if length else found


def _pixels(data: bytes) -> np.ndarray:
    from PIL import Image

    from components.shared.backbones.pixels import open_image

    small = Image.fromarray(np.asarray(open_image(data))).resize((PIXELS, PIXELS), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / 255


def two_sample_test(before: np.ndarray, new: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Tests whether new inputs come from the distribution of those before.

    Args:
        before: Features [examples, features].
        new: Features of the new ones.
        seed: Of the halves.

    Returns:
        `score`: the accuracy with which unseen inputs of both are told apart, 0.5 where they cannot be; `p_value`: how
        probable at least that is if nothing has changed; `examples`: how many it was measured on. Empty where there
        are fewer than 40 of either.
    """
    count = min(len(before), len(new))
    if count < LEAST or before.shape[1] != new.shape[1]:
        return {}
    draw = np.random.default_rng(seed)
    samples = [sample[draw.permutation(len(sample))[:count]].astype(np.float64) for sample in (before, new)]
    half = count // 2
    train, test = (np.concatenate([sample[part] for sample in samples]) for part in (np.s_[:half], np.s_[half:]))
    weights, bias = _discriminant(train[:half], train[half:])
    side = test @ weights > bias
    right = int((side == (np.arange(len(test)) >= len(test) // 2)).sum())
    return {"score": right / len(test), "p_value": _tail(right, len(test)), "examples": len(test)}


def _discriminant(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns weights and threshold of a linear discriminant whose covariance is shrunk halfway to a multiple of 1."""
    middles = [sample.mean(0) for sample in (first, second)]
    spread = np.concatenate([first - middles[0], second - middles[1]])
    scatter = spread.T @ spread / len(spread)
    size = len(scatter)
    shrunk = scatter + (np.trace(scatter) / size + 1e-9) * np.eye(size)
    weights: np.ndarray = np.linalg.solve(shrunk, middles[1] - middles[0])
    return weights, float(weights @ (middles[0] + middles[1]) / 2)


def _tail(right: int, total: int) -> float:
    """Returns how probable at least so many heads of a fair coin are: exact, by whole numbers."""
    tails = sum(math.comb(total, count) for count in range(right, total + 1))
    return float(tails / 2**total)
