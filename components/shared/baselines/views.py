"""Pictures as columns of linear models of whatever is to be told: gradients, colours, pixels, all of one length."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.shared.gradients.look import COLOURS, GRADIENTS, PIXELS, Look

MOST = 20_000
"""Pictures that are learned from: of more the first ones, whose order is that of a hash."""
_CHUNK = 512  # pictures that are decoded at once

Files = Sequence[bytes]


@dataclass(frozen=True)
class Views:
    """What is seen in pictures to learn from, to choose on and to predict.

    Attributes:
        look: How they are looked at.
        train: float32 [pictures, columns].
        held: Likewise.
        unseen: Likewise.
    """

    look: Look
    train: np.ndarray
    held: np.ndarray
    unseen: np.ndarray

    @classmethod
    def of(cls, train: Files, held: Files, unseen: Files) -> "Views":
        """Looks at pictures; all are looked at as the training pictures want it."""
        look = Look.fitting(train)
        return cls(look, *(_seen(look, files) for files in (train[:MOST], held, unseen)))

    @property
    def choices(self) -> dict[str, list[tuple[str, ...]]]:
        """What baselines look at, as the page calls it, and what may be meant: of grey pictures there is no choice."""
        return {"HOG": [(GRADIENTS,), *([] if self.look.grey else [(GRADIENTS, COLOURS)])], "pixels": [(PIXELS,)]}

    def only(self, names: Sequence[str]) -> "Views":
        """Returns some of what is seen, each centred, and of length 1 in the mean of the training pictures."""
        parts = [self.look.parts[name] for name in names]
        means = [self.train[:, part].mean(0) for part in parts]
        lengths = [float(np.sqrt(self.train[:, part].var(0, dtype=np.float64).sum())) or 1.0 for part in parts]
        sides = [
            np.concatenate(
                [(side[:, part] - mean) / length for part, mean, length in zip(parts, means, lengths, strict=True)], 1
            )
            for side in (self.train, self.held, self.unseen)
        ]
        return Views(dataclasses.replace(self.look, seen=tuple(names)), *sides)

    @property
    def bytes(self) -> int:
        """Of what is to be kept of the training pictures: means and lengths."""
        return 8 * int(self.train.shape[1])

    @property
    def words(self) -> str:
        """What is looked at, in words."""
        if self.look.seen == (PIXELS,):
            return f"{self.look.thumbnail} x {self.look.thumbnail} pixels"
        return self.look.words


def _seen(look: Look, files: Files) -> np.ndarray:
    """Returns vectors, made some hundred pictures at a time: decoded, pictures take much more memory."""
    parts = [look.vectors(files[start : start + _CHUNK]) for start in range(0, len(files), _CHUNK)]
    return np.concatenate([np.zeros((0, look.width), np.float32), *parts])
