"""Questions with their texts as token ids, and answers as the tokens they begin and end with; long texts in windows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.backbones.tokenizer import load_tokenizer, max_length_of

NOWHERE = -1
"""Where a token is none of the context."""

NO_ANSWER = 0
"""The token that stands for "no answer here": the first one."""

_OVERLAP = 3  # of a window, the part that it has in common with the next
_LEAST = 16  # tokens that a window has for the context


class AnswerEncoder:
    """Token ids of question and context; of a long context several windows.

    Columns: `input_ids` list<int32>; `token_type_ids` list<int8> where the backbone tells its two texts apart by them;
    `length` int32, in tokens; `example` int32, whose window it is; to decode, `starts` and `ends` list<int32>: where
    each token of the context begins and ends, in characters, else -1.
    Targets: `start` and `end` int32, the answer's first and last token; both 0 where none stands in this window.

    Args:
        backbone: Its folder.
        max_length: The most tokens of a window; 0: what the backbone takes.
    """

    threads = 3
    decoding: tuple[str, ...] = ("starts", "ends")

    def __init__(self, backbone: Path, max_length: int) -> None:
        self.max_length = max_length_of(backbone, max_length)
        self.row_bytes = 16 * self.max_length
        self.tokenizer, self._whole = load_tokenizer(backbone), load_tokenizer(backbone)
        self.tokenizer.no_padding()
        self._whole.no_padding()
        self._whole.no_truncation()
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(True)
        # A question may have what is left of a window beside a context that can hold an answer.
        self._question = max(1, room - max(_LEAST, room // 2))
        least = room - self._question
        stride = max(0, min(least - 1, least // _OVERLAP))
        self.tokenizer.enable_truncation(self.max_length, stride=stride, strategy="only_second")
        config = json.loads((backbone / "config.json").read_text("utf-8"))
        lists = pa.list_(pa.int32())
        columns: list[tuple[str, pa.DataType]] = [("input_ids", lists)]
        if (config.get("type_vocab_size") or 0) > 1:
            columns.append(("token_type_ids", pa.list_(pa.int8())))
        told = [("length", pa.int32()), ("example", pa.int32()), ("starts", lists), ("ends", lists)]
        self.schema = pa.schema([*columns, *told])
        self.targets = pa.schema([("start", pa.int32()), ("end", pa.int32())])

    def encode(self, inputs: Sequence[Sequence[str]], answers: pa.Array | None = None) -> list[pa.Array]:
        """See `Encoder`."""
        pairs = list(zip(self._shortened(inputs[0]), inputs[1], strict=True))
        windows, examples = [], []
        for number, encoding in enumerate(self.tokenizer.encode_batch(pairs)):
            own = [encoding, *encoding.overflowing]
            windows += own
            examples += [number] * len(own)
        bounds = [context_of(window) for window in windows]
        arrays = {
            "input_ids": [window.ids for window in windows],
            "token_type_ids": [window.type_ids for window in windows],
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
        return [*found, *(pa.array([place[side] for place in places], pa.int32()) for side in (0, 1))]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, with the windows that were used."""
        self.tokenizer.save(str(folder / "tokenizer.json"))

    def _shortened(self, questions: Sequence[str]) -> list[str]:
        """Returns questions without what is longer than there is room for, beside a part of the context."""
        limit, found = self._question, []
        encodings = self._whole.encode_batch(list(questions), add_special_tokens=False)
        for question, encoding in zip(questions, encodings, strict=True):
            found.append(question if len(encoding.ids) <= limit else question[: encoding.offsets[limit - 1][1]])
        return found


def context_of(window: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each token of the context begins and ends in characters, int32 [tokens]; `NOWHERE` for others."""
    offsets = np.array(window.offsets, np.int32).reshape(-1, 2)
    inside = np.array([sequence == 1 for sequence in window.sequence_ids], bool) & (offsets[:, 1] > offsets[:, 0])
    return np.where(inside, offsets[:, 0], NOWHERE), np.where(inside, offsets[:, 1], NOWHERE)


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
