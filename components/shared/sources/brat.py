"""Texts with annotations beside them, as brat has them: `1.txt` and `1.ann`, in folders or in an archive.

A row is a text as one annotator marked it. Only lines of text-bound annotations (`T1`, triggers of events among them)
tell entities; relations, events, attributes, normalizations and notes (`R`, `E`, `A`, `M`, `N`, `#`, `*`) are left out.
The format: Stenetorp et al., EACL 2012, and https://brat.nlplab.org/standoff.html.
"""

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from components.shared.sources import packed
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.packed import Packed
from components.shared.sources.parts import Part
from components.shared.sources.readers import Dialect
from components.shared.sources.splits import given_split, refuse_mixed
from components.shared.sources.text import check_encoding, encoding_of
from components.shared.storage import storage
from components.shared.storage.storage import File

COLUMNS = ("text", "entities", "document", "annotator")

SUFFIXES = (".ann", ".a1", ".a2")
"""Of annotations; `.a1` and `.a2` (BioNLP's shared tasks) are two parts of one."""

_TEXT = ".txt"
_MOST = 8 << 20  # bytes of a file
_BOUND = re.compile(
    r"T\S{0,50}[\t ]{1,3}(?P<type>\S{1,200}(?: \S{1,200}){0,4}?)[\t ]{1,3}"
    r"(?P<places>\d{1,9} \d{1,9}(?: ?; ?\d{1,9} \d{1,9})*)(?:[\t ](?P<text>.*))?"
)
_OTHERS = ("R", "E", "A", "M", "N", "#", "*")
_MARK = "\ufeff"

Span = dict[str, Any]
"""`start`, `end`, `label`, `text`; `pieces` where it is in several, each its start and end."""


class Match(NamedTuple):
    """Annotations of a text by one annotator.

    Attributes:
        text: The text's name.
        annotator: Whose they are; "" where only one is known.
    """

    text: str
    annotator: str


@dataclass(frozen=True, slots=True)
class Document(File):
    """A text; it changes with its annotations.

    Attributes:
        text: The file of the text.
        annotations: The files of its annotations, by annotator.
    """

    text: File = dataclasses.field(default=File("", "", 0), kw_only=True)
    annotations: Mapping[str, Sequence[File]] = dataclasses.field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Documents:
    """Texts and their annotations.

    Attributes:
        files: The documents.
        splits: For a given split's name, which split it is to be.
    """

    files: list[File]
    splits: Mapping[str, str] = field(default_factory=dict)

    def parts(self, files: Sequence[File], columns: Sequence[str], dialect: Dialect) -> Iterator[Part]:
        """Reads some of the documents, each as many rows as it has annotators; the next are read ahead."""
        check_columns("A folder of brat's", COLUMNS, columns)
        documents = [file for file in files if isinstance(file, Document)]
        wanted = [file for one in documents for file in (one.text, *_all(one.annotations)) if file.size <= _MOST]
        contents = storage.read_all(wanted)
        for one in documents:
            text = next(contents) if one.text.size <= _MOST else None
            for annotator, own in sorted(one.annotations.items()):
                told = [next(contents) if file.size <= _MOST else None for file in own]
                batch = _batch(text, told, Match(one.name, annotator), columns, dialect)
                place = storage.printable(own[0].name)
                yield Part(place, storage.printable(one.name), given_split(one.name, self.splits), batch)


def find_documents(
    source: str, files: Sequence[File], splits: Mapping[str, str], tell: Callable[[str], None]
) -> Documents | None:
    """Returns the annotated texts of a source; None where there are none.

    Args:
        source: What people know it by.
        files: All its files.
        splits: For a given split's name, which split it is to be.
        tell: Takes a sentence on what is left out, and on annotators.

    Raises:
        InputError: Splits are mixed with none.
    """
    named = {file.name: file for file in files}
    matches = matched(named)
    if not matches:
        return None
    found: dict[str, dict[str, list[File]]] = defaultdict(lambda: defaultdict(list))
    for name, match in sorted(matches.items()):
        found[match.text][match.annotator].append(named[name])
    documents = [_document(named[text], found[text]) for text in sorted(found)]
    refuse_mixed(source, {one.name: given_split(one.name, splits) for one in documents})
    for sentence in _told(named, matches):
        tell(sentence)
    return Documents(list(documents), splits)


def holds_documents(names: Iterable[str]) -> bool:
    """Tells whether there are texts with annotations among files of such names."""
    return bool(matched(names))


def documents_in(
    archive: Packed, columns: Sequence[str], splits: Mapping[str, str], dialect: Dialect
) -> Iterator[Part]:
    """Yields the annotated texts in an archive; its annotations are held, its texts stream by."""
    check_columns("An archive of brat's", COLUMNS, columns)
    matches = matched(packed.names_in(archive))
    refuse_mixed(archive.name, {match.text: given_split(match.text, splits) for match in matches.values()})
    found: dict[str, dict[str, list[bytes | None]]] = defaultdict(lambda: defaultdict(list))
    for member in packed.members(archive, lambda name: name in matches):
        match = matches[member.inner]
        found[match.text][match.annotator].append(_content(member))
    for member in packed.members(archive, lambda name: name in found):
        text, split = _content(member), given_split(member.inner, splits)
        for annotator, told in sorted(found[member.inner].items()):
            batch = _batch(text, told, Match(member.inner, annotator), columns, dialect)
            yield Part(storage.printable(member.name), storage.printable(archive.name), split, batch)


def matched(names: Iterable[str]) -> dict[str, Match]:
    """Returns of each file of annotations whose text it is of.

    `a/1.ann` is of `a/1.txt`; so are `a/1.anna.ann` and `a/1_anna.ann`, by Anna. Where `anna/1.ann` has no text beside
    it, it is of `1.txt` in a folder above, or of the only one of that name.
    """
    listed = list(names)
    texts = {name[: -len(_TEXT)]: name for name in listed if name.lower().endswith(_TEXT)}
    alone: dict[str, list[str]] = defaultdict(list)
    for stem in texts:
        alone[stem.rpartition("/")[2]].append(stem)
    found = {}
    for name in listed:
        if name.lower().endswith(SUFFIXES) and (match := _text_of(name.rpartition(".")[0], texts, alone)):
            found[name] = Match(texts[match[0]], match[1])
    return _without_one_name(found)


def _text_of(stem: str, texts: Mapping[str, str], alone: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Returns the stem of the text that annotations are of, and whose they are."""
    if stem in texts:
        return stem, ""
    folder, _, last = stem.rpartition("/")
    for at in range(len(last) - 1, 0, -1):
        if last[at] in "._-" and (own := stem[: len(stem) - len(last) + at]) in texts:
            return own, last[at + 1 :]
    above = folder
    while above:
        above = above.rpartition("/")[0]
        if (own := f"{above}/{last}".lstrip("/")) in texts:
            return own, folder[len(above) :].strip("/")
    return (alone[last][0], folder) if len(alone.get(last, ())) == 1 else None


def _without_one_name(found: Mapping[str, Match]) -> dict[str, Match]:
    """Leaves the name of an annotator out where all is of one: a folder of annotations beside one of texts."""
    if len({match.annotator for match in found.values()}) > 1:
        return dict(found)
    return {name: match._replace(annotator="") for name, match in found.items()}


def _document(text: File, annotations: Mapping[str, Sequence[File]]) -> Document:
    own = [text, *_all(annotations)]
    stamps = [file.stamp for file in own]
    stamp = hashlib.sha256("\n".join(stamps).encode()).hexdigest() if all(stamps) else ""
    kept = {annotator: tuple(files) for annotator, files in annotations.items()}
    return Document(text.uri, text.name, sum(file.size for file in own), stamp, text=text, annotations=kept)


def _all(annotations: Mapping[str, Sequence[File]]) -> Iterator[File]:
    for _, files in sorted(annotations.items()):
        yield from files


def _told(named: Mapping[str, File], matches: Mapping[str, Match]) -> Iterator[str]:
    """Yields what is worth knowing of how files belong together."""
    texts = {match.text for match in matches.values()}
    yield f"{len(texts):,} texts read with brat's annotations beside them (such as {min(texts)!r})"
    bare = [name for name in named if name.lower().endswith(_TEXT) and name not in texts]
    if bare:
        yield f"left out {len(bare):,} texts without annotations (.ann), such as {bare[0]!r}"
    lost = [name for name in named if name.lower().endswith(SUFFIXES) and name not in matches]
    if lost:
        yield f"left out {len(lost):,} files of annotations without their text, such as {lost[0]!r}"
    annotators = sorted({match.annotator for match in matches.values()})
    if len(annotators) > 1:
        yield (
            f"annotations are of {len(annotators):,} annotators ({', '.join(map(repr, annotators[:5]))}): where two "
            "mark a text differently it is rejected; a pattern in data.source names the files of one"
        )


def _content(member: Packed) -> bytes | None:
    with member.open() as stream:
        content = stream.read(_MOST + 1)
    return content if len(content) <= _MOST else None


def _batch(
    text: bytes | None, told: Sequence[bytes | None], match: Match, columns: Sequence[str], dialect: Dialect
) -> Batch:
    """Returns a row of one text, as one annotator marked it."""
    name = storage.printable(match.text.removesuffix(_TEXT))
    row: dict[str, Any] = {"text": None, "entities": None, "document": name, "annotator": match.annotator or None}
    fault = f"file larger than {_MOST:,} bytes" if text is None or None in told else ""
    if not fault:
        content = _decoded(text or b"", dialect)
        spans, fault = spans_of("\n".join(_decoded(one or b"", dialect).removeprefix(_MARK) for one in told))
        row["text"], row["entities"] = fitted(content, spans)
    wanted = columns or [column for column in COLUMNS if column != COLUMNS[-1] or match.annotator]
    return Batch([1], {column: [row[column]] for column in wanted}, {0: fault} if fault else {})


def _decoded(content: bytes, dialect: Dialect) -> str:
    """Returns a text as it is: line ends, blanks and a mark at its beginning count as characters."""
    if dialect.encoding:
        check_encoding(dialect.encoding)
    encoding = dialect.encoding or encoding_of(content)
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    return content.decode(encoding, "surrogateescape").replace("\0", "\ufffd")


def spans_of(annotations: str) -> tuple[list[Span], str]:
    """Returns the spans that a file of annotations tells, and what is wrong with it; "" where nothing is."""
    found: list[Span] = []
    for number, line in enumerate(annotations.split("\n"), 1):  # other ends of lines stand in what is marked
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith(_OTHERS):
            continue
        match = _BOUND.fullmatch(line)
        if match is None:
            return [], f"an annotation is none of brat's (line {number}: {storage.printable(line[:60])!r})"
        pieces = [[int(place) for place in piece.split()] for piece in match["places"].split(";")]
        span = {"start": pieces[0][0], "end": pieces[-1][1], "label": match["type"], "text": match["text"] or ""}
        found.append(span | ({"pieces": pieces} if len(pieces) > 1 else {}))
    return found, ""


def fitted(text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
    r"""Returns a text in the reading that most spans' own texts stand in, and the spans in that.

    Line ends that were changed after the text was marked (`\r\n` and `\n`), and a byte order mark that was counted,
    move all that follows.
    """
    bare = text.removeprefix(_MARK)
    unix = bare.replace("\r\n", "\n")
    readings = [(body, shift) for shift in ((0, -1) if bare != text else (0,))
                for body in dict.fromkeys((bare, unix, unix.replace("\n", "\r\n")))]  # fmt: skip
    body, shift = max(readings, key=lambda reading: sum(_stands(reading[0], span, reading[1]) for span in spans))
    return body, [_moved(span, shift) for span in spans] if shift else list(spans)


def _pieces(span: Span) -> list[list[int]]:
    return span.get("pieces") or [[span["start"], span["end"]]]


def _stands(text: str, span: Span, shift: int) -> bool:
    """Tells whether a span's own text stands where it says; brat writes the end of a line as a blank."""
    parts = (text[max(start + shift, 0) : max(end + shift, 0)] for start, end in _pieces(span))
    return " ".join(parts).split() == str(span["text"]).split()


def _moved(span: Span, shift: int) -> Span:
    moved = [[start + shift, end + shift] for start, end in _pieces(span)]
    own = {"start": moved[0][0], "end": moved[-1][1]}
    return span | own | ({"pieces": moved} if "pieces" in span else {})
