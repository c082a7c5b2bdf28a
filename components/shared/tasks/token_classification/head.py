"""The head of a token classification: entities in texts. It goes with a registered model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, Level, LinearHead, Outputs, Spec
from .pieces import words_of
from .tags import likely_tags, spans_of, tags_of

IGNORED = -100
"""The tag of a token that is not asked about."""


class Head(LinearHead):
    """A logit for each tag of each token; what counts is the first token of a word."""

    level: ClassVar[Level] = "tokens"
    windows: ClassVar[bool] = True
    worded: ClassVar[bool] = True

    @staticmethod
    def names(spec: Spec) -> list[str]:
        """Returns the tags of the spec's labels, the types of entities."""
        return tags_of(spec["labels"])

    def targets(self, columns: Columns) -> Outputs:
        """Returns `tags`, int64 [batch, tokens], padded with what is ignored."""
        rows = columns["tags"]
        tags = np.full((len(rows), max((len(row) for row in rows), default=0)), IGNORED, np.int64)
        for place, row in zip(tags, rows, strict=True):
            place[: len(row)] = row
        return {"tags": torch.from_numpy(tags)}

    def asked(self, targets: Outputs) -> Tensor:
        """Tells which tokens have a tag."""
        return targets["tags"] != IGNORED

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns cross-entropies in nats, of the tokens that are asked about."""
        logits, tags = outputs["logits"].float().reshape(-1, self.out_features), targets["tags"].reshape(-1)
        total = nn.functional.cross_entropy(
            logits, tags, reduction="sum", label_smoothing=smoothing, ignore_index=IGNORED
        )
        return total, (tags != IGNORED).sum()

    @staticmethod
    def extras(encodings: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """Returns of each window whose it is (`example`), and the words that it answers for (`starts`, `ends`)."""
        found: dict[str, list[Any]] = {"example": [], "starts": [], "ends": []}
        for number, windows in enumerate(encodings):
            for starts, ends in words_of(windows):
                found["example"].append(number)
                found["starts"].append(starts)
                found["ends"].append(ends)
        return found

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `entities`: of each text a list of `entity_group`, `score`, `word`, `start` and `end` (characters).

        The score is the mean probability of its words' types, whether they begin the entity or go on.
        """
        tags, entities = self.names(self.spec), []
        words = self._words(outputs["logits"], extras)
        for number, (text, *_) in enumerate(extras["inputs"]):
            starts, ends, probabilities, best = words.get(number, ([], [], np.zeros((0, len(tags))), ()))
            found = spans_of([tags[tag] for tag in best])
            entities.append(
                [
                    {
                        "entity_group": kind,
                        "score": float(self._of_type(probabilities[first:last], kind).mean()),
                        **_place(text, starts[first], ends[last - 1]),
                    }
                    for first, last, kind in found
                ]
            )
        return {"entities": entities}

    def _of_type(self, probabilities: np.ndarray, kind: str) -> np.ndarray:
        place = 1 + 2 * self.spec["labels"].index(kind)
        found: np.ndarray = probabilities[:, place : place + 2].sum(1)
        return found

    def _words(self, logits: Sequence[Any], extras: Columns) -> Mapping[int, Any]:
        """Returns of each text its words in order: where they begin and end, their tags' probabilities, their tags."""
        gathered: dict[int, list[tuple[int, int, np.ndarray]]] = {}
        for example, starts, ends, rows in zip(
            extras["example"], extras["starts"], extras["ends"], logits, strict=True
        ):
            gathered.setdefault(int(example), []).extend(_answered(starts, ends, rows))
        found = {}
        for example, words in gathered.items():
            if not words:
                continue
            words.sort(key=lambda word: word[0])
            rows = np.array([word[2] for word in words], np.float64)
            powers = np.exp(rows - rows.max(1, keepdims=True))
            shares, best = powers / powers.sum(1, keepdims=True), likely_tags(rows, [len(words)])
            found[example] = ([word[0] for word in words], [word[1] for word in words], shares, best)
        return found


def _answered(starts: Any, ends: Any, rows: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields the words that a window answers for."""
    for start, end, row in zip(np.asarray(starts).tolist(), np.asarray(ends).tolist(), rows, strict=True):
        if start >= 0:
            yield start, end, row


def _place(text: str, start: int, end: int) -> dict[str, Any]:
    """Returns where an entity stands; some tokenizers give a word the blank before it."""
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return {"word": text[start:end], "start": start, "end": end}
