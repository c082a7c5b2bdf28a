"""A text of JSON, read piece by piece: each value is held alone, so that memory stays bounded."""

import json
import re
from collections.abc import Iterator
from typing import Any

from components.shared.sources.text import LINE_LIMIT

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[\s,]*")


class JsonText:
    """A text that is read from its beginning to its end, as far as its pieces need."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts, self._text, self._at = parts, "", 0

    def peek(self) -> str:
        """Returns the next character that is no space and no comma; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> bool:
        """Goes behind a character where it is the next one."""
        found = self.peek() == character
        self._at += found
        return found

    def value(self) -> Any:
        """Returns the next value.

        Raises:
            ValueError: It is no JSON, or longer than can be held.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > LINE_LIMIT:
                    raise ValueError(f"a value is invalid, or longer than {LINE_LIMIT:,} characters") from None
                if not self._more():
                    raise
            else:
                if end == len(self._text) and isinstance(value, int | float) and self._more():
                    continue  # a number may go on
                self._at = end
                return value

    def _more(self) -> bool:
        """Reads on, as much again as is held: what is not whole is not tried too often."""
        parts = [self._text[self._at :]]
        while sum(map(len, parts[1:])) <= len(parts[0]) and (part := next((p for p in self._parts if p), "")):
            parts.append(part)
        self._text, self._at = "".join(parts), 0
        return len(parts) > 1

    def array(self) -> Iterator[Any]:
        """Yields the values of an array.

        Raises:
            ValueError: It is never closed, or holds what is no JSON.
        """
        self.take("[")
        while not self.take("]"):
            if not self.peek():
                raise ValueError("the array is never closed: the file is cut off")
            yield self.value()

    def members(self) -> Iterator[str]:
        """Yields the keys of a mapping; the value of each is to be read before the next is asked for.

        Raises:
            ValueError: What follows is no mapping.
        """
        self.take("{")
        while not self.take("}"):
            key = self.value()
            if not isinstance(key, str) or not self.take(":"):
                raise ValueError("a key with a colon was expected")
            yield key
