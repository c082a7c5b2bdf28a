"""A task that is made of others: each of them beside its own baselines, and beside the champion, by its own metric."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluate.baselines import Baselines
from components.evaluate.comparison import NOT_SHOWN, WORSE
from components.evaluate.verdict import Learnt, compare
from components.shared.gate import BETTER, NOTHING_LEARNED, WORDS_SUFFICE
from components.shared.statistics import Metric, Statistics, paired_gain, score_of
from components.shared.tasks import Task
from components.shared.tasks.task import Composite, Part

_OPENINGS = {
    NOTHING_LEARNED: "Of {all} tasks one or more learned nothing.",
    WORSE: "Of {all} tasks one or more are worse than a baseline.",
    NOT_SHOWN: "Of {all} tasks one or more were not shown to be better than their baselines.",
    WORDS_SUFFICE: "The backbone adds nothing to any task.",
    BETTER: "Each task is better than its baselines.",
}
"""What is said of the verdict on all tasks, which is the worst of theirs: in this order."""


def compare_all(
    statistics: Statistics, baselines: Baselines, learnt: Learnt, task: Task, metric: Metric, seed: int
) -> dict[str, Any]:
    """Returns what `evaluation.json` tells of the model beside its baselines, see `verdict.compare`.

    Of a task that is made of others, `members` holds the same of each, by its own metric, and the verdict is the worst
    of theirs: a model that is good for one of them is not to be used for all.
    """
    whole = compare(statistics, baselines, learnt, task, metric, seed)
    if not isinstance(task, Composite):
        return whole
    ours = statistics.first(baselines.test_examples)
    rows = [_of_member(part, task, ours, baselines, learnt, seed) for part in task.members]
    verdict = next(one for one in _OPENINGS if any(row["verdict"] == one for row in rows))
    telling = [row for row in rows if row["verdict"] == verdict]
    rival = f"{telling[0]['best_baseline']} ({telling[0]['name']})"
    told = " ".join(f"{row['name']}: {row['sentence']}" for row in telling)
    sentence = f"{_OPENINGS[verdict].format(all=len(rows))} {told}"
    return {**whole, "members": rows, "verdict": verdict, "sentence": sentence, "rival": rival}


def duels_of(ours: Statistics, theirs: Statistics, task: Task, seed: int) -> list[dict[str, Any]]:
    """Returns both models' values of each of the tasks that a task is made of, by its own metric, with the difference.

    Args:
        ours: The challenger's statistics.
        theirs: The champion's, of the same examples.
        task: That was learned.
        seed: Of the bootstrap.
    """
    rows = list[dict[str, Any]]()
    if not isinstance(task, Composite):
        return rows
    for part in task.members:
        sides = [task.of_member(side, part.name) for side in (theirs, ours)]
        values = dict(zip(("champion", "challenger"), (score_of(part.metric, side) for side in sides), strict=True))
        gain = dataclasses.asdict(paired_gain(part.metric, sides[1], sides[0], seed))
        rows.append({"name": part.name, "metric": part.metric.name, **values, "difference": gain})
    return rows


def _of_member(
    part: Part, task: Composite, ours: Statistics, baselines: Baselines, learnt: Learnt, seed: int
) -> dict[str, Any]:
    mine = task.of_member(ours, part.name)
    own = _own(
        baselines, {name: task.of_member(found, part.name) for name, found in baselines.statistics.items()}, part
    )
    own = dataclasses.replace(own, test_examples=len(mine))
    history = {name: value for name, value in learnt.history.items() if name != "candidates"}  # they are told of all
    found = compare(mine, own, dataclasses.replace(learnt, history=history), part.task, part.metric, seed)
    names = ("baselines", "best_baseline", "difference", "differences", "chance", "verdict", "sentence")
    told = {name: found[name] for name in names}
    value = score_of(part.metric, mine)
    return {"name": part.name, "task": part.task.name, "metric": part.metric.name, "value": value, **told}


def _own(baselines: Baselines, statistics: Mapping[str, Statistics], part: Part) -> Baselines:
    """Returns the baselines of one task, under the names that they have where it is learned alone."""
    names = {name: baselines.told.get(name, {}).get("names", {}).get(part.name, name) for name in statistics}
    return dataclasses.replace(
        baselines,
        statistics={names[name]: found for name, found in statistics.items()},
        told={names[name]: baselines.told.get(name, {}) for name in statistics},
        networks=tuple(names[name] for name in baselines.networks),
        constant=names[baselines.constant],
        curve={},
    )


def rows_of(content: Mapping[str, Any], task: Task) -> Sequence[dict[str, Any]]:
    """Returns the lines of the page's table of tasks: each with its strongest rival, and perhaps the champion."""
    if not isinstance(task, Composite):
        return []
    compared = {row["name"]: row for row in (content.get("champion") or {}).get("members", [])}
    rows = {row["name"]: row for row in content.get("members", [])}
    return [
        {
            **rows[part.name],
            "title": part.metric.title,
            "heading": part.metric.heading,
            "rival": rows[part.name]["baselines"][rows[part.name]["best_baseline"]][part.metric.name],
            "champion": compared.get(part.name),
        }
        for part in task.members
    ]
