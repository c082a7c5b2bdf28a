"""Strata of several tasks: an example counts for each that it has an answer for."""

import json
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.shared.artifacts.snapshot import SPLITS
from components.shared.tasks.multi_task.members import Member
from components.shared.tasks.strata import Memberships


class Together:
    """Collects the strata of each task by its own stratification.

    Args:
        members: The tasks.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._own = [member.task.target.stratification() for member in members]
        self._places = [array("i") for _ in members]  # the examples that have an answer
        self._count = 0

    def add(self, codes: np.ndarray, answers: Sequence[str]) -> None:
        """See `Stratification`."""
        told = [json.loads(answer) for answer in answers]
        for member, own, places in zip(self._members, self._own, self._places, strict=True):
            numbers: dict[str, int] = {}
            of = [numbers.setdefault(row[member.name], len(numbers)) if member.name in row else -1 for row in told]
            found = np.array(of, np.int32)[codes]
            there = np.flatnonzero(found >= 0)
            places.frombytes((there + self._count).astype(np.int32).tobytes())
            own.add(found[there], list(numbers))
        self._count += len(codes)

    def memberships(self) -> Memberships:
        """See `Stratification`; the strata of a task have its name before theirs."""
        examples, strata, names = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], list[str]()
        for member, own, places in zip(self._members, self._own, self._places, strict=True):
            found = own.memberships()
            examples.append(np.frombuffer(places, np.int32)[found.examples])
            strata.append((found.strata + len(names)).astype(np.int32))
            names += [member.prefix + name for name in found.names]
        whole = np.concatenate(examples)
        order = np.argsort(whole, kind="stable")
        return Memberships(whole[order].astype(np.int32), np.concatenate(strata)[order], names, self._count)

    def told(self, splits: np.ndarray) -> dict[str, Any]:
        """See `Stratification`: of each task its own, and how many training examples it has, and their `share`."""
        train, found = splits == SPLITS.index("train"), {}
        for member, own, places in zip(self._members, self._own, self._places, strict=True):
            there = np.frombuffer(places, np.int32)
            examples = int(train[there].sum())
            found[member.name] = {
                **own.told(splits[there]),
                "examples": examples,
                "share": examples / max(int(train.sum()), 1),
            }
        return {"tasks": found}
