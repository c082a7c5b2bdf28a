"""Classes with so few training examples that nothing can be learned of them: kept, dropped, or merged."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from components.shared.tasks.strata import NONE

RARE = ("keep", "drop", "merge")
OTHER = "other"
"""The class that rare ones are merged into."""


class RareClasses:
    """Decides what becomes of each class.

    Args:
        classes: Examples by label in each split.
        least: Training examples that a class should have.
        rule: One of `RARE`.
    """

    def __init__(self, classes: Mapping[str, Counter[str]], least: int, rule: str) -> None:
        self._least, self._rule = least, rule
        labels = set().union(*classes.values()) - {NONE}
        counts = classes["train"]
        self.counts = {label: counts[label] for label in sorted(labels) if counts[label] < least and label != OTHER}
        self.reason = f"class with fewer than {least} training examples"

    def label_of(self, label: str) -> str | None:
        """Returns the class that a label becomes; None where it is left out."""
        if label not in self.counts or self._rule == "keep":
            return label
        return OTHER if self._rule == "merge" else None

    def told(self) -> dict[str, Any]:
        """Returns what `snapshot.json` tells: the rule, the floor, and training examples of each rare class."""
        into = OTHER if self._rule == "merge" else ""
        return {"rule": self._rule, "min_per_class": self._least, "classes": self.counts, "into": into}
