"""Pairs of a query and the passage that it looks for, made out of what is installed: no download.

botocore describes its operations. A query is the name of one in words, with its service, and its passage the first
sentence of the description. Each pair belongs together; what a query must not find are the passages of all others.

    python examples/make_aws_retrieval.py [FOLDER]      (default: .graft/demo)
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_aws_operations import copy_encoder, draw, read_operations, split_of, write

PAIRS = {"train": 2000, "validation": 300, "test": 1000}


def main(folder: Path) -> None:
    """Writes the pairs and the encoder into a folder."""
    write(folder / "data" / "aws-retrieval", make_pairs(sorted(set(read_operations()))))
    if not (folder / "minilm").exists():
        copy_encoder(folder / "minilm")
    print(f"wrote {folder}/data/aws-retrieval and {folder}/minilm")


def make_pairs(operations: list[tuple[str, str, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row, of each sentence the first operation that has it."""
    first = {sentence: f"{service} {name}" for service, name, sentence in reversed(operations)}
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in PAIRS}
    for sentence, query in sorted(first.items()):
        rows[split_of(query)].append({"query": query, "passage": sentence, "score": 1})
    for split, count in PAIRS.items():
        yield from ((split, row) for row in draw.sample(rows[split], min(count, len(rows[split]))))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".graft/demo"))
