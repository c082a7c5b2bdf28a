"""What a check found, and how to mend it."""

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from components.shared.redaction import redact

PASSED, WARNING, FAILED = "✓", "!", "✗"


@dataclass(frozen=True)
class Finding:
    """What one check found; no text of it holds a password.

    Attributes:
        subject: What was looked at, in a word or two.
        level: `PASSED`, `WARNING` (it may fail, or cannot be told from here) or `FAILED` (it would fail later).
        found: One line.
        mend: What to do about it; "" where there is nothing to do.
    """

    subject: str
    level: str
    found: str
    mend: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", redact(self.found))
        object.__setattr__(self, "mend", redact(self.mend))


Check = Callable[[], Iterator[Finding]]


def passed(subject: str, found: str) -> Finding:
    """Returns a finding that needs nothing."""
    return Finding(subject, PASSED, found)


def warning(subject: str, text: str) -> Finding:
    """Returns a warning; the first sentence of the text says what was found, the rest how to mend it."""
    return Finding(subject, WARNING, *_parted(text))


def failed(subject: str, text: str) -> Finding:
    """Returns what would fail; the first sentence of the text says what was found, the rest how to mend it."""
    return Finding(subject, FAILED, *_parted(text))


def _parted(text: str) -> tuple[str, str]:
    found, *mend = re.split(r"\.\s+|:\n", text.rstrip(), maxsplit=1)
    return found.replace("\n", " ").rstrip("."), textwrap.dedent(mend[0]) if mend else ""
