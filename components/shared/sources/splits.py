"""Which split a file is given for, by its name or its folder's: train, validation, test, as people call them."""

import re
from collections.abc import Iterable, Mapping

from components.shared.errors import InputError, quote_all

_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "eval": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_LONG = re.compile(r"(train|validation|test)(?![a-zA-Z0-9 ])", re.IGNORECASE)
_SHORT = re.compile(
    r"(training|testing|valid|val|dev|eval)(?=$|\.|[-_]?\d|[-_](split|set|data|part|matched|mismatched)(?![a-z]))",
    re.IGNORECASE,
)


_PAIRED = re.compile(
    r"(.*[-_ .])(train|training|validation|valid|val|dev|test|testing|eval)([-_.]?\d+(-of-\d+)?)?(\.[a-z0-9.]+)?",
    re.IGNORECASE,
)


def paired(names: Iterable[str]) -> dict[str, str]:
    """Returns which names end in a split, where there are several of one beginning: `x_train.csv` and `x_test.csv`.

    One alone (`blood_test`, `ab_test.csv`) is no split.

    Args:
        names: Of files, with their folders.
    """
    found: dict[str, dict[str, str]] = {}
    for part in {part for name in names for part in name.split("/")}:
        if (match := _PAIRED.fullmatch(part)) and not split_word(part):
            found.setdefault(match.group(1).lower(), {})[part] = _WORDS[match.group(2).lower()]
    groups = [group for group in found.values() if "train" in group.values() and len(set(group.values())) > 1]
    return {part: split for group in groups for part, split in group.items()}


def given_split(name: str, splits: Mapping[str, str] | None = None) -> str | None:
    """Returns the split that a file's name or folder gives ("train-00000.parquet", "dev/part.csv"), or None.

    Args:
        name: Of the file, with its folders.
        splits: For a given split's name, or another name in the path, which split it is to be.
    """
    meant = splits or {}
    parts = name.split("/")
    for part in parts:
        for own in (part, part.split(".")[0]):
            if own in meant:
                return meant[own]
    for part in parts:
        if word := split_word(part):
            canonical = _WORDS[word.lower()]
            return meant.get(canonical, canonical)
    return None


def split_word(part: str) -> str | None:
    """Returns the word in the name of a file or folder that gives a split, or None."""
    match = _LONG.match(part) or _SHORT.match(part)
    return match.group(1) if match else None


def refuse_mixed(source: str, splits: Mapping[str, str | None]) -> None:
    """Raises `InputError` where some of the named files are given splits and some are not."""
    given = [name for name, split in splits.items() if split]
    if given and len(given) < len(splits):
        others = [name for name, split in splits.items() if not split]
        raise InputError(
            f"{source} mixes given splits ({quote_all(given)}) with files of no split ({quote_all(others)}). "
            "Name every file or folder train, validation (valid, val, dev, eval) or test, or none of them; or say in "
            'data.splits which name is which split, such as {"holdout": "test"}. A class that is called like a split: '
            "rename its folder."
        )
