"""What is told of a trained model: whether it learned anything, how sure it may be, how it was chosen."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.finetune.learning.learned import Verdict, dealt_out, verdict_of
from components.finetune.linear.calibration import calibrate
from components.finetune.study import Study, Trained
from components.shared.linear import softmax
from components.shared.selection import selection_of
from components.shared.tasks.objective import Objective, Outputs, Targets

RECIPE = ("learning_rate", "epochs", "batch_size", "layer_decay", "logit_adjustment", "flip")
"""Settings that a later training needs to repeat this one."""
_TOLD = ("strategy", "frozen", "probe", "sweep", "starts", "candidates", "headline", "crossed")


def judge(trained: Trained, logits: np.ndarray, truth: np.ndarray, labels: np.ndarray, crossed: bool = False) -> None:
    """Adds to a model whether anything was learned, and makes probabilities of its logits by a temperature.

    Args:
        trained: The model.
        logits: What it makes of validation examples, [examples, classes].
        truth: Their classes.
        labels: The classes of the training examples.
        crossed: Whether these are no validation examples, but each was predicted by a model of the other folds.
    """
    counts = np.bincount(labels, minlength=logits.shape[1])
    losses = [entry["loss"] for entry in trained.history.steps]
    others = max(0, len(trained.candidates or ()) - 1)
    tries = others + (1 if crossed else len(trained.history.epochs))  # the epoch was chosen on others
    verdict = verdict_of(softmax(logits), truth, counts, losses, tries)
    if crossed:
        told = verdict.reason.replace("validation examples", "examples of a cross-validation")
        verdict = dataclasses.replace(verdict, reason=told)
    calibration = calibrate(trained.network, logits, truth)
    trained.judgement = {
        **dataclasses.asdict(verdict),
        "selection": selection_of(counts),
        "calibration": calibration,
        "temperature": calibration["temperature"],
    }


def judge_answers(trained: Trained, study: Study) -> None:
    """Adds to a model whether anything was learned, and fits what turns its outputs into answers.

    As `judge` does, of any task: on the validation examples of its study.
    """
    judge_outputs(trained, study.objective, *study.outputs(trained), study.selection)


def judge_outputs(trained: Trained, objective: Objective, outputs: Outputs, targets: Targets, selection: str) -> None:
    """Does what `judge_answers` does, by what the model makes of validation examples.

    Args:
        trained: The model.
        objective: Of the task.
        outputs: What its head makes of them.
        targets: Their target columns.
        selection: What was chosen by.
    """
    others = max(0, len(trained.candidates or ()) - 1)
    verdict = dealt_out(objective, outputs, targets, selection, others + len(trained.history.epochs))
    calibration = objective.calibrate(trained.network.head, outputs, targets)
    trained.judgement = {
        **dataclasses.asdict(verdict),
        "selection": selection,
        "calibration": calibration or None,
        "temperature": 1.0,
    }


def learned_of(trained: Trained, study: Study, tries: int) -> Verdict:
    """Judges a model by the validation examples of its study.

    Args:
        trained: The model.
        study: That it comes from.
        tries: Epochs and candidates that it is the best of.
    """
    if study.network.head.exclusive:
        counts = np.bincount(study.train.labels, minlength=study.network.head.out_features)
        logits, truth = study.logits(trained)
        return verdict_of(softmax(logits), truth, counts, [], tries)
    outputs, targets = study.outputs(trained)
    return dealt_out(study.objective, outputs, targets, study.selection, tries)


def recipe_of(trained: Trained, examples: int, classes: int) -> dict[str, Any]:
    """Returns what a later training needs to repeat this one: it stands in `model.json`."""
    assert trained.settings is not None, "it learned by some"
    kept = {name: getattr(trained.settings, name) for name in RECIPE}
    return {**kept, "strategy": trained.strategy, "classes": classes, "examples": examples}


def history_of(trained: Trained, more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of `notes/history.json`.

    Args:
        trained: The model.
        more: What else is told.
    """
    told = {name: getattr(trained, name) for name in _TOLD}
    return {**dataclasses.asdict(trained.history), **told, **trained.judgement, **more}


def words_of(judgement: Mapping[str, Any]) -> str:
    """Returns whether anything was learned, as a line."""
    start = "learned" if judgement["learned"] else "NOTHING WAS LEARNED"
    return f"{start}: {judgement['reason']} {judgement['advice']}".strip()
