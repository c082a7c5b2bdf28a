"""Of which of several texts each token is: a column of features that a head may ask for. No torch here."""

from typing import Any

import numpy as np

SEGMENTS = "segments"
"""The column; no backbone is fed with it."""


def segments_of(piece: Any) -> np.ndarray:
    """Returns of which text each token is, int8 [tokens]: from 1 on, 0 for special ones.

    Args:
        piece: As a tokenizer reads texts, `tokenizers.Encoding`.
    """
    return np.array([0 if text is None else text + 1 for text in piece.sequence_ids], np.int8)
