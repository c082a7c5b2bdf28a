"""Makes data of three more tasks out of what is installed, so that it needs no download.

botocore carries the documentation of API operations and their parameters. It is real text in which names are known:

- aws-names (entities): sentences of documentation, in which the names of operations, shapes and parameters stand.
- aws-topics (several labels): what an operation is about (networks, keys, tags, costs, ...), told by words in the names
  of it and of its parameters, which the text does not show.
- aws-similarity (a number): how alike two operations of one service are, 0 to 5, by shared parameters; the texts
  are their descriptions.

    python examples/make_aws_tasks.py [FOLDER]      (default: .graft/demo)
"""

import gzip
import html
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_aws_operations import copy_encoder, in_words, package_folder, split_of

SERVICES = (
    "ec2",
    "s3",
    "iam",
    "rds",
    "lambda",
    "sagemaker",
    "glue",
    "ecs",
    "kms",
    "ssm",
    "logs",
    "sns",
    "sqs",
    "wafv2",
)
TOPICS = {
    "access": "role policy permission user group principal grant",
    "encryption": "kms key encryption certificate secret",
    "network": "vpc subnet ip network gateway route endpoint security",
    "tags": "tag tags",
    "storage": "bucket volume snapshot object storage backup",
    "compute": "instance cluster task function container job",
    "monitoring": "metric alarm log event monitor",
    "lists": "max results token page items",
}
KINDS = {"operation": "OPERATION", "shape": "SHAPE", "parameter": "PARAMETER"}
MOST = {"train": 1500, "validation": 300, "test": 600}


def main(folder: Path) -> None:
    """Writes the three data sets and the encoder into a folder."""
    operations = [operation for service in SERVICES for operation in read_operations(service)]
    write(folder / "data" / "aws-names", make_names(operations))
    write(folder / "data" / "aws-topics", make_topics(operations))
    write(folder / "data" / "aws-similarity", make_similarity(operations))
    copy_encoder(folder / "minilm")
    print(f"wrote {folder}/data/aws-names, aws-topics and aws-similarity, and {folder}/minilm")


def read_operations(service: str) -> Iterator[dict[str, Any]]:
    """Yields operations of a service: name, sentences of documentation, parameters, and all names of the service."""
    newest = max((package_folder("botocore") / "data" / service).iterdir())
    with gzip.open(newest / "service-2.json.gz", "rt", encoding="utf-8") as text:
        told = json.load(text)
    shapes = told["shapes"]
    names = {name: "parameter" for shape in shapes.values() for name in shape.get("members", {})}
    names |= dict.fromkeys(shapes, "shape") | dict.fromkeys(told["operations"], "operation")
    # A capital inside tells a name from a word: "Tags" may be the word, "TagKeys" is not.
    known = {name: kind for name, kind in names.items() if re.search(r"[a-z0-9][A-Z]", name) and len(name) > 4}
    for name, operation in sorted(told["operations"].items()):
        members = shapes.get(operation.get("input", {}).get("shape", ""), {}).get("members", {})
        texts = [operation.get("documentation", ""), *(member.get("documentation", "") for member in members.values())]
        sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.!?]) ", plain(text))]
        yield {
            "service": service,
            "name": name,
            "sentences": [one for one in sentences if 20 < len(one) < 400],
            "parameters": sorted(set(members) - {"DryRun", "ClientToken"}),
            "names": known,
        }


def make_names(operations: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row: a sentence with the names in it as spans; one in four sentences has none."""
    seen: set[str] = set()
    for operation in operations:
        for sentence in operation["sentences"]:
            spans = [
                {"start": found.start(), "end": found.end(), "label": KINDS[operation["names"][found[0]]]}
                for found in re.finditer(r"\w+", sentence)
                if found[0] in operation["names"]
            ]
            if sentence not in seen and (spans or split_of(sentence + " none") == "test"):
                seen.add(sentence)
                yield split_of(sentence), {"text": sentence, "spans": spans}


def make_topics(operations: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row: the first sentence of an operation, and the topics of its own name and its parameters."""
    seen: set[str] = set()
    for operation in operations:
        words = {word for name in (operation["name"], *operation["parameters"]) for word in in_words(name).split()}
        text = next(iter(operation["sentences"]), "")
        if text and text not in seen:
            seen.add(text)
            yield (
                split_of(text),
                {
                    "text": text,
                    "labels": [topic for topic, told in TOPICS.items() if words & set(told.split())],
                },
            )


def make_similarity(operations: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row: descriptions of two operations of one service and one split, and how many names they share.

    The score is 5 times the Jaccard index of the words in their names and parameters.
    """
    draw = random.Random(7)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for operation in operations:
        if operation["sentences"]:
            groups.setdefault((operation["service"], split_of(operation["name"])), []).append(operation)
    for (_, split), members in groups.items():
        for one in members:
            near = sorted(members, key=lambda other: (-_shared(one, other), other["name"]))[:3]
            for other in [*near, *draw.sample(members, min(2, len(members)))]:
                if one["sentences"][0] < other["sentences"][0]:
                    yield (
                        split,
                        {
                            "sentence1": one["sentences"][0],
                            "sentence2": other["sentences"][0],
                            "score": round(5 * _shared(one, other), 2),
                        },
                    )


def _shared(one: dict[str, Any], other: dict[str, Any]) -> float:
    words = [
        {word for name in (part["name"], *part["parameters"]) for word in in_words(name).split()}
        for part in (one, other)
    ]
    return len(words[0] & words[1]) / max(len(words[0] | words[1]), 1)


def plain(documentation: str) -> str:
    """Returns a description in HTML as plain text."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", documentation)).split())


def write(folder: Path, rows: Iterator[tuple[str, dict[str, Any]]]) -> None:
    """Writes a JSON Lines file for each split, of the first so many rows by a hash."""
    parts: dict[str, list[str]] = {split: [] for split in MOST}
    for split, row in rows:
        parts[split].append(json.dumps(row, ensure_ascii=False))
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in parts.items():
        random.Random(7).shuffle(lines)
        (folder / f"{split}.jsonl").write_text("\n".join(lines[: MOST[split]]) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".graft/demo"))
