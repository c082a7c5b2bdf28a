"""Pictures as vectors without a network: histograms of oriented gradients, and of colours.

HOG is Dalal & Triggs, Histograms of Oriented Gradients for Human Detection (CVPR 2005), of many pictures at once.
"""

import numpy as np

DIRECTIONS = 9
_CLIP = 0.2  # of a value in a normalised block
_LEVELS = 4  # of a colour channel


def oriented_gradients(pictures: np.ndarray, cell: int) -> np.ndarray:
    """Returns HOG vectors, float32 [pictures, 13 values a cell], scaled so that their length is about 1.

    The gradient is that of the channel where it is steepest; its direction counts for the two nearest of nine bins.

    Args:
        pictures: float32 [pictures, side, side, channels], 0 to 1.
        cell: Pixels; the side is a multiple of it.
    """
    down, right = _gradients(pictures)
    size = np.hypot(down, right)
    place = (np.arctan2(down, right) % np.pi) / np.pi * DIRECTIONS - 0.5  # in bins, from the middle of the first
    low = np.floor(place)
    share = (place - low).astype(np.float32)
    cells = pictures.shape[1] // cell
    histogram = np.zeros((len(pictures), cells, cells, DIRECTIONS), np.float32)
    for bins, weight in ((low, size * (1 - share)), (low + 1, size * share)):
        numbers = bins.astype(np.int8) % DIRECTIONS
        for direction in range(DIRECTIONS):
            counted = np.where(numbers == direction, weight, 0.0)
            histogram[..., direction] += counted.reshape(len(pictures), cells, cell, cells, cell).sum((2, 4))
    return _normalised(histogram)


def colours(pictures: np.ndarray) -> np.ndarray:
    """Returns how often each of 64 colours occurs, float32 [pictures, 64]: square roots, so that their length is 1.

    Args:
        pictures: float32 [pictures, side, side, 3], 0 to 1.
    """
    levels = np.minimum((pictures * _LEVELS).astype(np.int64), _LEVELS - 1)
    codes = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
    rows = np.arange(len(pictures))[:, None] * _LEVELS**3
    counts = np.bincount((codes.reshape(len(pictures), -1) + rows).ravel(), minlength=len(pictures) * _LEVELS**3)
    shares: np.ndarray = counts.reshape(len(pictures), -1) / (pictures.shape[1] * pictures.shape[2])
    roots: np.ndarray = np.sqrt(shares).astype(np.float32)
    return roots


def _gradients(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradient downwards and to the right, [pictures, side, side] each; 0 at the edges."""
    down, right = np.zeros_like(pictures), np.zeros_like(pictures)
    down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    right[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    steepest = (down**2 + right**2).argmax(-1)[..., None]
    return tuple(np.take_along_axis(part, steepest, -1)[..., 0] for part in (down, right))  # type: ignore[return-value]


def _normalised(histogram: np.ndarray) -> np.ndarray:
    """Returns each cell as it looks beside its four corners' neighbours: its directions, and four sums of them.

    What Felzenszwalb et al. 2010 (Object Detection with Discriminatively Trained Part-Based Models) found to be as good
    as all four sets of directions, at a third of the values.
    """
    cells = histogram.shape[1]
    energy = np.pad((histogram**2).sum(-1), ((0, 0), (1, 1), (1, 1)))
    directions, sums = np.zeros_like(histogram), []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corner = sum(
            energy[:, down + a : down + a + cells, right + b : right + b + cells] for a in (0, 1) for b in (0, 1)
        )
        clipped = np.minimum(histogram / np.sqrt(corner + 1e-4)[..., None], _CLIP)
        directions += clipped / 2
        sums.append(clipped.sum(-1) / np.sqrt(2 * DIRECTIONS))
    values = np.concatenate([directions, np.stack(sums, -1)], -1)
    found: np.ndarray = values.reshape(len(values), -1) / cells
    return found
