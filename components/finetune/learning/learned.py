"""Whether training learned anything: a verdict from what the model makes of validation examples, in words."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.shared.tasks.objective import Dealing, Objective, Outputs, Targets

_ERROR = 0.01  # how often labels that are noise may pass for learned: what learned anything shows far more
_STUCK = 0.98  # a training loss above this part of what guessing gives has not left it
_DEALT = 50  # how often answers are dealt out
_FEW = 10  # rows
_LAST = 5  # entries of the training loss that are looked at
_STEADY = 0.99  # a training loss that falls below this part of the last epoch's is falling
_FITTED = 0.5  # a training loss below this part of the validation loss has learned what is general, and more


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a training.

    Attributes:
        learned: Whether the model knows more than how frequent the classes are.
        reason: Why it is thought so.
        advice: What to change where nothing was learned, else "".
    """

    learned: bool
    reason: str
    advice: str = ""


def verdict_of(
    probabilities: np.ndarray, truth: np.ndarray, counts: np.ndarray, losses: Sequence[float], tries: int
) -> Verdict:
    """Judges a model by its validation examples.

    It is asked whether more of them are right than if the same predictions had been dealt out blindly (what Cohen's
    kappa corrects for; a model that always says the largest class is right often, and knows nothing). As the best of
    several tries is judged, each must show more (Bonferroni).

    Args:
        probabilities: Of the validation examples, [examples, classes].
        truth: Their classes, int [examples].
        counts: int [classes], training examples of each.
        losses: Of training, in order; none for a head that was fitted.
        tries: Epochs and candidates that this is the best of.
    """
    if not np.isfinite(probabilities).all():
        return Verdict(False, "what the model says is no longer a number.", _LOWER)
    classes, total = probabilities.shape[1], len(truth)
    predicted = probabilities.argmax(1)
    right = int((predicted == truth).sum())
    shares = [np.bincount(values, minlength=classes) / max(total, 1) for values in (predicted, truth)]
    allowed = _ERROR / max(tries, 1)
    if not total or float((shares[1] ** 2).sum()) ** total > allowed:
        return Verdict(True, f"{total} validation examples are too few to tell whether anything was.")
    blind = float((shares[0] * shares[1]).sum())
    if _at_least(right, total, blind) <= allowed:
        return Verdict(
            True, f"{right:,} of {total:,} validation examples are right, {blind * total:,.0f} would be blindly."
        )
    reason = (
        f"{right:,} of {total:,} validation examples are right; {blind * total:,.0f} would be if the predictions had "
        "been dealt out blindly, which is no difference that could be shown."
    )
    return _why_not(reason, counts, losses)


def dealt_out(objective: Objective, outputs: Outputs, targets: Targets, selection: str, tries: int) -> Verdict:
    """Judges a model of any task: are its answers better than the same ones dealt out blindly to other examples?

    The metric of what is dealt out is drawn some times; how far the model's own lies above, in their deviations, tells
    how likely chance would get there (a permutation test by its normal approximation).

    Args:
        objective: Of the task.
        outputs: What the head makes of the validation examples.
        targets: Their targets.
        selection: The metric.
        tries: Epochs and candidates that this is the best of.
    """
    if not all(np.isfinite(values).all() for values in outputs.values()):
        return Verdict(False, "what the model says is no longer a number.", _LOWER)
    name, sign = selection.removeprefix("-"), -1.0 if selection.startswith("-") else 1.0
    found = objective.scores(outputs, targets)[name]
    rows, dealt = (
        objective.dealt(outputs, targets, _DEALT)
        if isinstance(objective, Dealing)
        else _dealt(objective, outputs, targets, name)
    )
    blind, deviation = float(np.mean(dealt)), float(np.std(dealt))
    title = name.replace("_", " ")
    if rows < _FEW or not np.isfinite([found, blind]).all():
        return Verdict(True, f"{rows} validation examples are too few to tell whether anything was.")
    needed = _normal(1 - _ERROR / max(tries, 1)) * max(deviation, 1e-9)
    if sign * (found - blind) > needed:
        return Verdict(True, f"{title} of validation is {found:.3f}, and {blind:.3f} where answers are dealt blindly.")
    return Verdict(
        False,
        f"{title} of validation is {found:.3f}; {blind:.3f} where the answers are dealt out blindly, which is no "
        "difference that could be shown.",
        _NOISE,
    )


def _dealt(objective: Objective, outputs: Outputs, targets: Targets, name: str) -> tuple[int, list[float]]:
    """Returns how many rows of outputs there are, and the metric of rows that belong to others."""
    rows = max((len(values) for values in outputs.values()), default=0)
    draw, found = np.random.default_rng(0), []
    for _ in range(_DEALT):
        order = draw.permutation(rows)
        found.append(objective.scores({key: values[order] for key, values in outputs.items()}, targets)[name])
    return rows, found


def _normal(share: float) -> float:
    """Returns what a normal number stays below so often."""
    from scipy.special import ndtri

    return float(ndtri(share))


def is_still_learning(losses: Sequence[float], lowest: float, patience: int) -> bool:
    """Whether training has not yet come to what validation could show: its loss falls steadily, and is still high.

    So it is with a network from scratch, whose validation stays at chance for some epochs while its batch norms settle.
    One that learns its examples by heart has a training loss far below that of validation: that is no reason to go on.

    Args:
        losses: Of training, by epoch.
        lowest: Validation loss of all epochs.
        patience: Epochs that are looked back at.
    """
    last = losses[-patience - 1 :]
    falls = all(later < _STEADY * before for before, later in itertools.pairwise(last))
    return len(last) > patience and falls and last[-1] > _FITTED * lowest


def _at_least(right: int, total: int, chance: float) -> float:
    """Returns how often so many or more of `total` are right, each by chance."""
    from scipy.special import betainc

    return float(betainc(right, total - right + 1, chance)) if right else 1.0


def _why_not(reason: str, counts: np.ndarray, losses: Sequence[float]) -> Verdict:
    shares = counts[counts > 0] / max(1, counts.sum())
    guessing = float(-(shares * np.log(shares)).sum())
    last = float(np.mean(losses[-_LAST:])) if len(losses) else 0.0
    if last > _STUCK * guessing:
        stuck = f"The training loss ended at {last:.3f}; guessing by the classes' shares gives {guessing:.3f}."
        return Verdict(False, f"{reason} {stuck}", _LOWER)
    return Verdict(False, reason, _NOISE)


_LOWER = (
    "Change training.learning_rate, a tenth first (or strategy: auto, which looks for one), or train longer "
    "(training.epochs)."
)
_NOISE = (
    "What the training examples have in common does not hold for others: look at the labels (are they those of these "
    "inputs?), give more examples, or name another backbone."
)
