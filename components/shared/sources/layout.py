"""Which folder of a tree is the class of the files in it: the first below the split, unless it is said otherwise."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components.shared.errors import InputError, quote_all
from components.shared.sources.splits import given_split, split_word

UNLABELLED = ("unsup", "unlabeled", "unlabelled", "nolabel")
"""Folders that are no class."""


@dataclass(frozen=True)
class Layout:
    """Where split and class stand in the path of a file.

    Attributes:
        level: Which folder below the split is the class: 1 is the first; -1 is the file's own.
        splits: For a given split's name, or another folder's, which split it is to be.
    """

    level: int = 1
    splits: Mapping[str, str] = field(default_factory=dict)

    def sort_in(self, path: str) -> tuple[str | None, str | None]:
        """Returns the split and the class that a path gives ("train/cat/1.jpg"), None where it gives none."""
        folders = path.split("/")[:-1]
        at = _split_at(folders, self.splits)
        split = given_split(folders[at], self.splits) if at is not None else None
        below = folders if at is None else folders[at + 1 :]
        place = self.level - 1 if self.level > 0 else len(below) + self.level
        label = below[place] if 0 <= place < len(below) else None
        return split, None if label and label.lower() in UNLABELLED else label

    def is_unlabelled(self, path: str) -> bool:
        """Tells whether a file lies in a folder of those that nobody labelled, such as aclImdb's `unsup`."""
        return any(name.lower() in UNLABELLED for name in path.split("/")[:-1])


def _split_at(folders: Sequence[str], splits: Mapping[str, str]) -> int | None:
    """Returns which folder gives the split; one below a split, or none, may be called like one.

    Some archives unpack into a folder of the split's name that holds one of the same name.
    """
    at = next((n for n, name in enumerate(folders) if name in splits or split_word(name)), None)
    while at is not None and at + 2 < len(folders) and folders[at + 1] == folders[at]:
        at += 1
    return at


def layout_of(
    source: str, paths: Iterable[str], level: int, splits: Mapping[str, str], is_list: bool = False
) -> Layout:
    """Returns the layout of a tree.

    Folders that all files share are no classes (`images/cat/1.jpg`). Where the folders of the files themselves are the
    same below several first ones (`2024/cat`, `2025/cat`), two readings make sense.

    Args:
        source: What people know the tree by.
        paths: Of its files.
        level: `data.class_level`; 0 where it is to be found out.
        splits: As `Layout.splits`.
        is_list: Whether the first folders are those of a list of trees, which are no classes where all have the same.

    Raises:
        InputError: Two readings make sense, or a class is called like a split.
    """
    if level:
        return Layout(level, splits)
    folders = {tuple(path.split("/")[:-1]) for path in paths}
    _refuse_class_called_split(source, folders, splits)
    below = {path[at + 1 :] if (at := _split_at(path, splits)) is not None else path for path in folders} - {()}
    if not below:
        return Layout(1, splits)
    shared = _shared(below)
    if is_list and shared == 0 and _are_ambiguous([path[:2] for path in below]):
        return Layout(2, splits)
    _refuse_ambiguous(source, [path[shared:] for path in below], shared + 1)
    return Layout(shared + 1, splits)


def _shared(paths: Iterable[Sequence[str]]) -> int:
    """Returns how many first folders all paths share; at least one is left of each."""
    listed = list(paths)
    most = min(len(path) for path in listed) - 1
    return next((n for n in range(most) if len({path[n] for path in listed}) > 1), most) if len(listed) > 1 else most


def _are_ambiguous(paths: Sequence[Sequence[str]]) -> bool:
    """Tells whether one and the same last folder lies below several first ones."""
    above: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        above[path[-1]].add(path[0])
    deep = all(len(path) > 1 for path in paths)
    return (
        deep and len({path[0] for path in paths}) > 1 and len(above) > 1 and any(len(up) > 1 for up in above.values())
    )


def _refuse_ambiguous(source: str, paths: Sequence[Sequence[str]], level: int) -> None:
    if _are_ambiguous(paths):
        first, last = ({path[place] for path in paths} for place in (0, -1))
        raise InputError(
            f"The folders of {source} can be read in two ways. Say which is meant:\n"
            f"  data.class_level: {level}    classes {quote_all(sorted(first), 5)}\n"
            f"  data.class_level: -1   classes {quote_all(sorted(last), 5)}"
        )


def _refuse_class_called_split(source: str, folders: Iterable[Sequence[str]], splits: Mapping[str, str]) -> None:
    """Refuses `train/1.jpg` beside `bus/1.jpg` and `car/1.jpg`: a class that was taken for a split."""
    listed = set(folders)
    bare = {path[-1] for path in listed if path and _split_at(path, splits) == len(path) - 1}
    with_classes = {path for path in listed if (at := _split_at(path, splits)) is not None and at < len(path) - 1}
    classes = sorted({path[0] for path in listed if path and _split_at(path, splits) is None})
    if bare and classes and not with_classes:
        raise InputError(
            f"{source}: the folder {quote_all(sorted(bare))} was taken for a split, and its files have no class; "
            f"beside it lie {quote_all(classes, 5)}. If it is a class, rename it (to {'a ' + sorted(bare)[0]!r}); "
            "if it is a split, put a folder a class into it."
        )
