"""text-classification: one text, or a pair of texts, belongs to one of several classes."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.backbones.panic import told_of_panic
from components.shared.backbones.tokenizer import load_tokenizer, max_length_of
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError
from components.shared.tasks import Encoding, Limits, register


class TextClassification:
    """One text, or a pair (entailment, paraphrase, does-this-answer-that), into one of two or more classes."""

    name = "text-classification"
    input_counts = (1, 2)
    input_type = pa.string()
    columns: Mapping[str, Any] = {}

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

    def encoder(self, backbone: Backbone, encoding: Encoding) -> "TextEncoder":
        """Returns an encoder with the backbone's own tokenizer."""
        if backbone.family != "transformers":
            raise InputError(
                f"The backbone {backbone.name!r} is a vision model of {backbone.family}: it has no tokenizer. "
                f"{self.name} needs a language model of transformers, such as google-bert/bert-base-uncased."
            )
        return TextEncoder(backbone.folder, encoding.inputs, encoding.max_length)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[str]], terms: Terms
    ) -> Iterator[Baseline]:
        """TF-IDF of words and of characters; for pairs what they share beside it. See `components.shared.baselines`."""
        from components.shared.baselines.texts import text_baselines  # scikit-learn

        return text_baselines(train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Short sentences about kitchens or ships: the class is told by two words out of eight."""
        words = {"kitchen": "pan oven salt knife soup flour", "ship": "sail mast deck anchor harbour tide"}
        filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            label = ("kitchen", "ship")[number % 2]
            text = [*draw.choice(filler, 6), *draw.choice(words[label].split(), 2)]
            rows.append({"input_1": " ".join(draw.permutation(text)) + f" {number}", "label": label})
        return rows


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


register(TextClassification())
