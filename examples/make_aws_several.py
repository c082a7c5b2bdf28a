"""Makes data of several tasks on the same texts out of what is installed, so that it needs no download.

botocore carries the documentation of API operations. Of each operation: which service it is of, what it does (the verb
of its name: create, delete, …), what it is about (topics, of its own name and its parameters), and how many parameters
it takes. Not every row is labelled for every task: of one in three the service is missing, of one in two the topics.

    python examples/make_aws_several.py [FOLDER]      (default: .graft/demo)
"""

import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_aws_operations import copy_encoder, in_words, split_of
from make_aws_tasks import SERVICES, TOPICS, read_operations, write

VERBS = ("create", "delete", "describe", "get", "list", "put", "update")


def main(folder: Path) -> None:
    """Writes the data and the encoder into a folder."""
    operations = [operation for service in SERVICES for operation in read_operations(service)]
    write(folder / "data" / "aws-several", make_rows(operations))
    copy_encoder(folder / "minilm")
    print(f"wrote {folder}/data/aws-several, and {folder}/minilm")


def make_rows(operations: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row: the first sentence of an operation, and its answers as far as somebody gave them."""
    seen: set[str] = set()
    for operation in operations:
        name, text = in_words(operation["name"]).split(), next(iter(operation["sentences"]), "")
        if not text or text in seen or name[0] not in VERBS:
            continue
        seen.add(text)
        words = {word for one in (operation["name"], *operation["parameters"]) for word in in_words(one).split()}
        topics = [topic for topic, told in TOPICS.items() if words & set(told.split())]
        draw = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        yield (
            split_of(text),
            {
                "text": text,
                "verb": name[0],
                "service": operation["service"] if draw % 3 else None,
                "topics": topics if draw % 2 else None,
                "parameters": round(math.log1p(len(operation["parameters"])), 3),
            },
        )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".graft/demo"))
