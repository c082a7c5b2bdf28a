"""How well several tasks do on validation examples, each by its own objective."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.shared.linear import temperature_of
from components.shared.tasks.multi_task.answers import Part, parts_of
from components.shared.tasks.objective import Outputs, Targets

SELECTION, MEAN = "mean_selection", "mean_score"
_LEAST = -1.0  # of a score that has no lower end: one task that is far off must not hide the others


class Objective:
    """The scores of each task, after its name and a dot, and their means by the tasks' weights.

    Chosen is by `mean_selection`, the mean of those scores of each task that are 1 where nothing is left to gain
    (`Objective.bounded`: of classes accuracy and macro-F1, of numbers R²): they ask for the right answers, and not for
    their order alone. `mean_score` is the mean of what the tasks are judged by.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.parts = parts_of(spec)
        package = __package__.rpartition(".")[0]
        modules = [importlib.import_module(f"{package}.{told['head']}.objective") for _, told, _ in self.parts]
        self.own = [module.Objective(told) for module, (_, told, _) in zip(modules, self.parts, strict=True)]
        self.metrics = (SELECTION, MEAN, *self._names("metrics"))
        self.bounded = (SELECTION,) if all(one.bounded for one in self.own) else ()
        self.weights = np.array([told["weight"] for _, told, _ in self.parts], float)

    def selection(self, targets: Targets) -> str:
        """Returns "mean_selection"."""
        return SELECTION

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (1 is what saying the same for all costs), the means, and the scores of each task."""
        found = []
        for part, own in zip(self.parts, self.own, strict=True):
            found.append(_scores_of(part, own.bounded, own.scores(*_own(part[0], part[2], outputs, targets))))
        return self.joined(found)

    def parted(self) -> list["Objective"]:
        """Returns the objective of each task alone, in order, see `components.shared.backbones.head.Head.parted`."""
        return [Objective({"tasks": {name: told}}) for name, told, _ in self.parts]

    def joined(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns the scores of all tasks out of those of each alone."""
        names = ("validation_loss", SELECTION, MEAN)
        means = {name: self._mean([own[name] for own in scores]) for name in names}
        return {**means, **{name: value for own in scores for name, value in own.items() if name not in names}}

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Fits of each task what turns outputs into answers: of classes a temperature."""
        found: dict[str, Any] = {}
        for number, ((name, _, outs), own) in enumerate(zip(self.parts, self.own, strict=True)):
            made, truth = _own(name, outs, outputs, targets)
            told = own.calibrate(head.members[number], made, truth)
            if head.members[number].exclusive and len(made["logits"]):
                temperature = float(temperature_of(made["logits"], np.asarray(truth["label"])))
                head.temperatures[number] = temperature
                told = {**told, "temperature": temperature}
            found |= {name: told} if told else {}
        return found

    def _mean(self, values: list[float]) -> float:
        """Returns the mean by weights, of the tasks that have examples."""
        there = np.isfinite(values)
        return float(np.average(np.array(values)[there], weights=self.weights[there])) if there.any() else float("nan")

    def _names(self, of: str) -> list[str]:
        pairs = zip(self.parts, self.own, strict=True)
        return [f"{name}.{metric}" for (name, _, _), own in pairs for metric in getattr(own, of)]


def _scores_of(part: Part, bounded: Sequence[str], scores: Mapping[str, float]) -> dict[str, float]:
    """Returns the scores of one task as those of all are named, its own its means."""
    name, told, _ = part
    loss, value = scores["validation_loss"] / told["chance"], scores.get(told["metric"], float("nan"))
    chosen = [max(scores[metric], _LEAST) for metric in bounded] or [1 - loss]
    judged = told["direction"] * (0.0 if np.isnan(value) and np.isfinite(loss) else value)
    means = {"validation_loss": loss, SELECTION: float(np.mean(chosen)), MEAN: judged}
    return {**means, **{f"{name}.{metric}": one for metric, one in scores.items() if metric != "validation_loss"}}


def _own(name: str, chosen: slice, outputs: Outputs, targets: Targets) -> tuple[Outputs, Targets]:
    """Returns outputs and targets of one task, of the examples that have an answer."""
    start, there = f"{name}.", np.asarray(targets[f"{name}.labelled"]).astype(bool)
    places = np.flatnonzero(there)
    own = {key.removeprefix(start): value for key, value in targets.items() if key.startswith(start)}
    truth = {
        key: value[places] if isinstance(value, np.ndarray) else [value[place] for place in places.tolist()]
        for key, value in own.items()
    }
    return {"logits": outputs["logits"][places][:, chosen]}, truth
