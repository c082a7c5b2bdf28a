"""Questions with their texts as token ids, and answers as the tokens they begin and end with; long texts in windows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.backbones.panic import told_of_panic
from components.shared.backbones.segments import SEGMENTS, segments_of
from components.shared.backbones.tokenizer import load_tokenizer, max_length_of
from components.shared.tasks.question_answering.windows import NOWHERE, context_of, question_room, shortener

NO_ANSWER = 0
"""The token that stands for "no answer here": the first one."""

_OVERLAP = 3  # of a window, the part that it has in common with the next


class AnswerEncoder:
    """Token ids of question and context; of a long context several windows.

    Columns: `input_ids` list<int32>; `token_type_ids` list<int8> where the backbone tells its two texts apart by them;
    `segments` list<int8>, which the head tells them apart by: 1 is the question, 2 the context;
    `length` int32, in tokens; `example` int32, whose window it is; to decode, `starts` and `ends` list<int32>: where
    each token of the context begins and ends, in characters, else -1.
    Targets: `start` and `end` int32, the answer's first and last token, both 0 where none stands in this window;
    `window` int32, which of its example's windows it is, from 0.

    Args:
        backbone: Its folder.
        max_length: The most tokens of a window; 0: what the backbone takes.
    """

    threads = 3
    decoding: tuple[str, ...] = ("starts", "ends")

    def __init__(self, backbone: Path, max_length: int) -> None:
        self.max_length = max_length_of(backbone, max_length)
        self.row_bytes = 16 * self.max_length
        self.tokenizer = load_tokenizer(backbone)
        self.tokenizer.no_padding()
        special = self.tokenizer.num_special_tokens_to_add(True)
        least = self.max_length - special - question_room(self.max_length, special)
        stride = max(0, min(least - 1, least // _OVERLAP))
        self.tokenizer.enable_truncation(self.max_length, stride=stride, strategy="only_second")
        self._shortened = shortener(self.tokenizer)
        config = json.loads((backbone / "config.json").read_text("utf-8"))
        lists = pa.list_(pa.int32())
        columns: list[tuple[str, pa.DataType]] = [("input_ids", lists)]
        if (config.get("type_vocab_size") or 0) > 1:
            columns.append(("token_type_ids", pa.list_(pa.int8())))
        columns.append((SEGMENTS, pa.list_(pa.int8())))
        told = [("length", pa.int32()), ("example", pa.int32()), ("starts", lists), ("ends", lists)]
        self.schema = pa.schema([*columns, *told])
        self.targets = pa.schema([("start", pa.int32()), ("end", pa.int32()), ("window", pa.int32())])

    def encode(self, inputs: Sequence[Sequence[str]], answers: pa.Array | None = None) -> list[pa.Array]:
        """See `Encoder`."""
        with told_of_panic():
            encodings = self.tokenizer.encode_batch(self._shortened(list(zip(*inputs, strict=True))))
        windows, examples = [], []
        for number, encoding in enumerate(encodings):
            own = [encoding, *encoding.overflowing]
            windows += own
            examples += [number] * len(own)
        bounds = [context_of(window) for window in windows]
        arrays = {
            "input_ids": [window.ids for window in windows],
            "token_type_ids": [window.type_ids for window in windows],
            SEGMENTS: [segments_of(window) for window in windows],
            "length": [len(window.ids) for window in windows],
            "example": examples,
            "starts": [starts.tolist() for starts, _ in bounds],
            "ends": [ends.tolist() for _, ends in bounds],
        }
        found = [pa.array(arrays[column.name], column.type) for column in self.schema]
        if answers is None:
            return found
        told = answers.to_pylist()
        places = [place_of(*pair, told[number]) for number, pair in zip(examples, bounds, strict=True)]
        firsts = np.searchsorted(examples, examples)
        columns = [*zip(*places, strict=True)] or [(), ()]
        return [*found, *(pa.array(column, pa.int32()) for column in (*columns, np.arange(len(examples)) - firsts))]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, with the windows that were used."""
        self.tokenizer.save(str(folder / "tokenizer.json"))


def place_of(starts: np.ndarray, ends: np.ndarray, answers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Returns the first and the last token of the first answer that stands whole in a window; else `NO_ANSWER`.

    Args:
        starts: int32 [tokens], see `context_of`.
        ends: int32 [tokens].
        answers: `text` and `start` of each.
    """
    for answer in answers:
        first, last = answer["start"], answer["start"] + len(answer["text"])
        within = np.flatnonzero((starts != NOWHERE) & (starts < last) & (ends > first))
        known = starts != NOWHERE
        if len(within) and starts[known].min() <= first and ends.max() >= last:
            return int(within[0]), int(within[-1])
    return NO_ANSWER, NO_ANSWER
