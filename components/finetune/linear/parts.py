"""Heads of several tasks, fitted apart: the loss of all is the sum of theirs, so that each may have its own penalty."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from components.finetune.linear.fitting import Effort, HeadFit, Look, fit_head
from components.finetune.linear.probe import View
from components.shared.backbones.head import Head
from components.shared.linear import Linear
from components.shared.selection import rank
from components.shared.tasks.objective import Objective, Parted


class Penalties(float):
    """A penalty for each part; as a number, their geometric mean.

    Attributes:
        parts: Of each part.
    """

    parts: tuple[float, ...]

    def __new__(cls, parts: Sequence[float]) -> "Penalties":
        """Returns them as one number."""
        found = super().__new__(cls, float(np.exp(np.mean(np.log(parts)))) if min(parts) > 0 else 0.0)
        found.parts = tuple(parts)
        return found


def penalties_of(penalties: Sequence[float], part: int) -> list[float]:
    """Returns the penalties that are tried of one part."""
    return [one.parts[part] if isinstance(one, Penalties) else one for one in penalties]


def joined(fits: Sequence[Linear], scores: dict[str, float]) -> Linear:
    """Returns the linear model of all parts.

    Args:
        fits: Of each, in order.
        scores: Of all on validation examples.
    """
    weight, bias = np.concatenate([fit.weight for fit in fits]), np.concatenate([fit.bias for fit in fits])
    return Linear(weight, bias, fits[0].loss, Penalties([fit.penalty for fit in fits]), False, scores)


def fit_parts(
    head: Head,
    objective: Objective,
    look: Look,
    views: Sequence[View],
    selection: str,
    tell: Callable[[str], None],
    like: HeadFit | None,
    effort: Effort,
) -> HeadFit:
    """Fits a head as `fit_head` does; one of several tasks each apart, on the view that is best for all.

    Args and errors are those of `fit_head`.
    """
    heads = head.parted()
    if not heads or not isinstance(objective, Parted):
        return fit_head(head, objective, look, views, selection, tell, like, effort)
    objectives, joint = objective.parted(), objective.joined

    def fits(view: View, effort: Effort) -> list[HeadFit]:
        found = []
        for number, (one, own) in enumerate(zip(heads, objectives, strict=True)):
            before = like and dataclasses.replace(like, view=view, chosen=penalties_of([like.chosen], number)[0])
            found.append(fit_head(one, own, look, [view], selection, _silent, before, effort))
        return found

    def scores(found: Sequence[HeadFit]) -> dict[str, float]:
        return joint([fit.validation for fit in found])

    quick, best, looked = dataclasses.replace(effort, dense=False), views[0] if like is None else like.view, 0
    if like is None and len(views) > 1:
        tried = {view: fits(view, quick) for view in views}
        best = max(tried, key=lambda view: rank(scores(tried[view]), selection))
        looked = sum(fit.fits for found in tried.values() for fit in found)
    found = fits(best, effort)
    whole = _whole(head, found, scores(found), looked)
    told = ", ".join(f"{fit.chosen:g}" for fit in found)
    loss = whole.validation["validation_loss"]
    tell(f"probe, {best.words}, penalties {told}: validation loss {loss:.4f}, best of {whole.fits} fits")
    return whole


def _whole(head: Head, found: Sequence[HeadFit], scores: dict[str, float], looked: int) -> HeadFit:
    """Returns the fit of all parts."""
    weights = {name: value.detach().clone() for name, value in head.state_dict().items()}
    weights |= {name: torch.cat([fit.weights[name] for fit in found]) for name in ("weight", "bias")}
    common = set.intersection(*(set(fit.tried) for fit in found))
    tried = {penalty: float(np.mean([fit.tried[penalty] for fit in found])) for penalty in sorted(common)}
    loss = float(np.mean([fit.train_loss for fit in found]))
    fits = looked + sum(fit.fits for fit in found)
    return HeadFit(weights, found[0].view, Penalties([fit.chosen for fit in found]), scores, loss, tried, fits)


def _silent(_: str) -> None:
    """Tells nobody."""
