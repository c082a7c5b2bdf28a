"""What a network answers to examples of features, as its task tells it: the columns of a prediction."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from components.finetune.learning.device import Autocast
from components.finetune.learning.examples import Examples
from components.finetune.learning.learners import Direct, outputs_of
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.snapshot import read_batches
from components.shared.backbones.network import Network

_CHUNK = 16384  # examples at once

Inputs = Callable[[int, int], Sequence[tuple[Any, ...]]]
"""Returns the raw inputs of some examples, from one number up to another."""


@dataclass(frozen=True)
class Answers:
    """Makes predictions of a split's examples.

    Attributes:
        schema: The columns of the task's prediction.
        inputs: Raw ones, for what repeats some of them; without a snapshot they are empty.
    """

    schema: pa.Schema
    inputs: Inputs

    def tables(self, network: Network, examples: Examples, batch_size: int, autocast: Autocast) -> Iterator[pa.Table]:
        """Yields tables of predictions, one line an example, in order."""
        rows = examples.split.examples  # of windows several are of one example
        for start in range(0, int(rows[-1]) + 1 if len(rows) else 0, _CHUNK):
            first, last = np.searchsorted(rows, [start, start + _CHUNK])
            numbers = np.arange(first, last)
            part = replace(examples, numbers=numbers)
            outputs = outputs_of(network, Direct(part), batch_size, autocast)
            ends = np.cumsum(part.lengths)[:-1]
            of_tokens = network.head.level == "tokens"
            lists = {name: np.split(values, ends) if of_tokens else list(values) for name, values in outputs.items()}
            extras: dict[str, Any] = {**part.split.take_lists(numbers), "example": rows[numbers] - start}
            extras["inputs"] = self.inputs(start, int(rows[last - 1]) + 1)
            columns = network.head.decode(lists, defaultdict(list, extras))
            yield pa.table({field.name: pa.array(columns[field.name], field.type) for field in self.schema})


def inputs_of(snapshot: Artifact | None, split: str) -> Inputs:
    """Returns what reads the raw inputs of a split's examples; empty texts where there is no snapshot, or are pictures.

    An answer repeats parts of texts; thousands of photographs would not fit into the memory, and nobody asks for them.
    """
    if snapshot is None or pa.types.is_binary(_input_type(snapshot)):
        return lambda start, stop: [("",)] * (stop - start)

    def read(start: int, stop: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for batch in read_batches(snapshot, split):
            names = [name for name in batch.schema.names if name.startswith("input_")]
            found += zip(*(batch.column(name).to_pylist() for name in names), strict=True)
            if len(found) >= stop:
                break
        return found[start:stop]

    return read


def _input_type(snapshot: Artifact) -> pa.DataType:
    return tasks.get(snapshot.read_json("snapshot.json")["task"]).input_type
