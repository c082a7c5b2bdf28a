"""A walk over a source's examples: all of them, or a fair part where there are many."""

from collections import Counter
from collections.abc import Sequence

from components.shared.profile.seen import Seen
from components.shared.sources.buckets import Example
from components.shared.sources.rows import Row
from components.shared.sources.source import Source
from components.shared.storage.storage import File, printable

_FOLDERS = 2_000  # of a tree, of each of which one file at least is read


def walk(source: Source, files: Sequence[File], seen: Seen, most: int) -> bool:
    """Shows a source's examples to `seen`; returns whether these were all.

    Args:
        source: Ready to be read.
        files: Its files.
        seen: Keeps what is to be kept.
        most: Rows that are looked at, of each file a part by its size. Of a tree of files every so many are looked
            at, and the others counted by their folders.
    """
    if source.is_tree:
        return _walk_tree(source, files, seen, most)
    total, whole = sum(file.size for file in files) or 1, True
    for file in files:
        quota = most if source.is_hub else max(1, most * file.size // total)
        for number, (row, found) in enumerate(source.examples([file])):
            if number == quota:
                whole = False
                break
            _show(seen, row, found)
    return whole


def _show(seen: Seen, row: Row, found: Example | str) -> None:
    if isinstance(found, Example):
        seen.add(found.split, found.label, found.inputs, found.place, found.id)
    else:
        seen.reject(row.place, found)


def _walk_tree(source: Source, files: Sequence[File], seen: Seen, most: int) -> bool:
    chosen = _spread(files, most)
    classes: dict[str, tuple[str, str]] = {}
    for row, found in source.examples(chosen):
        _show(seen, row, found)
        if isinstance(found, Example):
            classes[_folder(row.place)] = (found.split, found.label)
    if len(chosen) == len(files):
        return True
    seen.classes.clear()
    for folder, count in Counter(_folder(printable(file.name)) for file in files).items():
        if folder in classes:
            split, label = classes[folder]
            seen.classes[split][label] += count
    return False


def _spread(files: Sequence[File], most: int) -> list[File]:
    """Returns every so many files, and the first of each folder."""
    if len(files) <= most:
        return list(files)
    step = -(-len(files) // most)
    firsts = {_folder(file.name): number for number, file in reversed(list(enumerate(files)))}
    chosen = {*range(0, len(files), step), *list(firsts.values())[:_FOLDERS]}
    return [files[number] for number in sorted(chosen)]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
