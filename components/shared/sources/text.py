"""Text files as lines: which encoding, told by their bytes, and lines of a bounded length.

UTF-8 needs no proof. Of other bytes a byte order mark decides, or zeros at every second place (UTF-16), or what
`charset-normalizer` finds most like a language in the lines that are no ASCII.
"""

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from components.shared.errors import InputError, did_you_mean

LINE_LIMIT = 8 << 20
"""Characters of a line, about; of a longer one comes `TOO_LONG` instead, which no text holds."""

TOO_LONG = "\0\n"

_BLOCK = 1 << 20
_SAMPLE = 64 << 10  # bytes that are looked at for a language
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_USUAL = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "gb18030", "big5",
    "shift_jis", "euc_jp", "euc_kr", "cp949", "cp850", "cp437", "mac_roman",
]  # fmt: skip
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))
_WESTERN = "cp1252"


def check_encoding(name: str) -> None:
    """Raises `InputError` where there is no encoding of that name."""
    try:
        if codecs.lookup(name)._is_text_encoding:
            return
    except LookupError:
        pass
    near = did_you_mean(name, ["utf-8", "utf-16", "latin-1", *_USUAL])
    raise InputError(f"data.encoding is {name!r}; the name of an encoding such as 'cp1252' was expected.{near}")


def encoding_of(head: bytes) -> str:
    """Returns the encoding that the first bytes of a text file speak for.

    Args:
        head: Its beginning; the more, the surer. Bytes that are no UTF-8 in a file whose other lines are UTF-8 are
            damage, and no other encoding.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if wide := _wide(head):
        return wide
    lines = head.replace(b"\r", b"\n").split(b"\n")
    if len(lines) > 1:
        lines.pop()  # the last one may be cut within a character
    odd = [line for line in lines if not line.isascii()]
    valid = sum(_is_utf8(line) for line in odd)
    if 2 * valid >= len(odd):
        return "utf-8"
    return _most_likely(b"\n".join(odd)[:_SAMPLE])


def is_text(head: bytes) -> bool:
    """Tells text of any encoding, a few stray zeros in it or none, from what no person wrote."""
    if head.startswith(tuple(_MARKS)) or _wide(head):
        return True
    some = head[:8192]
    return len(some.translate(None, _CONTROLS)) > 0.9 * len(some)


def _wide(head: bytes) -> str | None:
    """Returns "utf-16-le" or "-be" for bytes of which most at every second place are zeros."""
    some = head[: len(head) & ~1][:4096]
    if len(some) < 4 or b"\0" not in some:
        return None
    even, odd = some[::2].count(0), some[1::2].count(0)
    half = len(some) // 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.1 * half else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _most_likely(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    found = list(from_bytes(sample, cp_isolation=_USUAL))
    if not found:
        return "utf-8"  # no text in any of them: its rows are rejected
    best = found[0]
    ties = [match.encoding for match in found if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    return _WESTERN if _WESTERN in ties else best.encoding


def decode_head(head: bytes, encoding: str) -> str:
    """Returns the beginning of a file as text, without its last, unfinished character."""
    text = codecs.getincrementaldecoder(encoding)("surrogateescape").decode(head)
    return text.removeprefix("\ufeff")


def lines_of(stream: BinaryIO, encoding: str) -> Iterator[list[str]]:
    r"""Yields the lines of a text, many at once, each with its end (`\n`, `\r\n` or `\r`).

    Invalid bytes become surrogate escapes, NUL becomes U+FFFD; a line over `LINE_LIMIT` comes as `TOO_LONG`.
    """
    for text in blocks_of(stream, encoding):
        yield lines_in(text)


def lines_in(text: str) -> list[str]:
    """Returns the lines of a text, each with its end."""
    if has_old_ends(text):
        return io.StringIO(text, newline="").readlines()
    lines = text.split("\n")
    last = lines.pop()
    ended = [line + "\n" for line in lines]
    return [*ended, last] if last else ended


def has_old_ends(text: str) -> bool:
    r"""Tells whether lines end in `\r` alone."""
    return "\r" in text and re.search(r"\r(?!\n)", text) is not None


def blocks_of(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """Yields a text in blocks of whole lines; for the rest see `lines_of`."""
    return _whole_lines(texts_of(stream, encoding))


def texts_of(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """Yields a text in parts of a bounded length; invalid bytes and NUL as in `lines_of`."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    first = True
    while block := stream.read(_BLOCK):
        text = decoder.decode(block)
        yield (text.removeprefix("\ufeff") if first else text).replace("\0", "\ufffd")
        first = first and not text
    yield decoder.decode(b"", True).replace("\0", "\ufffd")


def _whole_lines(texts: Iterator[str]) -> Iterator[str]:
    r"""Parts texts anew: at the ends of lines, but never between `\r` and `\n`."""
    parts: list[str] = []
    length = 0
    for text in texts:
        cut = max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
        if cut and length <= LINE_LIMIT:
            yield "".join([*parts, text[:cut]])
        elif cut:  # what was too long ends here
            first = re.search(r"\r\n|\n|\r", text)
            assert first is not None, "a line's end was found"
            yield TOO_LONG + text[first.end() : cut]
        if cut:
            parts, length = [text[cut:]], len(text) - cut
        else:
            length += len(text)
            parts = [*parts, text] if length <= LINE_LIMIT else []
    if length > LINE_LIMIT:
        yield TOO_LONG
    elif rest := "".join(parts):
        yield rest
