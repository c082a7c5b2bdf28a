"""XML: an element a row (pandas' and databases' exports), and what CVAT and Pascal VOC say of images.

It is parsed as it streams by. Entities that a file declares are refused: nested ones take all memory, external ones
read files.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.text import LINE_LIMIT

_BLOCK = 1 << 16
_DEEPEST = 64
_PEEK = 100


@dataclass
class _Element:
    tag: str
    attributes: Mapping[str, str]
    children: "list[_Element]" = field(default_factory=list)
    text: str = ""


class Markup:
    """Rows of XML: each child of the root; its attributes and what its own children hold are the columns."""

    name = "XML"
    suffixes = (".xml",)

    def matches(self, head: bytes) -> bool:
        """An element begins, or XML's declaration; pages of the web are none."""
        text = head[:200].removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip().lower()
        return text.startswith((b"<?xml", b"<annotation")) and b"<html" not in head[:1000].lower()

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        try:
            yield from batches(_picked(_records(content), content.name, columns), columns)
        except expat.ExpatError as error:
            raise InputError(f"{content.name} is no XML that can be read ({error}). Write it again.") from error


def _picked(records: Iterator[Record], name: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yields all records, after a look at the first ones for the columns."""
    first = list(itertools.islice(records, _PEEK))
    check_columns(name, list(dict.fromkeys(key for _, values, _ in first for key in values)), columns)
    yield from first
    yield from records


def _records(content: Content) -> Iterator[Record]:
    parser = _Parser(content.name)
    number = 0
    with content.open() as stream:
        while block := stream.read(_BLOCK):
            parser.feed(block)
            for values in parser.taken():
                number += 1
                yield number, values, None
        parser.feed(b"", last=True)
        for values in parser.taken():
            number += 1
            yield number, values, None


class _Parser:
    """Builds one row's element at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[_Element] = []
        self._rows: list[dict[str, Any]] = []
        self._length = 0
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._data
        self._expat.EntityDeclHandler = self._refuse

    def feed(self, block: bytes, last: bool = False) -> None:
        """Parses on."""
        self._expat.Parse(block, last)

    def taken(self) -> list[dict[str, Any]]:
        """Returns the rows that came since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _refuse(self, *_: object) -> None:
        raise InputError(f"{self._name} declares entities, which no data needs. Write it without a DOCTYPE.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        element = _Element(tag.rpartition(":")[2], attributes)
        self._grow(tag, sum(map(len, attributes.values())))
        if self._open and (len(self._open) > 1 or self._is_whole()):
            self._open[-1].children.append(element)
        self._open.append(element)
        if len(self._open) > _DEEPEST:
            raise InputError(f"{self._name} is XML nested over {_DEEPEST} deep (line {self._expat.CurrentLineNumber}).")

    def _data(self, text: str) -> None:
        self._grow("text", len(text))
        self._open[-1].text += text

    def _grow(self, what: str, length: int) -> None:
        self._length += length + 64
        if self._length > LINE_LIMIT:
            raise InputError(
                f"{self._name}, line {self._expat.CurrentLineNumber}: an element is longer than {LINE_LIMIT:,} "
                f"characters ({what[:40]!r})."
            )

    def _is_whole(self) -> bool:
        """Whether the root itself is the row: Pascal VOC has a file an image."""
        return self._open[0].tag == "annotation"

    def _end(self, _: str) -> None:
        whole = self._is_whole()
        element = self._open.pop()
        if len(self._open) == (0 if whole else 1):
            self._length = 0
            if row := _row(element, self._open):
                self._rows.append(row)


def _row(element: _Element, parents: Sequence[_Element]) -> dict[str, Any]:
    """Returns the values of an element; of images their file, the one label that they have, or a list, and `labels`.

    Who looked at an image (Pascal VOC) and found nothing gives it no label; CVAT lists images that nobody has seen.
    """
    if element.tag == "annotation" and not parents:
        names = [_child(one, "name") for one in element.children if one.tag == "object"]
        return {"file_name": _child(element, "filename"), "label": _one(names), "labels": _each(names)}
    if parents and parents[0].tag == "annotations" and "name" in element.attributes and element.tag == "image":
        tags = [one for one in element.children if one.tag == "tag"] or element.children
        names = [one.attributes.get("label") for one in tags]
        return {"file_name": element.attributes["name"], "label": _one(names), "labels": _each(names) or None}
    if parents and parents[0].tag == "annotations" and element.tag in ("version", "meta"):
        return {}  # CVAT's own
    return dict(_flat(element, ""))


def _child(element: _Element, tag: str) -> str | None:
    return next((one.text.strip() for one in element.children if one.tag == tag), None)


def _one(names: Sequence[str | None]) -> Any:
    """Returns the one name, a list of several, None of none."""
    found = _each(names)
    return found[0] if len(found) == 1 else found or None


def _each(names: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))


def _flat(element: _Element, before: str) -> Iterator[tuple[str, Any]]:
    """Yields the values in an element by dotted names; tags that come again are lists."""
    yield from ((f"{before}{name}", value) for name, value in element.attributes.items())
    found: dict[str, list[str]] = {}
    for child in element.children:
        if child.text.strip() or not child.children:
            found.setdefault(f"{before}{child.tag}", []).append(child.text.strip())
        yield from _flat(child, f"{before}{child.tag}.")
    yield from ((name, values[0] if len(values) == 1 else values) for name, values in found.items())
    if element.text.strip() and not before:
        yield element.tag, element.text.strip()


register(Markup())
