"""What is kept of the examples of a source as they pass: counts of all, and a fair sample for what is expensive."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.shared.profile.columns import shorten
from components.shared.profile.pictures import Picture, picture_of
from components.shared.profile.texts import skeleton
from components.shared.sources.identity import identity

SAMPLE = 10_000  # examples
SHOWN = 3  # examples of a class
_MOST_SHOWN_CLASSES = 200
_CHARACTERS = 20_000  # of a text in the sample
_EXCERPT = 160


@dataclass(frozen=True)
class Sampled:
    """An example of the sample: a picture is told by what is kept of it."""

    id: str
    split: str
    label: str
    texts: tuple[str, ...]
    picture: Picture | None


def _itself(label: str) -> tuple[str, ...]:
    return (label,)


class Seen:
    """Counts examples, and samples those whose identity (a hash) is lowest: the same whatever their order was.

    Memory is bounded by the number of examples that are looked at, some 200 bytes each, and by the sample.

    Args:
        strata: What an example with an answer counts as: its class, each of its labels.
    """

    def __init__(self, strata: Callable[[str], tuple[str, ...]] = _itself) -> None:
        self._strata = strata
        self.read = 0
        self.splits: Counter[str] = Counter()
        self.classes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: Counter[str] = Counter()
        self.first_fault: dict[str, str] = {}
        self.duplicates = self.contradictions = self.leaks = 0
        self.near: Counter[str] = Counter()
        self.near_examples: list[list[str]] = []
        self._ids: dict[str, tuple[str, str]] = {}
        self._skeletons: dict[bytes, tuple[str, str]] = {}
        self._sample: list[Sampled] = []
        self._bound = "g"  # above all hex digits
        self._shown: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)

    def reject(self, place: str, reason: str) -> None:
        """Counts a row that cannot be used."""
        self.read += 1
        kind = reason.split(" (")[0]
        self.faults[kind] += 1
        self.first_fault.setdefault(kind, place)

    def add(self, split: str, label: str, inputs: Sequence[str | bytes], place: str = "", id_: str = "") -> None:
        """Counts an example.

        Args:
            split: That it is given for, or is in; "" where it is in none.
            label: Its class, or whatever answer, as canonical text.
            inputs: Its texts, or the bytes of a picture.
            place: Where it stands, which stands for a picture.
            id_: Its identity, where it is known.
        """
        self.read += 1
        id_ = id_ or identity(inputs)
        if id_ in self._ids:
            self._count_again(self._ids[id_], split, label)
            return
        self._ids[id_] = (split, label)
        self.splits[split] += 1
        strata = self._strata(label)
        for name in strata:
            self.classes[split][name] += 1
        texts = tuple(value for value in inputs if isinstance(value, str))
        picture = picture_of(inputs[0]) if isinstance(inputs[0], bytes) else None
        self._compare(split, label, texts, picture, place)
        for name in strata:
            self._show(id_, name, texts, place)
        if id_ < self._bound:
            self._keep(Sampled(id_, split, label, tuple(text[:_CHARACTERS] for text in texts), picture))

    @property
    def sample(self) -> list[Sampled]:
        """The sample, sorted by identity."""
        return sorted(self._sample, key=lambda example: example.id)[:SAMPLE]

    def shown(self, label: str) -> list[str]:
        """Returns three examples of a class, shortened; of pictures where they stand."""
        return [text for _, text in sorted(self._shown[label])]

    def again(self) -> dict[str, object]:
        """Returns which inputs were there more than once, exactly or nearly."""
        return {
            "exact": self.duplicates,
            "contradictions": self.contradictions,
            "leaks": self.leaks,
            "near": self.near["within"],
            "near_leaks": self.near["across"],
            "near_examples": self.near_examples,
        }

    def _count_again(self, before: tuple[str, str], split: str, label: str) -> None:
        """Counts an input that was there before, under the same label and in the same split or not."""
        if before[1] != label:
            self.contradictions += 1
        elif before[0] != split:
            self.leaks += 1
        else:
            self.duplicates += 1

    def _compare(self, split: str, label: str, texts: tuple[str, ...], picture: Picture | None, place: str) -> None:
        key = picture.look if picture else skeleton(texts)
        if key not in self._skeletons:
            self._skeletons[key] = (split, place if picture else _excerpt(texts))
            return
        other, first = self._skeletons[key]
        kind = "across" if other != split else "within"
        self.near[kind] += 1
        if len(self.near_examples) < SHOWN and kind == "across":
            self.near_examples.append([other, first, split, place if picture else _excerpt(texts)])

    def _show(self, id_: str, label: str, texts: tuple[str, ...], place: str) -> None:
        if label not in self._shown and len(self._shown) >= _MOST_SHOWN_CLASSES:
            return
        kept = self._shown[label]
        if len(kept) < SHOWN or id_ < kept[-1][0]:
            text = " | ".join(shorten(text, _EXCERPT)[1:-1] for text in texts) or place
            self._shown[label] = heapq.nsmallest(SHOWN, [*kept, (id_, text)])

    def _keep(self, example: Sampled) -> None:
        self._sample.append(example)
        if len(self._sample) >= 2 * SAMPLE:
            self._sample = self.sample
            self._bound = self._sample[-1].id


def _excerpt(texts: Sequence[str]) -> str:
    return " | ".join(" ".join(text.split()) for text in texts)[:_EXCERPT]
