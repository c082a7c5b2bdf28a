"""Baselines of several tasks: those of each, one beside another, each fitted on the examples that have its answer."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.tasks.multi_task.members import Member
from components.shared.tasks.multi_task.scoring import together


def baselines_of(
    members: Sequence[Member], train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
) -> Iterator[Baseline]:
    """Yields the first baseline of each task together, then the second, …; the last of a task that has fewer again.

    Each task's own chooses on its own validation examples, as it does where it is learned alone.
    """
    rivals = [_of(member, train, validation, test, terms) for member in members]
    last: list[Baseline | None] = [None] * len(members)
    for number, found in enumerate(zip_longest(*rivals), 1):
        last = [one or before for one, before in zip(found, last, strict=True)]
        together_now = [one for one in last if one is not None]
        if len(together_now) < len(members):
            return  # a task has none at all
        yield _beside(
            f"Classical models {number}", members, together_now, sum(one.seconds for one in found if one is not None)
        )


def _of(
    member: Member, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
) -> Iterator[Baseline]:
    spec = terms.spec["tasks"][member.name]
    own = Terms(len(spec["labels"]), terms.seed, "", spec)
    return member.task.baselines(_labelled(member, train, spec), _labelled(member, validation, spec), test, own)


def _labelled(member: Member, examples: Labelled, spec: Any) -> Labelled:
    """Returns the examples that have an answer for a task, with the targets that its baselines take."""
    places = np.flatnonzero([value[member.name] is not None for value in examples.labels])
    values = [examples.labels[place][member.name] for place in places.tolist()]
    inputs = [[column[place] for place in places.tolist()] for column in examples.inputs]
    return Labelled(inputs, member.task.scoring.targets(values, spec))


def _beside(name: str, members: Sequence[Member], found: Sequence[Baseline], seconds: float) -> Baseline:
    names = {member.name: one.name for member, one in zip(members, found, strict=True)}
    return Baseline(
        name,
        "; ".join(f"{member}: {own}" for member, own in names.items()),
        together([one.predictions for one in found]),
        sum(one.bytes for one in found),
        seconds,
        max(one.examples for one in found),
        names,
    )
