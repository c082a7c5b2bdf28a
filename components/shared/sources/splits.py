"""Which split a file is given for, by its name or its folder's: train, validation, test, as people call them."""

import re
from collections.abc import Mapping

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
