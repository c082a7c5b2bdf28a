"""One run of the step without a backbone (`strategy: lexical`, `gradients`): none is brought here, none computes."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.finetune.account import history_of, judge, judge_outputs
from components.finetune.curves import Curves
from components.finetune.folds import ClassicalRefits, Crossed, Folds, finish, save_crossed
from components.finetune.initialization import numbers_of
from components.finetune.linear import alone
from components.finetune.linear.raw import Raw, not_alone
from components.finetune.progress import Telling
from components.finetune.settings import FinetuneSettings
from components.finetune.study import Trained, candidate
from components.shared import backbones
from components.shared.artifacts.artifact import Artifact, Draft
from components.shared.errors import InputError


class ColumnsAlone:
    """One run of the step: a linear model is fitted on the words of texts, or on the gradients of pictures."""

    def __init__(
        self,
        source: Artifact,
        raw: Raw | None,
        settings: FinetuneSettings,
        scratch: Path,
        folds: tuple[Folds | None, str] = (None, ""),
    ) -> None:
        assert raw is not None, "it was asked for"
        if settings.transfer_check or settings.learning_curve:
            raise InputError(
                f"strategy: {raw.kind} has no backbone, so that evaluation.transfer_check and "
                "evaluation.learning_curve have nothing to train. Leave them out, or name a strategy with a backbone "
                "beside it."
            )
        if not raw.stands_alone:
            raise not_alone(raw.kind)
        self.source, self.raw, self.settings = source, raw, settings
        self.numbers = numbers_of(source, settings, scratch)
        self.folds, self.without = folds
        self.crossed: Crossed | None = None

    def train(self, curves: Curves | None) -> Trained:
        """Fits the model; without curves it is silent."""
        telling = Telling(self.settings, curves, len(self.numbers)) if curves else None
        kind = self.raw.kind
        if telling:
            telling.begin(f"{len(self.numbers):,} examples, {kind}")
        sample = self.raw.sample(self.numbers)
        fit = self.raw.fit(sample, self.settings.seed)
        if fit is None:
            raise alone.no_words()
        history = alone.history_of(fit)
        if telling:
            telling.entry(kind, "epoch", history.epochs[0])
        answers = sample.answers
        note = alone.note_alone(fit, self.raw.labels, answers is None)
        line = candidate(kind, fit.words, history.best, kept=True)
        trained = Trained(alone.model_of(fit, answers), kind, history, alone.FROZEN, candidates=[line], carriers=note)
        if self.folds is None:
            logits = fit.linear.logits(fit.validation_columns)
            if answers is None:
                judge(trained, logits, sample.truth, sample.labels)
            else:
                outputs = answers.outputs(logits)
                judge_outputs(trained, answers.objective, outputs, answers.held, answers.selection)
            trained.crossed = {"reason": self.without} if self.without else {}
        else:
            refits, tell = ClassicalRefits(self.raw, fit, self.folds), telling.line if telling else lambda _: None
            self.crossed = finish(refits, self.folds, sample.classes, trained, tell)
            judge(trained, self.crossed.logits, self.folds.labels, self.folds.labels, crossed=True)
            trained.crossed = self.crossed.told()
        if telling:
            telling.end(f"kept {fit.words}")
        return trained

    def save(self, trained: Trained, draft: Draft) -> None:
        """Writes all that prediction from raw input needs, and the backbone that the job named."""
        save_alone(trained, self.source, _backbone_of(self.settings.backbone), draft, crossed=self.crossed)


def save_alone(
    trained: Trained,
    features: Artifact,
    backbone: str,
    draft: Draft,
    more: Mapping[str, Any] | None = None,
    crossed: Crossed | None = None,
) -> None:
    """Writes a model without a backbone, see `components.finetune.finetune.finetune`.

    Args:
        trained: The model.
        features: Tell task, inputs and labels.
        backbone: What the job named: later strategies that need one start from it.
        draft: Where it is written.
        more: What else the history tells.
        crossed: Its cross-validation.
    """
    model = trained.network
    assert isinstance(model, alone.LinearModel), "it has no backbone"
    model.save(draft.path)
    told = features.read_json("features.json")
    kept = {name: told[name] for name in ("task", "task_args", "inputs", "labels", "target") if name in told}
    kept |= save_crossed(crossed, draft, told["labels"])
    draft.write_json("model.json", {**kept, "family": model.maker.kind, "backbone": backbone, **model.describe()})
    notes: dict[str, Any] = {"device": "CPU", "precision": "float32", **model.describe(), "pooling": "none"}
    notes |= {"examples": (trained.carriers or {}).get("examples", {}).get("of"), "parameters": model.parameters}
    notes |= more or {}
    draft.write_json("notes/history.json", history_of(trained, notes))
    draft.write_json(f"notes/{model.maker.kind}.json", trained.carriers)


def family_of(trained: Trained, features: Artifact) -> str:
    """Returns the family that a trained model is of, as `model.json` tells it."""
    told: str = features.read_json("features.json")["family"]
    return trained.network.maker.kind if isinstance(trained.network, alone.LinearModel) else told


def _backbone_of(name: str) -> str:
    """Returns the backbone that a job named, where training starts from a champion without one."""
    with tempfile.TemporaryDirectory(prefix="graft-finetune-") as scratch:
        return backbones.below(name, Path(scratch))
