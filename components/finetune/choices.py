"""What is chosen by a short look at model, data and device, and why: one line of the log when training starts."""

from collections.abc import Callable


class Choices:
    """Gathers what was chosen, a sentence a subject."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._tell: Callable[[str], None] | None = None

    def add(self, subject: str, sentence: str) -> None:
        """Adds a choice, or replaces it; one that comes after the line gets a line of its own, unless it was told.

        Args:
            subject: What it is about, such as "precision": a subject has one choice.
            sentence: What was chosen, and why, without a full stop; "": there was nothing to choose.
        """
        if not sentence:
            return
        is_new = self._told.get(subject) != sentence
        self._told[subject] = sentence
        if is_new and self._tell is not None:
            self._tell(f"how it is computed: {sentence}")

    def begin(self, tell: Callable[[str], None]) -> None:
        """Tells what was chosen so far, in one line; what comes later as it comes."""
        self._tell = tell
        if self._told:
            tell(f"how it is computed: {'; '.join(self._told.values())}")

    def told(self) -> dict[str, str]:
        """Returns the sentences by their subjects, for the history."""
        return dict(self._told)
