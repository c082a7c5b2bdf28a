"""What is made of several examples of one input: one that is kept, or none where they contradict one another."""

from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar


class Merging(Protocol):
    """What is made of several labels of one input: what of a task's target is needed here."""

    @property
    def exclusive(self) -> bool:
        """Whether labels are few different ones."""

    @property
    def contradiction(self) -> str:
        """Why rows are set aside that nothing is made of."""

    def merge(self, answers: Sequence[str]) -> str | None:
        """Returns the label of several rows; None: they contradict."""


class Known(Protocol):
    """What of an example decides which one of a group is kept."""

    @property
    def split(self) -> str:
        """The split that it is given for, or ""."""

    @property
    def label(self) -> str:
        """Its label."""

    def labelled(self, label: str) -> Self:
        """Returns the same with another label."""


_Kept = TypeVar("_Kept", bound=Known)
_PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}


def settle(
    group: Sequence[_Kept], merging: Merging, set_aside: Callable[[_Kept, str], None], drop: Callable[[_Kept], None]
) -> _Kept | None:
    """Settles all examples of one input: keeps one in the split that has precedence, or none if labels contradict.

    Args:
        group: The examples.
        merging: What is made of their labels.
        set_aside: Called with each that contradicts another, or leaks into another split, and why.
        drop: Called with each exact duplicate.
    """
    if len(group) == 1:
        return group[0]
    found = kept_of(group, merging)
    if found is None:
        for example in group:
            set_aside(example, merging.contradiction)
        return None
    kept = group[found[0]]
    for example in group:
        if example.split != kept.split:
            set_aside(example, f"input stands in the {kept.split} split too")
        elif example is not kept:
            drop(example)
    return kept if kept.label == found[1] else kept.labelled(found[1])


def kept_of(group: Sequence[_Kept], merging: Merging) -> tuple[int, str] | None:
    """Returns which example of one input is kept, and the label of all those in its split; None if labels contradict.

    Args:
        group: The examples.
        merging: What is made of their labels.
    """
    labels = [example.label for example in group]
    if len(set(labels)) > 1 and merging.merge(labels) is None:
        return None
    kept = min(range(len(group)), key=lambda place: _PRECEDENCE[group[place].split])
    own = [example.label for example in group if example.split == group[kept].split]
    return kept, (own[0] if len(set(own)) == 1 else merging.merge(own)) or labels[kept]
