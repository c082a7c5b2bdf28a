"""Token classification: entities in a text, or in its words."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.errors import InputError
from components.shared.modalities import TEXT, Encoding, Limits
from components.shared.tasks.token_classification.encoder import TokenEncoder
from components.shared.tasks.token_classification.samples import names
from components.shared.tasks.token_classification.target import Entities, Options, words_in


@dataclass(frozen=True)
class TokenClassification:
    """Spans of a text are entities of some type.

    Attributes:
        name: What a job calls it.
        options: What a job may say under `task_args`.
        input_type: A text.
        input_counts: One column, of texts or of lists of words.
        columns: Those of words with tags, where a table has them.
        grouped_by: Nothing: each text is dealt alone.
    """

    name: str = "token-classification"
    options: Options = field(default_factory=Options)
    input_type: pa.DataType = field(default_factory=pa.string)
    input_counts: tuple[int, ...] = (1,)
    columns: Mapping[str, Any] = field(default_factory=lambda: {"inputs": ["tokens"]})
    grouped_by: int | None = None

    @property
    def target(self) -> Entities:
        """Entities, by the task's options."""
        return Entities(self.options)

    def configured(self, options: Options) -> Self:
        """Returns the same task with other options."""
        return dataclasses.replace(self, options=options)

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns texts: words are joined."""
        words = words_in(values[0])
        return values if words is None else [self.options.joiner.join(words)]

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's text cannot be used, or None where it can."""
        return TEXT.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> TokenEncoder:
        """Returns the encoder that goes with a backbone."""
        if backbone.family != "transformers":
            raise InputError(
                f"The backbone {backbone.name!r} is a vision model of {backbone.family}: it has no tokenizer. "
                f"{self.name} needs a language model of transformers, such as google-bert/bert-base-cased."
            )
        return TokenEncoder(backbone.folder, encoding.max_length, encoding.spec)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1` and `label`), to try the chain on."""
        return names(count, seed)
