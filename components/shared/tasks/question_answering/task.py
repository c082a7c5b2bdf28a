"""Extractive question answering: the part of a text that answers a question, or none."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.errors import InputError
from components.shared.modalities import TEXT, Encoding, Limits
from components.shared.tasks.question_answering.encoder import AnswerEncoder
from components.shared.tasks.question_answering.samples import inventories
from components.shared.tasks.question_answering.target import Answers, Options


@dataclass(frozen=True)
class QuestionAnswering:
    """Question and context, and where in the context the answer stands.

    Attributes:
        name: What a job calls it.
        options: What a job may say under `task_args`.
        input_type: Texts.
        input_counts: Two columns: question and context.
        columns: Those of SQuAD.
        grouped_by: The context: all questions on one stay in one split.
    """

    name: str = "question-answering"
    options: Options = field(default_factory=Options)
    input_type: pa.DataType = field(default_factory=pa.string)
    input_counts: tuple[int, ...] = (2,)
    columns: Mapping[str, Any] = field(default_factory=lambda: {"inputs": ["question", "context"], "label": "answers"})
    grouped_by: int | None = 1

    @property
    def target(self) -> Answers:
        """Answers, by the task's options."""
        return Answers(self.options)

    def configured(self, options: Options) -> Self:
        """Returns the same task with other options."""
        return dataclasses.replace(self, options=options)

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns what columns hold: question and context."""
        return values

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's texts cannot be used, or None where they can."""
        return TEXT.reason_to_reject(inputs, limits)

    def encoder(self, backbone: Backbone, encoding: Encoding) -> AnswerEncoder:
        """Returns the encoder that goes with a backbone."""
        if backbone.family != "transformers":
            raise InputError(
                f"The backbone {backbone.name!r} is a vision model of {backbone.family}: it has no tokenizer. "
                f"{self.name} needs a language model of transformers, such as deepset/roberta-base-squad2."
            )
        return AnswerEncoder(backbone.folder, encoding.max_length)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, `input_2`, `label`), to try the chain on."""
        return inventories(count, seed)
