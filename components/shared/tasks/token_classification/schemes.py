"""Tags of words as people write them, in any of the usual schemes, as spans of words."""

from collections.abc import Iterator, Sequence

_BEGIN, _END, _SINGLE = "BUS", "LE", "US"
_PREFIXES = "BILUES"  # IOB1, IOB2 (BIO), BILOU, BIOES
_OUTSIDE = {"o", "", "_", "-", "0"}


def spans_of_tags(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yields the entities that tags tell: first word, the one after the last, type.

    BIO, IOB1, IOB2, BILOU and BIOES are read alike, and so are bare types, of which neighbours are one entity. What
    contradicts its scheme is read as conlleval and seqeval do: a tag that goes on with what did not begin begins it.
    """
    start, kind, ended = 0, "", False
    for place, tag in enumerate([*tags, "O"]):
        prefix, name = _parted(tag)
        if kind and (ended or name != kind or prefix in _BEGIN):
            yield start, place, kind
            kind = ""
        if name and not kind:
            start, kind = place, name
        ended = prefix in (*_END, *_SINGLE)


def _parted(tag: str) -> tuple[str, str]:
    """Returns what a tag says of the word's place, and its type; "" for outside."""
    tag = tag.strip()
    if tag.lower() in _OUTSIDE:
        return "O", ""
    prefix, dash, name = tag.partition("-")
    if dash and name and len(prefix) == 1 and prefix.upper() in _PREFIXES:
        return prefix.upper(), name
    return "I", tag


def type_of(tag: str) -> str:
    """Returns the type of entity that a tag tells; "" for outside."""
    return _parted(tag)[1]
