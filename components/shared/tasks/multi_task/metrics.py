"""The metrics of several tasks: those of each, on the examples that have an answer for it, and a mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.shared.statistics import Metric, Statistics
from components.shared.statistics.metric import Described
from components.shared.tasks.multi_task.members import Member

LABELLED = "labelled"


@dataclass(frozen=True)
class OfMember(Described):
    """A metric of one task.

    Attributes:
        member: The task's name.
        of: The metric, of the task's own statistics.
    """

    member: str = ""
    of: Metric | None = None

    def applies(self, statistics: Statistics) -> bool:
        """Whether it does to that task's."""
        assert self.of is not None, "it has one"
        return self.of.applies(part_of(statistics, self.member))

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where none of its examples has an answer."""
        assert self.of is not None, "it has one"
        there, own = statistics[f"{self.member}.{LABELLED}"], part_of(statistics, self.member)
        if not len(own):
            return np.full(1 if weights is None else len(weights), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.of.value(own, None if weights is None else weights[:, there])


@dataclass(frozen=True)
class MeanScore(Described):
    """The mean of what each task is judged by, by their weights; of a metric of which less is better minus it.

    Attributes:
        parts: The metric of each task.
        weights: Of the tasks.
    """

    parts: tuple[OfMember, ...] = ()
    weights: tuple[float, ...] = ()

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where one of them is."""
        if not self.parts:
            return np.full(1 if weights is None else len(weights), np.nan)
        values = [part.direction * part.value(statistics, weights) for part in self.parts]
        return np.asarray(np.average(values, axis=0, weights=self.weights))


def part_of(statistics: Statistics, member: str, whole: bool = False) -> Statistics:
    """Returns the statistics of one task, of the examples that have an answer for it; or of all."""
    start, there = f"{member}.", statistics[f"{member}.{LABELLED}"] | whole
    own = {
        name.removeprefix(start): array[there]
        for name, array in statistics.arrays.items()
        if name.startswith(start) and name != start + LABELLED
    }
    sizes = {name.removeprefix(start): size for name, size in statistics.sizes.items() if name.startswith(start)}
    return Statistics(own, sizes, None if statistics.groups is None else statistics.groups[there])


def metrics_of(members: Sequence[Member]) -> tuple[Metric, ...]:
    """Returns the mean, then what each task is judged by, then the others, which decide nothing."""
    first = tuple(_of_member(member, member.metric, decides=True) for member in members)
    others = [
        _of_member(member, metric, decides=False)
        for member in members
        for metric in member.task.metrics
        if metric is not member.metric
    ]
    return (_mean_of(members, first), *first, *others)


def _mean_of(members: Sequence[Member], parts: tuple[OfMember, ...]) -> MeanScore:
    weights = tuple(member.weight for member in members)
    bounds = [sorted(part.direction * end for end in part.bounds) for part in parts] or [[0.0, 1.0]]
    ends = [float(np.average(side, weights=weights or None)) for side in zip(*bounds, strict=True)]
    return MeanScore(
        "mean_score", "mean score", "Mean score", tuple(dict.fromkeys(name for part in parts for name in part.columns)),
        bounds=(ends[0], ends[1]), resamples=min((part.resamples for part in parts), default=1_000),
        parts=parts, weights=weights,
    )  # fmt: skip


def _of_member(member: Member, metric: Metric, decides: bool) -> OfMember:
    return OfMember(
        f"{member.name}.{metric.name}",
        f"{metric.title} of {member.name}",
        f"{member.name}: {metric.heading or metric.title}" if decides else "",
        (f"{member.name}.{LABELLED}", *(f"{member.name}.{column}" for column in metric.columns)),
        direction=metric.direction,
        bounds=metric.bounds,
        unit=metric.unit,
        decides=decides,
        resamples=metric.resamples,
        member=member.name,
        of=metric,
    )
