"""Where an answer stands in its context, whatever its start counts: tools count in several ways, or wrongly."""

import ast
import re
from collections.abc import Iterator
from typing import Any

_NEAR = 2  # characters that starts are off by, in old releases of SQuAD and in what was trimmed since
_ARRAY = re.compile(r"\barray\((\[.*?\])(?:\s*,\s*dtype=[\w<>'\"]+)?\)", re.DOTALL)


def located(context: str, text: Any, start: Any) -> tuple[int, str] | str:
    """Returns where an answer stands and its text, without blanks at its ends; or why it stands nowhere.

    A start counts characters; else it is tried as what else it may count (bytes of UTF-8, units of UTF-16, line ends
    as one), or as off by one or two. Where the answer stands once, it is there. Where a text alone is told, its first
    place is taken: any is as good to whoever reads the answer. Blanks and line ends in an answer fit any others.
    """
    if not isinstance(text, str):
        return f"answer is no text ({type(text).__name__})"
    wanted = text.strip()
    if not wanted:
        return "an answer is empty"
    if wanted not in context:
        found = re.findall(r"\s+".join(map(re.escape, wanted.split())), context)
        if not found:
            return f"answer does not stand in the text ({text[:60]!r})"
        wanted = found[0]
    if start is None or (isinstance(start, float) and start != start):
        return context.index(wanted), wanted
    try:
        told = int(float(start))
    except (TypeError, ValueError, OverflowError):
        return f"answer's start is no number ({str(start)[:40]!r})"
    blanks = len(text) - len(text.lstrip())
    for place in _places(context, told):
        if place >= 0 and context.startswith(wanted, place + blanks):
            return place + blanks, wanted
    if context.count(wanted) == 1:
        return context.index(wanted), wanted
    return f"answer does not stand where it says ({text[:60]!r} at {start})"


def _places(context: str, start: int) -> Iterator[int]:
    """Yields the characters that a start may mean, the likeliest first."""
    yield start
    if not context.isascii() and start >= 0:
        yield len(context.encode("utf-8", "surrogatepass")[:start].decode("utf-8", "ignore"))
        yield len(context.encode("utf-16-le", "surrogatepass")[: 2 * start].decode("utf-16-le", "ignore"))
    if "\r\n" in context and start >= 0:
        ends = [match.start() for match in re.finditer("\r\n", context)]
        yield start + sum(end - number < start for number, end in enumerate(ends))
    for step in range(1, _NEAR + 1):
        yield start - step
        yield start + step


def parsed(text: str) -> Any:
    """Returns what a cell holds that pandas wrote from arrays: `{'text': array(['a'], dtype=object), …}`; else None."""
    plain = _ARRAY.sub(r"\1", text)
    if plain == text:
        return None
    try:
        return ast.literal_eval(plain)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
