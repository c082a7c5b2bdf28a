"""The head of several tasks: one linear layer, whose outputs each belong to one of them. It goes with a model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...backbones.head import Columns, LinearHead, Outputs, Spec, rows_of
from ...backbones.head import Head as BaseHead
from .answers import decode, module_of, parts_of, sorted_tasks

LABELLED = "labelled"


class Head(LinearHead):
    """Each task answers by its own outputs of a common layer, and learns by its own loss (Caruana 1997, hard sharing).

    The loss is the weighted mean of the tasks' losses, each as a part of what saying the same for all would cost
    (`chance` of its spec), so that a weight means the same for numbers, classes and many labels. An example without an
    answer for a task tells it nothing; the others count so much more (`share`), so that a weight means the same, too,
    however many examples have one. What the spec tells of a task: its own (`labels`, `mean`, …), `head` (its folder),
    `weight`, `chance`, `share`.
    """

    members: nn.ModuleList
    temperatures: Tensor

    def __init__(self, width: int, spec: Spec) -> None:
        super().__init__(width, spec)
        self.parts = parts_of(spec)
        self.members = nn.ModuleList(
            [_without_weights(module_of(told, "head").Head(1, told)) for _, told, _ in self.parts]
        )
        self.register_buffer("temperatures", torch.ones(len(self.parts)))
        total = sum(float(told["weight"]) for _, told, _ in self.parts) or 1.0
        self.factors = [told["weight"] / total / told["chance"] / told["share"] for _, told, _ in self.parts]

    @staticmethod
    def names(spec: Any) -> list[str]:
        """Returns the names of all outputs, each after its task's."""
        return [
            f"{name}: {label}" if label else name
            for name, told in sorted_tasks(spec)
            for label in told.get("labels", ()) or [""]
        ]

    def targets(self, columns: Columns) -> Outputs:
        """Returns the targets of each task, after its name and a dot; and in `NAME.labelled` who has an answer."""
        found: Outputs = {}
        for (name, _, _), member in zip(self.parts, self._heads, strict=True):
            start = f"{name}."
            own = {key.removeprefix(start): value for key, value in columns.items() if key.startswith(start)}
            there = torch.as_tensor([bool(one) for one in own.pop(LABELLED)], dtype=torch.bool)
            found |= {start + key: value for key, value in member.targets(own).items()} | {start + LABELLED: there}
        return found

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the sum over examples of their weighted losses, and how many examples there are."""
        logits = outputs["logits"]
        total = logits.new_zeros((), dtype=torch.float32)
        for (name, _, chosen), member, factor in zip(self.parts, self._heads, self.factors, strict=True):
            there, part = targets[f"{name}.{LABELLED}"], logits[:, chosen]
            own = own_targets(targets, name, there)
            total = total + factor * member.loss({"logits": part[there]}, own, smoothing)[0]
        return total, total.new_full((), len(logits))

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns a column for each task, of mappings: what that task answers."""
        found = rows_of(outputs["logits"]).reshape(-1, self.out_features)
        return decode(found, self.spec, {name: part.cpu().numpy() for name, part in self.named_buffers()})

    def parted(self) -> list[BaseHead]:
        """Returns a head of each task alone."""
        several = self.parts if len(self.parts) > 1 else ()
        return [Head(self.in_features, {**self.spec, "tasks": {name: told}}) for name, told, _ in several]

    def adopt(self, weights: Mapping[str, Tensor], spec: Spec) -> bool:
        """Keeps the rows of outputs that an older head knows, and of each task what its own head keeps of them."""
        fits = super().adopt(weights, spec)
        before = {name: (number, told) for number, (name, told, _) in enumerate(parts_of(spec))}
        for (name, told, _), member in zip(self.parts, self._heads, strict=True):
            number, known = before.get(name, (0, {}))
            if not fits or known.get("head") != told["head"]:
                continue
            for key, part in member.named_buffers():
                for row, old in member.shared(known):
                    part[row] = weights[f"members.{number}.{key}"][old]
        return fits

    @property
    def _heads(self) -> list[LinearHead]:
        return list(self.members)  # type: ignore[arg-type]  # a list of modules tells not of which


def own_targets(targets: Outputs, name: str, there: Tensor) -> Outputs:
    """Returns the targets of one task, of the examples that have an answer."""
    start = f"{name}."
    return {key.removeprefix(start): value[there] for key, value in targets.items() if key.startswith(start)}


def _without_weights(head: LinearHead) -> LinearHead:
    """Returns a head that has no layer of its own: its outputs come from the common one."""
    head.register_parameter("weight", None)
    head.register_parameter("bias", None)
    return head
