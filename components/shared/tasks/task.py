"""The contract of a task: all that differs between tasks is behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.modalities import Encoder, Encoding, Limits
from components.shared.statistics import Metric, Statistics
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.target import Target


@dataclass(frozen=True)
class NoOptions:
    """Of a task that has none."""


class Task(Protocol):
    """What is learned. Everything that differs between tasks is behind these few members."""

    @property
    def name(self) -> str:
        """What a job calls it."""

    @property
    def package(self) -> str:
        """The package that holds its heavy files: `head.py`, which goes with a model, and `objective.py`."""

    @property
    def prediction(self) -> pa.Schema:
        """What a model answers: the columns of its head's `decode`, of a served model, of `graft predict`."""

    @property
    def input_counts(self) -> tuple[int, ...]:
        """How many input columns it takes."""

    @property
    def input_type(self) -> pa.DataType:
        """What an input is: `pa.string()`, or `pa.binary()` (an encoded file)."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """The fields of `data` in a job that have a default with this task (`inputs`, `label`)."""

    @property
    def options(self) -> Any:
        """Its options, a frozen dataclass: what a job may set under `task_args`, with defaults."""

    def configured(self, options: Any) -> Self:
        """Returns the same task with other options, of the same class.

        Raises:
            InputError: One is wrong.
        """

    @property
    def target(self) -> Target:
        """What an answer is."""

    @property
    def shared(self) -> bool:
        """Whether it can share a network with others: its head is a linear layer on one vector of an example."""

    @property
    def grouped_by(self) -> int | None:
        """Which of the inputs is never parted: examples that share it stay in one split. None: each is dealt alone."""

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns what columns hold as inputs; mostly they are. What is none is left to `reason_to_reject`."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What predictions are judged by; the first is primary: gate, baselines, slices and tables tell it."""

    @property
    def part(self) -> tuple[str, str]:
        """What the examples are parted by, and the metric of a part ("class", "recall"): see `Scoring.breakdown`."""

    @property
    def scoring(self) -> Scoring:
        """What evaluate asks of it: loaded when it is asked for."""

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns the encoder that goes with a backbone.

        Raises:
            InputError: The backbone cannot eat such inputs.
        """

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Fits classical models on raw inputs; what there is to choose is chosen on validation examples.

        Args:
            train: What they learn from.
            validation: What is chosen and calibrated on; there may be none.
            test: Raw inputs (a sequence for each column) of the examples that are predicted.
            terms: By what they are fitted.

        Yields:
            One after the other, so that one that fails does not lose those before it.
        """

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""


class Part(NamedTuple):
    """One of the tasks that a task is made of: what the job calls it, the task, and by what it is judged."""

    name: str
    task: Task
    metric: Metric


@runtime_checkable
class Composite(Protocol):
    """A task that is made of others, each compared with baselines and champion by its own metric."""

    @property
    def members(self) -> tuple[Part, ...]:
        """The tasks; of their answers `spec_of` tells under `tasks`, by name."""

    def of_member(self, statistics: Statistics, name: str) -> Statistics:
        """Returns the statistics of one of them, of the examples that have an answer for it."""


def metric_of(task: Task, name: str = "") -> Metric:
    """Returns a metric that a job may promote by; the task's primary one for "".

    Raises:
        InputError: There is none of that name.
    """
    allowed = {metric.name: metric for metric in task.metrics if metric.decides}
    if not name:
        return task.metrics[0]
    if not isinstance(name, str) or name not in allowed:
        raise InputError(
            f"promotion.metric is {name!r}; allowed: {quote_all(list(allowed))}.{did_you_mean(str(name), allowed)}"
        )
    return allowed[name]
