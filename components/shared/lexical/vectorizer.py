"""Raw text into columns: the terms of one text, or of two beside what they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix, hstack

from .terms import CHARACTERS, Terms

_SIDES = ("first", "second", "both")
_ALIKE = 2.0  # what the cosine counts beside single terms: one column against many


@dataclass(frozen=True)
class Vectorizer:
    """Makes columns of raw texts.

    Of one text they are its terms. Of a pair they are the terms of the first, those of the second, of those that both
    hold the geometric mean of their weights (so that what differs, |a - b| ≈ a + b - 2·√(ab), is linear in the
    columns), and the cosine of the two.

    Attributes:
        kinds: Of terms; their columns stand side by side.
        inputs: How many texts an example has, 1 or 2.
    """

    kind: ClassVar[str] = "lexical"
    level: ClassVar[str] = "pooled"
    kinds: tuple[Terms, ...]
    inputs: int

    @property
    def terms(self) -> int:
        """How many terms there are."""
        return sum(map(len, self.kinds))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.terms if self.inputs == 1 else len(_SIDES) * self.terms + 1

    def columns(self, texts: Sequence[Sequence[str]], extras: Any = None) -> csr_matrix:
        """Takes for each input its texts; returns float32 [examples, width]."""
        return join([self._side(side) for side in texts])

    def __deepcopy__(self, memory: dict[int, Any]) -> "Vectorizer":
        """Returns itself: nothing of it changes, and a copy of a network needs no second vocabulary."""
        return self

    def names(self) -> list[str]:
        """Returns what each column stands for, in words; characters in quotes."""
        own = [f"“{term}”" if kind.kind == CHARACTERS else term for kind in self.kinds for term in kind.vocabulary]
        if self.inputs == 1:
            return own
        return [f"{term} ({side})" for side in _SIDES for term in own] + ["how alike they are"]

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return {"inputs": self.inputs, "kinds": [kind.to_json() for kind in self.kinds]}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Vectorizer":
        """Returns the vectorizer that `to_json` told."""
        return cls(tuple(map(Terms.from_json, told["kinds"])), told["inputs"])

    def _side(self, texts: Sequence[str]) -> csr_matrix:
        return beside([kind.columns(texts) for kind in self.kinds])


def beside(parts: list[csr_matrix]) -> csr_matrix:
    """Returns matrices side by side, [examples, all columns]."""
    return parts[0] if len(parts) == 1 else csr_matrix(hstack(parts, "csr", dtype=np.float32))


def join(sides: list[csr_matrix]) -> csr_matrix:
    """Returns the columns of examples from the terms' weights of each of their texts, [examples, terms]."""
    if len(sides) == 1:
        return sides[0]
    first, second = sides
    product = csr_matrix(first.multiply(second))
    cosine = csr_matrix(_ALIKE * product.sum(axis=1), dtype=np.float32)
    return beside([first, second, product.sqrt(), cosine])
