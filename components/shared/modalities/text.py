"""Texts: checked, and turned into the token ids of a backbone's own tokenizer."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.backbones.panic import told_of_panic
from components.shared.backbones.tokenizer import load_tokenizer, max_length_of
from components.shared.errors import InputError
from components.shared.modalities.modality import Encoding, Limits

# First bytes of texts that may be blank: of ASCII's blanks, and of those that Unicode has beyond (U+0085, U+00A0,
# U+1680, U+2000 and following, U+3000).
_MAY_BE_BLANK = np.isin(np.arange(256), [*range(33), 0xC2, 0xE1, 0xE2, 0xE3])


class Text:
    """A text; some tasks take two of them."""

    name = "text"
    type = pa.string()

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Rejects what is no text, is empty, is no valid UTF-8, or is longer than a text can be."""
        for value in inputs:
            if isinstance(value, str) and value.isascii() and value.strip() and len(value) <= limits.max_characters:
                continue  # as most are
            if value is None or (isinstance(value, str) and not value.strip()):
                return "empty input"
            if not isinstance(value, str):
                return f"input is no text ({type(value).__name__})"
            if len(value) > limits.max_characters:
                return f"input longer than {limits.max_characters} characters"
            if not _is_utf8(value):
                return "invalid UTF-8"
        return None

    def surely_fit(self, columns: Sequence[pa.Array], limits: Limits) -> np.ndarray:
        """Tells texts that are there, begin with no blank, and are short in bytes, too."""
        fit = np.ones(len(columns[0]), bool)
        for column in columns:
            ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
            data = np.frombuffer(column.buffers()[2] or b" ", np.uint8)
            lengths = np.diff(ends)
            fit &= ~_MAY_BE_BLANK[data[np.minimum(ends[:-1], len(data) - 1)]]
            fit &= (lengths > 0) & (lengths <= limits.max_characters)
            if column.null_count:
                fit &= column.is_valid().to_numpy(zero_copy_only=False)
        return fit

    def encoder(self, backbone: Backbone, encoding: Encoding, task: str) -> "TextEncoder":
        """Returns an encoder with the backbone's own tokenizer."""
        if backbone.family != "transformers":
            raise InputError(
                f"The backbone {backbone.name!r} is a vision model of {backbone.family}: it has no tokenizer. "
                f"{task} needs a language model of transformers, such as google-bert/bert-base-uncased."
            )
        return TextEncoder(backbone.folder, encoding.inputs, encoding.max_length)


class TextEncoder:
    """Token ids of the backbone's fast tokenizer: truncated, not padded; the batches of many cores at once.

    Columns: `input_ids` list<int32>; `token_type_ids` list<int8> for a pair where the backbone tells its two texts
    apart by them; `length` int32, in tokens.
    """

    threads = 3  # the tokenizer has its own; while they are at one batch, Python turns another into Arrow

    def __init__(self, backbone: Path, inputs: int, max_length: int) -> None:
        self.max_length = max_length_of(backbone, max_length)
        self.row_bytes = 4 * self.max_length
        self.tokenizer = load_tokenizer(backbone)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.max_length)
        config = json.loads((backbone / "config.json").read_text("utf-8"))
        columns = {"input_ids": pa.list_(pa.int32())}
        if inputs == 2 and (config.get("type_vocab_size") or 0) > 1:
            columns["token_type_ids"] = pa.list_(pa.int8())
        self.schema = pa.schema({**columns, "length": pa.int32()})

    def encode(self, inputs: Sequence[Sequence[str]]) -> list[pa.Array]:
        """Encodes a batch of texts, or of pairs.

        Raises:
            TokenizerError: The tokenizer broke down on one.
        """
        batch = list(inputs[0]) if len(inputs) == 1 else list(zip(*inputs, strict=True))
        with told_of_panic():
            encodings = self.tokenizer.encode_batch_fast(batch)
        ids = [encoding.ids for encoding in encodings]
        arrays = [_lists(ids, np.int32)]
        if "token_type_ids" in self.schema.names:
            arrays.append(_lists([encoding.type_ids for encoding in encodings], np.int8))
        return [*arrays, pa.array([len(item) for item in ids], pa.int32())]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, with the truncation that was used."""
        self.tokenizer.save(str(folder / "tokenizer.json"))


def _lists(values: list[list[int]], kind: type[np.integer[Any]]) -> pa.ListArray:
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(item) for item in values], out=offsets[1:])
    flat = np.fromiter(itertools.chain.from_iterable(values), kind, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


TEXT = Text()
