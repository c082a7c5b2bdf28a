"""Which files a source names: a path, a pattern (`s3://bucket/raw/2026-*/part-*.parquet`), or a list of such.

A list travels as one text, a JSON array, since a source is a text wherever it is a parameter.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from components.shared.errors import InputError, quote_all
from components.shared.sources.splits import paired
from components.shared.storage import storage
from components.shared.storage.storage import File

_NAMES = 10_000  # files whose own names are looked at
_WILD = re.compile(r"[*?\[]")


def sources_of(source: str) -> list[str]:
    """Returns the sources that a text names: those of a JSON array, or itself.

    Raises:
        InputError: It begins like an array of texts, and is none.
    """
    if not source.startswith('["'):
        return [source]
    try:
        found = json.loads(source)
    except ValueError as error:
        raise InputError(f"data.source begins like a JSON array, and is none ({error}): {source[:100]!r}.") from error
    if not all(isinstance(one, str) and one for one in found):
        raise InputError(f"data.source is a list of {source[:100]!r}; texts were expected, one a source.")
    return list(found)


def written(sources: Sequence[str]) -> str:
    """Returns a list of sources as the one text that a parameter takes."""
    return sources[0] if len(sources) == 1 else json.dumps(list(sources), ensure_ascii=False)


def list_source(source: str) -> list[File]:
    """Lists the files of a source, sorted by name; of a list, each name has the name of its own source before it.

    Raises:
        InputError: One names nothing that is there.
        ServiceError: The store did not answer.
    """
    sources = sources_of(source)
    if len(sources) == 1:
        return _list(sources[0])
    found: dict[str, File] = {}
    names = [PurePosixPath(one.rstrip("/")).name for one in sources]
    for number, (one, name) in enumerate(zip(sources, names, strict=True), 1):
        own = name if names.count(name) == 1 and not _WILD.search(name) else f"{number}"
        for file in _list(one):
            full = own if file.name == own else f"{own}/{file.name}"
            found[full] = File(file.uri, full, file.size, file.stamp)
    return sorted(found.values(), key=lambda file: file.name)


def _list(source: str) -> list[File]:
    if not _WILD.search(source) or (not storage.is_s3(source) and Path(source).exists()):
        return storage.list_files(source)
    base, matches = _pattern(source)
    found = [file for file in storage.list_files(base) if matches(file.name)]
    if not found:
        raise InputError(f"No file fits {source!r}. '*' stands for a part of a name, '**' for folders too.")
    return found


def _pattern(source: str) -> tuple[str, Callable[[str], bool]]:
    """Returns the folder before the first wild part of a pattern, and what fits the rest: a file, or its folder."""
    parts = source.split("/")
    first = next(number for number, part in enumerate(parts) if _WILD.search(part))
    if storage.is_s3(source) and first < 3:
        raise InputError(f"{source!r} has a wildcard in its bucket's name; one bucket was expected.")
    base = "/".join(parts[:first]) or ("/" if source.startswith("/") else ".")
    base += "/" if storage.is_s3(source) else ""
    rest = [_expression(part) for part in parts[first:] if part]
    joined = "/".join(rest).replace("(?:.*)/", "(?:.*/)?")
    expression = re.compile(joined + r"(?:/.*)?", re.DOTALL)
    return base, lambda name: expression.fullmatch(name) is not None


def _expression(part: str) -> str:
    if part == "**":
        return "(?:.*)"
    pieces = re.split(r"(\*+|\?|\[[^\]]*\])", part)
    wild = {"*": "[^/]*", "?": "[^/]"}
    return "".join(
        (wild[piece[0]] if piece[0] in wild else _class(piece)) if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
        if piece
    )


def _class(piece: str) -> str:
    inside = piece[1:-1].replace("\\", "\\\\")
    return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"


def links_out(source: str, files: Sequence[File]) -> str:
    """Returns a sentence on files that are links to what lies elsewhere on this machine; "" where there are none.

    They are read, as people and caches have them so; in what was unpacked of a stranger's archive they are suspicious.
    """
    base = Path(source)
    if storage.is_s3(source) or not base.is_dir():
        return ""
    root, out = base.resolve(), list[File]()
    for file in files:
        path = Path(file.uri)
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            out.append(file)
    if not out:
        return ""
    first = f"{out[0].name!r} to {str(Path(out[0].uri).resolve())!r}"
    return f"{len(out):,} files are links that lead out of {source}, and are read: {first}"


def splits_among(files: Sequence[File], told: Mapping[str, str]) -> dict[str, str]:
    """Returns which name is which split: as told, and those that end in one beside another of their beginning."""
    names = {file.name if len(files) <= _NAMES else file.name.rpartition("/")[0] for file in files}
    return {**{name: told.get(split, split) for name, split in paired(names).items()}, **told}


def found(files: Sequence[File]) -> str:
    """Returns what was found instead of data, for a message."""
    return f"found {quote_all([file.name for file in files])}" if files else "found no file"
