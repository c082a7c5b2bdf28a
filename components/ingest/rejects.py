"""Rows that cannot be used: each with its reason in a file, counted, and too many of them end the step."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.shared.errors import InputError

_EXCERPT = 200  # characters


class Rejects:
    """Writes rejected rows to a JSON Lines file and counts them by reason."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self.reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, place: str, reason: str, inputs: Sequence[object], label: object) -> None:
        """Adds a row; the reason's part in brackets is detail, and not counted apart."""
        kind = reason.split(" (")[0]
        self.reasons[kind] += 1
        self._first.setdefault(kind, f"{place}: {reason}")
        row = {
            "place": place,
            "reason": reason,
            "inputs": [_excerpt(value) for value in inputs],
            "label": _excerpt(label),
        }
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    @property
    def total(self) -> int:
        """How many rows were rejected."""
        return self.reasons.total()

    def check(self, read: int, allowed: float) -> None:
        """Raises `InputError` if more than the allowed fraction of the rows read was rejected."""
        self._file.flush()
        if self.total <= allowed * read:
            return
        lines = [f"  {count:>7} {kind}; first: {self._first[kind]}" for kind, count in self.reasons.most_common()]
        raise InputError(
            f"{self.total} of {read} rows cannot be used ({self.total / read:.1%}; allowed: {allowed:.1%}):\n"
            + "\n".join(lines)
            + "\nMend the data, or allow more with data.max_rejects."
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _excerpt(value: object) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)[:_EXCERPT]
