"""Questions whose answers stand in a text, made out of what is installed: no download.

botocore documents the parameters of its operations. A text is what some parameters of one operation do, a sentence
each, in no order and without their names; a question asks for one of them, and the answer is its sentence. One question
in five is on a parameter that the text leaves out, and has no answer. Files are as those of SQuAD 2.0.

An operation is in one split only.

    python examples/make_aws_questions.py [FOLDER]      (default: .graft/demo)
"""

import gzip
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_aws_operations import copy_encoder, first_sentence, in_words, package_folder, split_of

TEXTS = {"train": 400, "validation": 80, "test": 200}
SENTENCES = (4, 6)
ASKED = 3  # questions on a text
_EVERYWHERE = {"dryrun", "nexttoken", "maxresults", "marker", "clienttoken", "filters", "tags", "tagspecifications"}

Parameters = dict[str, str]
"""By name in words, the first sentence of its documentation."""


def main(folder: Path) -> None:
    """Writes the questions and the encoder into a folder."""
    write(folder / "data" / "aws-questions", list(read_parameters()), TEXTS)
    if not (folder / "minilm").exists():
        copy_encoder(folder / "minilm")
    print(f"wrote {folder}/data/aws-questions and {folder}/minilm")


def read_parameters() -> Iterator[tuple[str, str, Parameters]]:
    """Yields service, operation's name in words, and its parameters, those with a sentence of their own."""
    data = package_folder("botocore") / "data"
    for service in sorted(path.name for path in data.iterdir() if path.is_dir()):
        for file in max((data / service).iterdir()).glob("service-2.json.gz"):
            with gzip.open(file, "rt", encoding="utf-8") as text:
                told = json.load(text)
            for name, operation in told["operations"].items():
                members = told["shapes"].get(operation.get("input", {}).get("shape"), {}).get("members", {})
                found: Parameters = {}
                for member, shape in members.items():
                    sentence = first_sentence(shape.get("documentation", ""))
                    if (
                        member.lower() not in _EVERYWHERE
                        and 20 < len(sentence) < 160
                        and sentence not in found.values()
                    ):
                        found[in_words(member)] = sentence
                if len(found) >= SENTENCES[0]:
                    yield service, in_words(name), found


def make_paragraph(operation: str, parameters: Parameters, draw: random.Random) -> dict[str, Any]:
    """Returns a text with its questions, as SQuAD 2.0 has them."""
    names = draw.sample(sorted(parameters), min(len(parameters), draw.randint(*SENTENCES) + 1))
    told, left = names[:-1], names[-1]
    context, places = "", {}
    for name in told:
        places[name] = len(context)
        context += f"{parameters[name]} "
    lacks = draw.random() < ASKED / 5 and parameters[left] not in context
    asked = [*draw.sample(told, ASKED - lacks), *([left] if lacks else [])]
    questions = [
        {
            "id": f"{operation}/{name}",
            "question": f"What does {name} of {operation} set?",
            "is_impossible": name == left,
            "answers": [] if name == left else [{"text": parameters[name], "answer_start": places[name]}],
        }
        for name in asked
    ]
    return {"context": context.strip(), "qas": questions}


def write(folder: Path, operations: list[tuple[str, str, Parameters]], counts: dict[str, int]) -> None:
    """Writes `train.json`, `validation.json` and `test.json`, an article a service."""
    draw = random.Random(0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for split, count in counts.items():
        own = [row for row in operations if split_of(f"{row[0]} {row[1]}") == split]
        articles: dict[str, list[dict[str, Any]]] = {}
        for service, operation, parameters in draw.sample(own, min(count, len(own))):
            paragraph = make_paragraph(f"{service} {operation}", parameters, draw)
            articles.setdefault(service, []).append(paragraph)
        data = [{"title": title, "paragraphs": articles[title]} for title in sorted(articles)]
        (folder / f"{split}.json").write_text(json.dumps({"version": "v2.0", "data": data}, indent=1), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".graft/demo"))
