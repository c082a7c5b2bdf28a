"""Words of a text by their look and what stands around them: columns for a linear model that tags each word.

The templates are the usual ones of taggers (Ratinov and Roth 2009, "Design Challenges and Misconceptions in Named
Entity Recognition"): the word, its beginnings, endings and shape, the parts of a name written in capitals, neighbours.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

LEVEL = "tokens"
_LONGEST = 64  # characters of a word that are looked at
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\dA-Za-z_]+")
_EDGES = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
_REPEATED = re.compile(r"(.)\1+", re.DOTALL)

_SAID = {
    "w": "{}", "W": "{} (as written)", "shape": "looks like {}", "begin": "{}…", "end": "…{}", "part": "…{}…",
    "first": "{}… (part)", "last": "…{} (part)", "before": "after {}", "after": "before {}",
    "-1w": "after {}", "+1w": "before {}", "-2w": "second after {}", "+2w": "second before {}",
    "-1shape": "after one like {}", "+1shape": "before one like {}", "-2shape": "second after one like {}",
    "+2shape": "second before one like {}", "-1w,w": "{} (the second)", "w,+1w": "{} (the first)",
    "-1w,+1w": "between {}", "-2w,-1w": "after {}", "+1w,+2w": "before {}", "-1w,shape": "after and like {}",
    "shape,+1w": "like and before {}", "touching": "touches its neighbours {}",
}  # fmt: skip
"""What features are called, by what stands before their "="."""
Extras = Mapping[str, Sequence[Any]]
"""What is told of rows of features, see `TokenTerms.columns`."""
Word = tuple[int, int]
"""Its first character, and the one after its last."""


@dataclass(frozen=True)
class TokenTerms:
    """Makes columns of the tokens of texts; one that stands for no word has none.

    Attributes:
        vocabulary: The features, in the order of their columns.
    """

    kind: ClassVar[str] = "lexical"
    level: ClassVar[str] = LEVEL
    vocabulary: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.vocabulary)

    @cached_property
    def index(self) -> dict[str, int]:
        """The column of each feature."""
        return {feature: column for column, feature in enumerate(self.vocabulary)}

    def columns(self, inputs: Sequence[Sequence[str]], extras: Extras | None = None) -> csr_matrix:
        """Returns the features of each token, float32 [tokens of all rows, width]: 1 for each that it has.

        Args:
            inputs: The texts, in a list of one.
            extras: Of each row of features, which may be one window of several: `example`, whose it is; `starts` and
                `ends`, of each token the first character of the word that it stands for and the one after its last; -1
                of others. As `Head.extras` and a task's encoder make them.
        """
        assert extras is not None, "tokens are told of"
        index = self.index
        found: list[list[int]] = [[] for _ in range(sum(len(row) for row in extras["starts"]))]
        for text, places, words in _texts(inputs[0], extras):
            for place, features in zip(places, features_of(text, words), strict=True):
                found[place] = sorted(index[feature] for feature in features if feature in index)
        sizes = np.array([len(row) for row in found], np.int64)
        flat = np.fromiter((column for row in found for column in row), np.int32, int(sizes.sum()))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        return csr_matrix((np.ones(len(flat), np.float32), flat, starts), (len(found), self.width))

    def __deepcopy__(self, memory: dict[int, Any]) -> "TokenTerms":
        """Returns itself: nothing of it changes, and a copy of a network needs no second vocabulary."""
        return self

    def names(self) -> list[str]:
        """Returns what each column stands for, in words."""
        return [
            _SAID.get(name, f"{name} {{}}").format(value)
            for name, _, value in (feature.partition("=") for feature in self.vocabulary)
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return {"level": LEVEL, "vocabulary": list(self.vocabulary)}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "TokenTerms":
        """Returns the features that `to_json` told."""
        return cls(tuple(told["vocabulary"]))


def terms_of(parts: Iterable[tuple[Sequence[str], Extras]], least: int, most: int) -> TokenTerms:
    """Returns the features of texts.

    Args:
        parts: Texts, and what is told of the rows of their features, see `TokenTerms.columns`.
        least: How many words must have a feature.
        most: The most features that are kept: those of the most words.
    """
    counts = Counter[str]()
    for texts, extras in parts:
        for text, _, words in _texts(texts, extras):
            for features in features_of(text, words):
                counts.update(features)
    kept = [feature for feature, count in counts.items() if count >= least]
    if len(kept) > most:
        kept = sorted(kept, key=lambda feature: (-counts[feature], feature))[:most]
    return TokenTerms(tuple(sorted(kept)))


def features_of(text: str, words: Sequence[Word]) -> Iterator[list[str]]:
    """Yields the features of each word of a text.

    Args:
        text: The whole text.
        words: Where they are, in order.
    """
    looks = [_NOTHING[0], *(_look(text[start:end][:_LONGEST].strip()) for start, end in words), _NOTHING[1]]
    looks = [_NOTHING[0], *looks, _NOTHING[1]]
    touching = [False, *(_touch(text, *pair) for pair in itertools.pairwise(words)), False]
    for place in range(2, len(looks) - 2):
        two, one, own, next_one, next_two = looks[place - 2 : place + 3]
        yield [
            *own.features,
            f"-2w={two.lower}", f"-2shape={two.shape}", f"-1w={one.lower}", f"-1shape={one.shape}",
            f"+1w={next_one.lower}", f"+1shape={next_one.shape}", f"+2w={next_two.lower}", f"+2shape={next_two.shape}",
            f"-1w,w={one.lower} {own.lower}", f"w,+1w={own.lower} {next_one.lower}",
            f"-1w,+1w={one.lower} {next_one.lower}",
            f"-2w,-1w={two.lower} {one.lower}", f"+1w,+2w={next_one.lower} {next_two.lower}",
            f"-1w,shape={one.lower} {own.shape}", f"shape,+1w={own.shape} {next_one.lower}",
            f"touching={touching[place - 2]:d}{touching[place - 1]:d}",
        ]  # fmt: skip


class _Look(NamedTuple):
    """A word by itself."""

    lower: str
    shape: str
    features: tuple[str, ...] = ()


_NOTHING = _Look("<s>", "<s>"), _Look("</s>", "</s>")
"""What stands before a text, and after it."""


@functools.lru_cache(1 << 14)  # a language has few words that are frequent
def _look(word: str) -> _Look:
    before, core, after = _EDGES.match(word).groups()  # type: ignore[union-attr]  # any text matches
    core, before, after = (core, before, after) if core else (word, "", "")
    lower, shape = core.lower(), shape_of(core)
    parts = [part.lower() for part in _PARTS.findall(core)]
    found = [f"w={lower}", f"W={core}", f"shape={shape}"]
    found += [f"begin={lower[:size]}" for size in (1, 2, 3)] + [f"end={lower[-size:]}" for size in (1, 2, 3, 4)]
    if len(parts) > 1:
        found += [f"part={part}" for part in parts] + [f"first={parts[0]}", f"last={parts[-1]}"]
    found += [f"before={before}", f"after={after}"] if before or after else []
    return _Look(lower, shape, tuple(dict.fromkeys(found)))


def shape_of(word: str) -> str:
    """Returns a word's look: "Xx", "XX", "dd", "x_x"; what repeats stands twice."""
    letters = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return _REPEATED.sub(r"\1\1", "".join(letters))


def _touch(text: str, one: Word, other: Word) -> bool:
    """Whether two words stand side by side; some tokenizers give a word the blank before it."""
    return one[1] == other[0] and not text[other[0]].isspace()


def _texts(texts: Sequence[str], extras: Extras) -> Iterator[tuple[str, list[int], list[Word]]]:
    """Yields each text with its words in order, and of each the place of its token, all rows one after the other.

    What a word's neighbours are is told by the text, wherever a window ends.
    """
    found: dict[int, list[tuple[int, int, int]]] = {}
    first = 0
    for example, starts, ends in zip(extras["example"], extras["starts"], extras["ends"], strict=True):
        rows, begins = found.setdefault(int(example), []), np.asarray(starts)
        places = np.flatnonzero(begins >= 0)
        rows += zip(begins[places].tolist(), np.asarray(ends)[places].tolist(), (first + places).tolist(), strict=True)
        first += len(begins)
    for example, rows in found.items():
        rows.sort()
        yield texts[example], [place for _, _, place in rows], [(start, end) for start, end, _ in rows]
