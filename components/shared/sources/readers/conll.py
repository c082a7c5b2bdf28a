"""CoNLL: a word a line with its tags behind it, sentences parted by empty lines."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.text import TOO_LONG, check_encoding, decode_head, encoding_of, lines_of

_TAG = re.compile(r"O|[BILUES]-\S+")
_DOCUMENT = "-DOCSTART-"
_SEEN = 200  # lines that show what a file holds
_MOST = 0.8  # of them
_LONGEST = 10_000  # words of a sentence
_KNOWN = 20_000  # different words and tags that are kept in mind
_UNIVERSAL = 10  # columns of CoNLL-U, whose first one is a number


class Conll:
    """Words and their tags in columns, by blanks or tabs: `tokens`, `ner_tags` (the last one), `column_2`, …."""

    name = "CoNLL"
    suffixes = (".conll", ".conll2003", ".bio", ".iob", ".iob2", ".bioes", ".bilou")

    def matches(self, head: bytes) -> bool:
        """Lines of as many fields each, as good as all, whose last is a tag, with empty ones between them."""
        if not head or b"\0" in head[:4096]:
            return False
        text = decode_head(head[:65536], encoding_of(head[:65536]))
        lines = text.splitlines()[:_SEEN]
        lines = lines[:-1] if len(lines) > 2 and len(text) > 4096 else lines
        rows = [line.split() for line in lines if line.strip() and not _is_comment(line)]
        if len(rows) < 2 or (not any(not line.strip() for line in lines) and len(lines) < _SEEN - 1):
            return False
        width, count = Counter(map(len, rows)).most_common(1)[0]
        tagged = sum(bool(_TAG.fullmatch(row[-1])) for row in rows)
        return width > 1 and min(count, tagged) >= _MOST * len(rows)

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`; a row's number is that of its first line."""
        if dialect.encoding:
            check_encoding(dialect.encoding)
        encoding = dialect.encoding or encoding_of(content.head)
        with content.open() as stream:
            lines = itertools.chain.from_iterable(lines_of(stream, encoding))
            sentences = _sentences(lines)
            first = next(sentences, None)
            if first is None:
                raise InputError(f"{content.name} holds no words. A word a line with its tag was expected.")
            check_columns(content.name, list(first[1]), columns)
            yield from batches(itertools.chain([first], sentences), columns)


def _is_comment(line: str) -> bool:
    """Tells comments, and marks of documents; a `#` with tags behind it is a word."""
    return line.startswith(_DOCUMENT) or (line.startswith(("# ", "#\t")) and not _TAG.fullmatch(line.split()[-1]))


def _sentences(lines: Iterator[str]) -> Iterator[Record]:
    rows: list[list[str]] = []
    known: dict[str, str] = {}  # words and tags come again and again: each is held once
    start, fault = 0, None
    for number, line in enumerate(itertools.chain(lines, [""]), 1):
        if not line.strip() or line.startswith(_DOCUMENT):
            if rows:
                yield _sentence(start, rows, fault)
            rows, fault, known = [], None, known if len(known) < _KNOWN else {}
        elif not _is_comment(line):
            start = start if rows else number
            fault = fault or _fault(line, rows)
            fields = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
            rows.append([known.setdefault(field, field) for field in fields])


def _fault(line: str, rows: Sequence[Sequence[str]]) -> str | None:
    if line == TOO_LONG:
        return "line too long"
    return f"sentence longer than {_LONGEST:,} words" if len(rows) >= _LONGEST else None


def _sentence(number: int, rows: Sequence[Sequence[str]], fault: str | None) -> Record:
    """Returns a sentence as a row; its words are in the first column, or the second behind numbers (CoNLL-U)."""
    width = len(rows[0])
    if fault is None and (width < 2 or any(len(row) != width for row in rows)):
        fault = f"lines of a sentence have different numbers of fields ({min(map(len, rows))} to {max(map(len, rows))})"
    if fault:
        return number, dict.fromkeys(("tokens", "ner_tags")), fault
    fields: list[list[Any]] = [[row[place].strip() for row in rows] for place in range(width)]
    if width == _UNIVERSAL and fields[0][0].isdecimal():
        fields = fields[1:]
    names = ["tokens", *(f"column_{place}" for place in range(2, len(fields))), "ner_tags"]
    return number, dict(zip(names, fields, strict=True)), None


register(Conll())
