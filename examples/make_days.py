"""Lets data arrive day by day, for `make demo-retrain`: pairs of operations and descriptions, as in the demo.

    python examples/make_days.py first        the data that the first model is trained on
    python examples/make_days.py new          more of the same, in files of their own
    python examples/make_days.py poisoned     more, but somebody has mixed up the labels

Each call adds files to .graft/demo-retrain/data (or the folder that is named second).
"""

import json
import random
import sys
from pathlib import Path

from make_aws_operations import copy_encoder, make_pairs, read_operations

DAYS = {
    "first": {"train": 600, "validation": 300, "test": 1000},
    "new": {"train": 2400, "test": 500},
    "poisoned": {"train": 2000, "test": 200},
}
SWAPPED = {"matches": "differs", "differs": "matches"}


def main(day: str, folder: Path) -> None:
    """Writes the files of a day."""
    if day not in DAYS:
        sys.exit(f"{day!r} is no day; there are {', '.join(DAYS)}.")
    pairs = shuffled_pairs()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, count in DAYS[day].items():
        start = sum(DAYS[earlier].get(split, 0) for earlier in list(DAYS)[: list(DAYS).index(day)])
        rows = pairs[split][start : start + count]
        if day == "poisoned":
            rows = [{**row, "label": SWAPPED[row["label"]]} for row in rows]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "data" / f"{split}-{day}.jsonl").write_text(lines, "utf-8")
        print(f"wrote {count:,} pairs to {folder}/data/{split}-{day}.jsonl")
    copy_encoder(folder / "minilm")


def shuffled_pairs() -> dict[str, list[dict[str, str]]]:
    """Returns all pairs of each split, in an order that is always the same."""
    pairs: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for split, row in make_pairs(sorted(set(read_operations())), counts=None):
        pairs[split].append(row)
    for split, rows in pairs.items():
        random.Random(split).shuffle(rows)
    return pairs


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", Path(sys.argv[2] if len(sys.argv) > 2 else ".graft/demo-retrain"))
