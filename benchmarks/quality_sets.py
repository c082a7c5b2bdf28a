"""Labelled sets that are not the demo's, made of what is installed: what benchmarks/quality.py compares models on.

- services: the documentation of an operation in botocore, up to 70 words of it, into one of 24 services; `services-32`
  and `services-8` have so many labels a class.
- codes: sentences of that documentation in which one made-up word decides the class, and nothing else does: what words
  alone settle, and no backbone can know.
- letters: drawn letters, from scratch; digits: scikit-learn's handwritten ones, ten labels each.

Each set has given splits, so that all sides learn from and are scored on the same examples.
"""

import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "benchmarks")]

import make_images  # noqa: E402
from corpus import documentation, encoder_folder  # noqa: E402

_CLASSES, _WORDS = 24, 70
_LETTERS = [*"ABDEFGHKMNRTW"]
_LEARNS, _TEST = 0.6, 0.25  # parts for training and test; the rest is validation

Row = dict[str, str]
Rows = dict[str, list[Row]]


@dataclass(frozen=True)
class LabelledSet:
    """A set of examples, and the job that a user would write for it.

    Attributes:
        folder: Its files: `train`, `validation`, `test`, as `.jsonl` or as folders of images.
        images: Whether its inputs are images.
        backbone: What a job names.
        backbone_args: What it is built with.
    """

    folder: Path
    images: bool
    backbone: str
    backbone_args: dict[str, object]

    def rows(self, split: str) -> tuple[list[str], list[str]]:
        """Returns the inputs (texts, or paths of images) and the labels of a split."""
        if self.images:
            files = sorted((self.folder / split).glob("*/*.png"))
            return list(map(str, files)), [file.parent.name for file in files]
        lines = (self.folder / f"{split}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["text"] for row in rows], [row["label"] for row in rows]


def make(name: str, folder: Path, encoder: Path | None = None) -> LabelledSet:
    """Writes a set into a folder, unless it is there; texts are for MiniLM, or for another encoder."""
    images = name in ("letters", "digits")
    if not folder.exists():
        _write_images(name, folder) if images else _write_texts(name, folder)
    if images:
        small = {"img_size": 32, "stem_width": 16, "channels": [16, 32, 64, 128]}
        return LabelledSet(folder, True, "random:timm/resnet10t", small)
    return LabelledSet(folder, False, str(encoder or encoder_folder()), {})


def _write_images(name: str, folder: Path) -> None:
    make_images.draw = random.Random(0)
    make_images.write(folder, _letters() if name == "letters" else make_images.make_digits())


def _write_texts(name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, rows in TEXTS[name]().items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")


def services(labels: int = 0, classes: int = _CLASSES) -> Rows:
    """Returns documentation by service; of each class so many labels for training and validation, 0: all."""
    found: dict[str, set[str]] = defaultdict(set)
    for service, name, text in documentation():
        words = re.sub(re.escape(service), "it", text, flags=re.IGNORECASE).split()[:_WORDS]
        if len(words) >= 8:
            found[service].add(" ".join(words).replace(name, "it"))
    largest = sorted(found, key=lambda service: (-len(found[service]), service))[:classes]
    owners: dict[str, int] = defaultdict(int)
    for service in largest:
        for text in found[service]:
            owners[text] += 1
    draw, rows = random.Random(0), Rows(train=[], validation=[], test=[])
    for service in largest:
        own = sorted(text for text in found[service] if owners[text] == 1)
        texts = draw.sample(own, min(len(own), 340))
        _deal(rows, [{"text": text, "label": service} for text in texts], labels)
    return _shuffled(rows, draw)


def _deal(rows: Rows, members: list[Row], labels: int) -> None:
    """Deals the examples of one class to the splits; with few labels a fifth of them is validation."""
    test, train = round(_TEST * len(members)), round(_LEARNS * len(members))
    rows["test"] += members[:test]
    learn = members[test:]
    if labels:
        train = labels - labels // 5
        learn = learn[:labels]
    rows["train"] += learn[:train]
    rows["validation"] += learn[train:]


def codes() -> Rows:
    """Returns sentences in which one made-up word of the class' own dozen stands somewhere."""
    draw = random.Random(0)
    invent = lambda: "".join(draw.choice("bcdfglmnprtvz") + draw.choice("aeiou") for _ in range(4))  # noqa: E731
    families = {f"family-{number:02}": [invent() for _ in range(12)] for number in range(12)}
    texts = sorted({text for _, _, text in documentation() if 10 <= len(text.split()) <= 40})
    rows, chosen = Rows(train=[], validation=[], test=[]), iter(draw.sample(texts, 12 * 200))
    for family, words in families.items():
        members = []
        for _ in range(200):
            sentence = next(chosen).split()
            sentence.insert(draw.randrange(len(sentence)), draw.choice(words))
            members.append({"text": " ".join(sentence), "label": family})
        _deal(rows, members, 0)
    return _shuffled(rows, draw)


def _letters() -> Iterator[tuple[str, make_images.Image.Image]]:
    """Yields thirteen letters, 60 for training, 20 for validation and 100 for the test of each."""
    fonts = [make_images.ImageFont.truetype(str(path), 96) for path in make_images.font_files()]
    for letter in _LETTERS:
        for number in range(180):
            split = "train" if number < 60 else "validation" if number < 80 else "test"
            drawn = make_images.draw_letter(letter, make_images.draw.choice(fonts))
            yield f"{split}/{letter}", make_images.smooth(make_images.scan(drawn))


def _shuffled(rows: Rows, draw: random.Random) -> Rows:
    return {split: draw.sample(members, len(members)) for split, members in rows.items()}


TEXTS: dict[str, Callable[[], Rows]] = {
    "services": services,
    "services-32": lambda: services(32),
    "services-8": lambda: services(8),
    "codes": codes,
}
NAMES = (*TEXTS, "letters", "digits")
