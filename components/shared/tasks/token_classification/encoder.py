"""Entities as tags of tokens, beside the token ids: long texts in windows that overlap."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.backbones.tokenizer import load_tokenizer, max_length_of
from components.shared.tasks.token_classification.pieces import NOWHERE, words_of
from components.shared.tasks.token_classification.tags import OUTSIDE, tags_of

IGNORED = -100
"""The tag of a token that is not asked about."""

_OVERLAP = 4  # of a window, the part that it has in common with the next
_SHOWN = 40  # characters


class TokenEncoder:
    """Token ids with a tag for the first token of each word.

    Columns: `input_ids` list<int32>; `length` int32, in tokens; `example` int32, whose window it is; to decode,
    `starts` and `ends` list<int32>: of each token that stands for a word, where that begins and ends in characters,
    else -1.
    Targets: `tags` list<int32>, places in `tags_of(labels)`, or -100 of tokens that are not asked about.

    Args:
        backbone: Its folder.
        max_length: The most tokens of a window; 0: what the backbone takes.
        spec: What the snapshot tells of the answers: `labels`, the types of entities.
    """

    threads = 3
    decoding: tuple[str, ...] = ("starts", "ends")

    def __init__(self, backbone: Path, max_length: int, spec: Mapping[str, Any]) -> None:
        self.max_length = max_length_of(backbone, max_length)
        self.row_bytes = 16 * self.max_length
        self.tokenizer = load_tokenizer(backbone)
        self.tokenizer.no_padding()
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(False)
        self.tokenizer.enable_truncation(self.max_length, stride=max(0, min(room - 1, room // _OVERLAP)))
        self._tags = {tag: place for place, tag in enumerate(tags_of(spec["labels"]))}
        lists = pa.list_(pa.int32())
        self.schema = pa.schema(
            [("input_ids", lists), ("length", pa.int32()), ("example", pa.int32()), ("starts", lists), ("ends", lists)]
        )
        self.targets = pa.schema([("tags", lists)])
        self._unreached: list[tuple[int, int, str]] = []  # of each batch: entities, those unreached, the first of them

    def encode(self, inputs: Sequence[Sequence[str]], answers: pa.Array | None = None) -> list[pa.Array]:
        """See `Encoder`."""
        ids, examples, bounds = [], [], []
        for number, encoding in enumerate(self.tokenizer.encode_batch(list(inputs[0]))):
            windows = [encoding, *encoding.overflowing]
            ids += [window.ids for window in windows]
            examples += [number] * len(windows)
            bounds += words_of(windows)
        arrays = [
            pa.array(ids, pa.list_(pa.int32())),
            pa.array([len(row) for row in ids], pa.int32()),
            pa.array(examples, pa.int32()),
            *(pa.array([pair[side].tolist() for pair in bounds], pa.list_(pa.int32())) for side in (0, 1)),
        ]
        if answers is None:
            return arrays
        spans = answers.to_pylist()
        self._unreached.append(unreached(inputs[0], spans, examples, bounds))
        tags = [tags_of_words(*pair, spans[number], self._tags) for number, pair in zip(examples, bounds, strict=True)]
        return [*arrays, pa.array([row.tolist() for row in tags], pa.list_(pa.int32()))]

    def told(self) -> list[str]:
        """See `Telling`: how many entities begin or end within what a token stands for."""
        total, missed = sum(batch[0] for batch in self._unreached), sum(batch[1] for batch in self._unreached)
        if not missed:
            return []
        shown = min(batch[2] for batch in self._unreached if batch[1])
        return [
            f"{missed:,} of {total:,} entities ({missed / total:.1%}) begin or end within what this tokenizer takes "
            f"for one, such as {shown}: no model on it can find them exactly. Mark whole words, or take a backbone "
            "that knows the script"
        ]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, with the windows that were used."""
        self.tokenizer.save(str(folder / "tokenizer.json"))


def unreached(
    texts: Sequence[str],
    spans: Sequence[Sequence[Mapping[str, Any]]],
    examples: Sequence[int],
    bounds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[int, int, str]:
    """Returns how many entities there are, how many no words make up exactly, and one of these with its words.

    Args:
        texts: Of the examples.
        spans: Of each text, its entities.
        examples: Of each window, whose it is.
        bounds: Of each window, see `words_of`.
    """
    words: dict[int, list[tuple[int, int]]] = {}
    for number, (starts, ends) in zip(examples, bounds, strict=True):
        asked = starts != NOWHERE
        words.setdefault(number, []).extend(zip(starts[asked].tolist(), ends[asked].tolist(), strict=True))
    missed: list[str] = []
    for number, text in enumerate(texts):
        if not spans[number]:
            continue
        bare = [bare_word(text, *word) for word in sorted(words.get(number, []))]
        firsts, lasts = {start for start, _ in bare}, {end for _, end in bare}
        for span in spans[number]:
            if span["start"] not in firsts or span["end"] not in lasts:
                touched = [word for word in bare if word[0] < span["end"] and word[1] > span["start"]]
                around = text[touched[0][0] : touched[-1][1]] if touched else ""
                missed.append(f"{text[span['start'] : span['end']][:_SHOWN]!r} in {around[:_SHOWN]!r}")
    return sum(map(len, spans)), len(missed), min(missed, default="")


def bare_word(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns where a word is without the blanks that some tokenizers give it."""
    word = text[start:end]
    return start + len(word) - len(word.lstrip()), end - (len(word) - len(word.rstrip()))


def tags_of_words(
    starts: np.ndarray, ends: np.ndarray, spans: Sequence[Mapping[str, Any]], tags: Mapping[str, int]
) -> np.ndarray:
    """Returns the tag of each token, int32 [tokens]; `IGNORED` where none is asked for.

    A word is of the first span that it has a character in common with. A span is begun by its first word, which may
    stand in an earlier window.

    Args:
        starts: int32 [tokens], the first character of the word that a token stands for; -1 of others.
        ends: int32 [tokens], the character after its last.
        spans: `start`, `end` and `label` of each, in order.
        tags: Places of tags by name.
    """
    found = np.full(len(starts), IGNORED, np.int32)
    asked = np.flatnonzero(starts != NOWHERE)
    found[asked] = tags[OUTSIDE]
    last = 0  # the end of the last word that is taken
    for span in spans:
        first = max(span["start"], last)
        inside = asked[(starts[asked] < span["end"]) & (ends[asked] > first)]
        if len(inside):
            begins = (starts[inside] <= first) | (starts[inside] == starts[inside[0]]) & (span["start"] < last)
            found[inside] = np.where(begins, tags[f"B-{span['label']}"], tags[f"I-{span['label']}"])
            last = int(ends[inside].max())
    return found
