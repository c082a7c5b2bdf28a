"""fastText: a text a line, its labels before it (`__label__spam buy now`), as doccano exports it, too."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.text import LINE_LIMIT, TOO_LONG, check_encoding, encoding_of, lines_of

_LABELS = re.compile(r"(?:__label__\S+[\s,]*)+")
_COLUMNS = ["text", "label"]


class FastText:
    """Lines with the columns `text` and `label`; several labels are a list."""

    name = "fastText"
    suffixes = (".fasttext", ".ft")

    def matches(self, head: bytes) -> bool:
        """A label begins it."""
        return head.removeprefix(b"\xef\xbb\xbf").startswith(b"__label__")

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        if dialect.encoding:
            check_encoding(dialect.encoding)
        check_columns(content.name, _COLUMNS, columns)
        encoding = dialect.encoding or encoding_of(content.head)
        with content.open() as stream:
            lines = enumerate(chain.from_iterable(lines_of(stream, encoding)), 1)
            yield from batches((_record(number, line) for number, line in lines if not line.isspace()), columns)


def _record(number: int, line: str) -> Record:
    if line == TOO_LONG:
        return number, {}, f"line longer than {LINE_LIMIT:,} characters"
    found = _LABELS.match(line)
    told = found.group().replace(",", " ").split() if found else []
    labels = [label.removeprefix("__label__") for label in told]
    label = labels[0] if len(labels) == 1 else labels or None
    return number, {"text": line[found.end() if found else 0 :].strip(), "label": label}, None


register(FastText())
