"""Rows that are left out: each in a file that can be opened, mended and put back; counted; too many end the step."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.shared.errors import InputError

_CELL = 32_000  # characters: what a spreadsheet takes in one cell


class LeftOut:
    """Writes rows to a CSV file with the columns of the data, and where each stands and why it is there.

    Args:
        path: The file. It begins with a byte order mark, by which spreadsheets know UTF-8.
        columns: Names of the input columns, then of the label columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="")
        told = [name if name not in columns else f"graft_{name}" for name in ("file", "line", "reason")]
        self._rows = csv.writer(self._file)
        self._rows.writerow([*told, *columns])

    def add(self, place: str, reason: str, inputs: Sequence[object], labels: Sequence[object]) -> None:
        """Adds a row."""
        file, colon, line = place.rpartition(":")
        where = (file, line) if colon and line.isdecimal() else (place, "")
        self._rows.writerow([*where, reason, *map(_cell, inputs), *map(_cell, labels)])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Rejects:
    """Rows that cannot be used, counted by reason."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = LeftOut(path, columns)
        self.reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._asked_for = 0

    def add(
        self, place: str, reason: str, inputs: Sequence[object], labels: Sequence[object], *, asked_for: bool = False
    ) -> None:
        """Adds a row; the reason's part in brackets is detail, and not counted apart.

        Args:
            place: File and line.
            reason: Why.
            inputs: Its inputs.
            labels: What stands in its label columns.
            asked_for: Whether the job asks for it to be left out: it is none of the faults that are limited.
        """
        kind = reason.split(" (")[0]
        self.reasons[kind] += 1
        self._asked_for += asked_for
        self._first.setdefault(kind, f"{place}: {reason}")
        self._file.add(place, reason, inputs, labels)

    @property
    def total(self) -> int:
        """How many rows were rejected."""
        return self.reasons.total()

    def check(self, read: int, allowed: float) -> None:
        """Raises `InputError` if more than the allowed fraction of the rows read cannot be used."""
        faults = self.total - self._asked_for
        if faults <= allowed * read:
            return
        lines = [f"  {count:>7} {kind}; first: {self._first[kind]}" for kind, count in self.reasons.most_common()]
        hold = " Rows that nobody has labelled yet are no faults with data.unlabelled: hold."
        raise InputError(
            f"{faults} of {read} rows cannot be used ({faults / read:.1%}; allowed: {allowed:.1%}):\n"
            + "\n".join(lines)
            + "\nMend the data, or allow more with data.max_rejects."
            + (hold if "missing label" in self.reasons else "")
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return "" if value is None else str(value)[:_CELL].replace("\0", "\ufffd")
