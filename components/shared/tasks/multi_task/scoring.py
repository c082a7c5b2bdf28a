"""What evaluate asks of several tasks: each is scored by its own, on the examples that have an answer for it.

A prediction is a tuple, a prediction of each task; a target a mapping of their names to their values, or None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics, measure
from components.shared.tasks.multi_task.members import Member
from components.shared.tasks.multi_task.metrics import LABELLED, part_of
from components.shared.tasks.multi_task.target import own_counts
from components.shared.tasks.scoring import Breakdown, CommonScoring, Mistake, Scored, Section, Spec

BAD = "badness"
SAME = "The same for all"


@dataclass(frozen=True)
class MultiTaskScoring(CommonScoring):
    """A mistake is an example that some task has wrong; numbers that are a deviation off are half as bad as can be.

    Attributes:
        members: The tasks, in order.
    """

    members: tuple[Member, ...]

    mistakes = (
        "Worst mistakes",
        "Of {wrong:,} of {all:,} {what} an answer is not as it is labelled; these {shown} are the worst. Wrong labels "
        "in the data show up here first.",
        "None: every {one} is predicted as it is labelled. Look whether the labels are in the input before you believe "
        "it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns the values as they are: mappings, object [examples]."""
        return objects_of(values)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns what the columns of the tasks say, each of mappings."""
        found = []
        for member in self.members:
            rows = list(columns[member.name])
            own = {name: [row[name] for row in rows] for name in member.task.prediction.names}
            found.append(member.task.scoring.read(own, _own(spec, member)))
        return together(found)

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """What a task finds wrong with its own."""
        if len(predictions) != size:
            return f"gave no {size:,} answers"
        for number, member in enumerate(self.members):
            fault = member.task.scoring.fault(apart(predictions, number), size, _own(spec, member))
            if fault:
                return f"{fault} for {member.name}"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of each task, after its name and a dot.

        Beside them stands `NAME.labelled`, whether an example has an answer (those of others are told as if they had
        another's, and count nowhere), and `NAME.badness`, how bad the prediction is, 0 to 1.
        """
        arrays: dict[str, np.ndarray] = {}
        sizes: dict[str, int] = {}
        for number, member in enumerate(self.members):
            there = np.array([target[member.name] is not None for target in targets], bool)
            scoring, own = member.task.scoring, _own(spec, member)
            known = None if learned is None else _own(learned, member)
            rows = np.ones(len(there), bool) if there.any() else there  # of a batch without an answer nothing is told
            truth = scoring.targets(_filled([target[member.name] for target in targets[rows]]), own)
            found = scoring.score(apart(predictions, number)[rows], truth, own, known)
            told = {**found.arrays, BAD: _badness(scoring.worst(found), own)} if learned is None else found.arrays
            arrays |= {f"{member.name}.{name}": _spread(array, rows) for name, array in told.items()}
            arrays[f"{member.name}.{LABELLED}"] = there
            sizes |= {f"{member.name}.{name}": size for name, size in found.sizes.items()}
        return Statistics(arrays, sizes)

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of the tasks' columns, as `read` takes them."""
        arrays: dict[str, np.ndarray] = {}
        for member in self.members:
            there, own = whole[f"{member.name}.{LABELLED}"], part_of(whole, member.name)
            rows = list(columns[member.name][there])
            told = {name: objects_of([row[name] for row in rows]) for name in member.task.prediction.names}
            found = member.task.scoring.kept(told, own, _own(spec, member))
            arrays |= {f"{member.name}.{name}": _spread(array, there) for name, array in found.arrays.items()}
            arrays[f"{member.name}.{LABELLED}"] = there
        return Statistics(arrays, whole.sizes)

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns the columns of each task, after its name and a dot."""
        found: dict[str, pa.Array] = {}
        for number, member in enumerate(self.members):
            own = part_of(statistics, member.name, whole=True)
            told = member.task.scoring.columns(apart(predictions, number), own, _own(spec, member))
            is_told = statistics[f"{member.name}.{LABELLED}"].any()
            found |= {
                f"{member.name}.{name}": array if is_told else pa.nulls(len(own), array.type)
                for name, array in told.items()
            }
        return found

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns what predicts the same for all, of each task."""
        found = []
        for member in self.members:
            values = [target[member.name] for target in targets if target[member.name] is not None]
            own, mine = _own(spec, member), own_counts(member, {"train": counts})["train"]
            truth = member.task.scoring.targets(values, own)
            found.append(member.task.scoring.constant(truth, mine, own, size))
        what = "; ".join(f"{member.name}: {one.name}" for member, one in zip(self.members, found, strict=True))
        predictions = together([one.predictions for one in found])
        names = {member.name: one.name for member, one in zip(self.members, found, strict=True)}
        return Baseline(SAME, what, predictions, sum(one.bytes for one in found), 0.0, len(targets), names)

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns the parts of each task, after its name."""
        found = [
            (member, member.task.scoring.breakdown(part_of(statistics, member.name), _own(spec, member)))
            for member in self.members
        ]
        return Breakdown(
            [member.prefix + name for member, parts in found for name in parts.names],
            np.concatenate([parts.support for _, parts in found]),
            np.concatenate([parts.values for _, parts in found]),
        )

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns `tasks`: of each its `metrics`, how many `examples` have an answer, and what it tells of itself."""
        found = {}
        for member in self.members:
            own = part_of(scored.statistics, member.name)
            told = member.task.scoring.details(Scored(own, _own(scored.spec, member), scored.file))
            known = {"task": member.task.name, "weight": member.weight, "primary": member.metric.name}
            found[member.name] = {**known, "examples": len(own), "metrics": measure(member.task.metrics, own), **told}
        return {"tasks": found}

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns how bad the worst answer is, 0 to 1."""
        return np.where((bad := self._bad(statistics)).max(1) > 0, bad.max(1), np.nan)

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns what each task predicts that is not as it is labelled, the worst first."""
        one = statistics.take(np.array([place]))
        bad = self._bad(one)[0]
        order = [number for number in np.argsort(-bad, kind="stable").tolist() if bad[number] > 0]
        views = []
        for member in (self.members[number] for number in order):
            views.append((member, member.task.scoring.view(part_of(one, member.name), 0, _own(spec, member))))
        said = [(f"{member.name}: {word}" if not n else word, value)
                for member, view in views for n, (word, value) in enumerate(view.said)]  # fmt: skip
        member, first = views[0]
        return Mistake(first.badge, f"{member.name}: {first.title}", said)

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns the sections of each task, after one another, under its name."""
        found = []
        for member in self.members:
            told = content["tasks"][member.name]
            scores = [(metric.title, told["metrics"].get(metric.name)) for metric in member.task.metrics]
            context = {"name": member.name, "told": told, "judged": member.metric, "scores": scores}
            found.append(Section("member.html.j2", context))
            for section in member.task.scoring.sections(told, folds):
                context = {"name": member.name, "told": told, "template": section.template, "context": section.context}
                found.append(Section("part.html.j2", context, section.beside))
        return found

    def _bad(self, statistics: Statistics) -> np.ndarray:
        """Returns how bad each answer is, float [examples, tasks]; 0 where there is none to compare it with."""
        told = (statistics[f"{one.name}.{BAD}"] * statistics[f"{one.name}.{LABELLED}"] for one in self.members)
        return np.stack(list(told), axis=1)


def objects_of(values: Sequence[Any]) -> np.ndarray:
    """Returns an array of objects, [values], whatever they are."""
    found = np.empty(len(values), object)
    for place, value in enumerate(values):
        found[place] = value
    return found


def together(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Returns predictions of each task as one of all, object [examples]."""
    return objects_of(list(zip(*predictions, strict=True)))


def apart(predictions: np.ndarray, number: int) -> np.ndarray:
    """Returns the predictions of one task, of those of all."""
    return np.array([row[number] for row in predictions])


def _own(spec: Spec, member: Member) -> Spec:
    found: Spec = spec["tasks"][member.name]
    return found


def _spread(array: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Returns values of some examples at the places of these, among zeros."""
    found = np.zeros((len(there), *array.shape[1:]), array.dtype)
    found[there] = array
    return found


def _badness(worst: np.ndarray, spec: Spec) -> np.ndarray:
    """Returns how bad predictions are, 0 to 1: what is measured in a unit by the deviation of what is learned."""
    bad = np.nan_to_num(worst.astype(np.float64))
    return bad / (bad + spec["deviation"]) if "deviation" in spec else bad


def _filled(values: Sequence[Any]) -> list[Any]:
    """Returns values with the first that there is in place of those that are missing."""
    first = next((value for value in values if value is not None), None)
    return [first if value is None else value for value in values]
