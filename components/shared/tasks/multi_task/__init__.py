"""Several tasks on one network: each has its own answers, loss, metrics and baselines; the backbone is common."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError
from components.shared.modalities import IMAGE, TEXT, Limits, Modality
from components.shared.statistics import Metric, Statistics
from components.shared.tasks import register
from components.shared.tasks.common import OfOneKind
from components.shared.tasks.multi_task.members import Member, Options, members_of
from components.shared.tasks.multi_task.metrics import metrics_of, part_of
from components.shared.tasks.multi_task.samples import things
from components.shared.tasks.multi_task.target import Answers
from components.shared.tasks.scoring import Scoring
from components.shared.tasks.task import Part


@dataclass(frozen=True)
class MultiTask(OfOneKind):
    """Tasks on inputs of one kind that are learned together (Caruana, Multitask Learning, 1997).

    Attributes:
        name: What a job calls it.
        modality: What an input is.
        options: Which tasks; none as long as no job says.
        columns: The fields of `data` in a job that have a default with this task.
        own: The tasks.
    """

    package = __name__
    part = ("class", "recall or F1")
    shared = False
    grouped_by = None
    name: str
    modality: Modality
    options: Options = field(default_factory=Options)
    columns: Mapping[str, Any] = field(default_factory=dict)
    own: tuple[Member, ...] = ()

    def configured(self, options: Options) -> Self:
        """Returns the same task, of other tasks."""
        own = members_of(options, self.name)
        if wrong := [member.name for member in own if member.task.input_type != self.input_type]:
            raise InputError(
                f"{self.name} reads {self.modality.name}s, and tasks.{wrong[0]} is of another kind. Leave task out: it "
                "follows from the tasks."
            )
        return dataclasses.replace(self, options=options, own=own)

    @property
    def input_counts(self) -> tuple[int, ...]:
        """How many input columns all of the tasks take."""
        counts = [set(member.task.input_counts) for member in self.own] or [{1, 2} if self.modality is TEXT else {1}]
        return tuple(sorted(set.intersection(*counts)))

    @property
    def target(self) -> Answers:
        """An answer for each task."""
        return Answers(self.own)

    @property
    def prediction(self) -> pa.Schema:
        """A column for each task: a struct of what it answers."""
        return pa.schema([pa.field(one.name, pa.struct(list(one.task.prediction))) for one in self.own])

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean score first, then what each task is judged by."""
        return metrics_of(self.own)

    @property
    def members(self) -> tuple[Part, ...]:
        """See `components.shared.tasks.task.Composite`."""
        return tuple(Part(member.name, member.task, member.metric) for member in self.own)

    def of_member(self, statistics: Statistics, name: str) -> Statistics:
        """See `components.shared.tasks.task.Composite`."""
        return part_of(statistics, name)

    @property
    def scoring(self) -> Scoring:
        """That of each task."""
        from components.shared.tasks.multi_task.scoring import MultiTaskScoring

        return MultiTaskScoring(self.own)

    def surely_fit(self, columns: Sequence[pa.Array], limits: Limits) -> np.ndarray:
        """Tells at a glance which inputs are not rejected: bool [rows]."""
        return self.modality.surely_fit(columns, limits)

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Those of each task, fitted apart."""
        from components.shared.tasks.multi_task.baselines import baselines_of  # scikit-learn

        return baselines_of(self.own, train, validation, test, terms)

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows of texts that can be learned (columns `input_1`, `kind` and `size`)."""
        return things(count, seed)


TASK = register(MultiTask("multi-task", TEXT))
register(MultiTask("image-multi-task", IMAGE, columns={"inputs": ["image"]}))
