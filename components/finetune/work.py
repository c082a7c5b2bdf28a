"""One run of the step: a backbone is brought here, studied on the features, and what it learned is saved."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from components.finetune import comparison, defaults
from components.finetune.account import history_of, judge, judge_answers, recipe_of
from components.finetune.account import words_of as verdict_in_words
from components.finetune.answers import Answers, inputs_of
from components.finetune.budget import Budget, minutes_for
from components.finetune.choices import Choices
from components.finetune.columns import save_alone
from components.finetune.comparison import Comparisons
from components.finetune.curves import Curves
from components.finetune.folds import (
    ClassicalRefits,
    Crossed,
    Folds,
    NetworkRefits,
    Refits,
    cross_validate,
    finish,
    save_crossed,
    too_long,
)
from components.finetune.initialization import better_of, check_reads_alike, check_vocabulary, numbers_of, words_of
from components.finetune.learning import parallel
from components.finetune.learning.augmentation import augmentation
from components.finetune.learning.device import autocast, name_of, precision_and_why
from components.finetune.learning.journal import Journal
from components.finetune.learning.mirroring import cropped, keeps_answers, keeps_class, mirrored
from components.finetune.learning.splits import Splits
from components.finetune.linear.alone import LinearModel
from components.finetune.linear.raw import Raw
from components.finetune.progress import Telling
from components.finetune.search import Search
from components.finetune.settings import ALONE, AUTO, FinetuneSettings, strategies_of
from components.finetune.study import Study, StudyListener, Trained
from components.shared import backbones, tasks
from components.shared.artifacts.artifact import Artifact, Draft, open_artifact
from components.shared.artifacts.snapshot import SPLITS
from components.shared.backbones import RANDOM, Backbone
from components.shared.backbones.network import Network, spec_of
from components.shared.backbones.preprocessing import FILE as PREPROCESSING
from components.shared.errors import InputError
from components.shared.example_scores import Outcome, outcome_of
from components.shared.selection import rank
from components.shared.tasks.objective import head_class, objective_of

_CROSSING = 3.0  # minutes that repeating a training on every fold may take, at least
_KEPT = ("task", "task_args", "family", "inputs", "labels", "target", "columns")
"""Of `features.json`, what `model.json` tells, too."""
_CHEAP = 0.05  # a comparison that costs this part of the training is made unasked


class Work:
    """One run of the step: a backbone is brought here, and studied on the features."""

    def __init__(
        self,
        source: Artifact,
        raw: Raw | None,
        settings: FinetuneSettings,
        scratch: Path,
        folds: tuple[Folds | None, str] = (None, ""),
        snapshot: Path | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.folds, self.without = folds
        self.snapshot, self.journal = snapshot, journal or Journal()
        self.crossed: Crossed | None = None
        self.source, self.raw, self.settings, self.scratch = source, raw, settings, scratch
        self.minutes = 0.0
        self.told = source.read_json("features.json")
        self.spec, self.head = spec_of(self.told), head_class(self.told["task"])
        with torch.random.fork_rng(devices=[]):  # it makes targets, and answers nothing
            self.make_targets = self.head(1, self.spec).targets
        self.backbone = self._fetch(settings.backbone, "fetched")
        self.starts = {"champion" if settings.known else "backbone": self.backbone}
        if self.backbone.family != self.told["family"]:
            raise InputError(
                f"The features at {source.path} were made for a backbone of the family {self.told['family']!r}, but "
                f"{settings.backbone!r} is of {self.backbone.family!r}. Run transform with the same backbone."
            )
        if settings.transfer_check and not self.backbone.pretrained:
            raise InputError(
                f"evaluation.transfer_check asks whether transfer helped, but {settings.backbone!r} has no pretrained "
                "weights: nothing is transferred. Leave it out, or name a pretrained backbone."
            )
        self._refuse_in_vain()
        if settings.alternative:
            other = self._alternative(settings.alternative)
            if other.name != self.backbone.name:  # a champion of words alone stands for the backbone of its job
                self.starts["backbone" if settings.known else "alternative"] = other
        self.numbers = numbers_of(source, settings, scratch, objective_of(self.told["task"], self.spec))
        self.family = backbones.family(self.backbone.family)
        self.device = parallel.device()
        torch.set_deterministic_debug_mode("error" if self.device.type == "cpu" else "default")
        self.strategies = strategies_of(settings.strategy)
        self.open_rate = not settings.learning_rate
        self._made: Network | None = self._make(self.backbone)
        self.choices = Choices()
        self.precision, why = precision_and_why(settings.precision, self.device, self._made)
        self.choices.add("precision", f"{self.precision} ({why})")
        padding = self.family.padding_of(self.backbone.folder)
        self.splits = Splits(source, self.family, padding, self.device, self.make_targets, settings)
        check_vocabulary(source, self.backbone, self._made)
        self.settings, self.why = self._resolved(self._made)

    def _refuse_in_vain(self) -> None:
        """Refuses settings that mean something for classes alone."""
        fits = {"mixup": bool(self.head.blended), "logit_adjustment": self.head.exclusive}
        without = {"mixup": "no labels that a blend of two has in part", "logit_adjustment": "no classes, one each"}
        for name in (name for name, fit in fits.items() if getattr(self.settings, name) and not fit):
            raise InputError(
                f"training.{name} is {getattr(self.settings, name):g}, but examples of {self.told['task']} have "
                f"{without[name]}. Leave it out."
            )

    def train(self, curves: Curves | None) -> Trained:
        """Trains by the strategies that are asked for, then what is to be compared; without curves it is silent."""
        telling = Telling(self.settings, curves, len(self.numbers)) if curves else None
        if telling:
            words = (
                f"{len(self.numbers):,} examples, {name_of(self.device)}, {self.precision}, {self.settings.strategy}"
            )
            telling.begin(words)
            if self.why:
                telling.line(f"chosen: {self.why}")
            self.choices.add("loading", self.splits.words)
            self.choices.begin(telling.line)
        study, trained = better_of({name: self._run(name, telling) for name in self.starts})
        self._cross(study, trained, telling.line if telling else lambda _: None)
        self._compare(study, trained)
        if telling:
            telling.line(verdict_in_words(trained.judgement))
            told = f"kept {trained.strategy}{words_of(trained.starts)}, epoch {trained.history.best_epoch}"
            telling.end(told)
        return trained

    def _cross(self, study: Study, trained: Trained, tell: Callable[[str], None]) -> None:
        """Judges the model: on validation, or by a cross-validation, after which it is one of all examples."""
        reason, folds = self._reason_against(trained), self.folds
        if folds is None or reason:
            if self.head.exclusive:
                judge(trained, *study.logits(trained), study.train.labels)
            else:
                judge_answers(trained, study)
            trained.crossed = {"reason": reason} if reason else {}
            return
        refits: Refits = self._refits(study, trained)
        if trained.strategy in ALONE:
            assert study.raw is not None and study.heads.classical is not None, "it was fitted"  # noqa: PT018
            refits = ClassicalRefits(study.raw, study.heads.classical[1], folds)
        self.crossed = finish(refits, folds, len(self.told["labels"]), trained, tell)
        judge(trained, self.crossed.logits, folds.labels, folds.labels, crossed=True)
        trained.crossed = self.crossed.told()
        self.numbers = folds.all

    def _reason_against(self, trained: Trained) -> str:
        """Returns why there is no cross-validation though the snapshot asks for one, or ""."""
        if self.folds is None:
            return self.without
        if self._start_of(trained).is_model and trained.strategy not in ALONE and not self._is_frozen(trained):
            return "training starts from the weights of a model, which may have learned from these examples"
        minutes = self.settings.minutes or max(self.minutes, _CROSSING)
        return too_long(trained, self.folds, len(self.numbers), minutes)

    def _start_of(self, trained: Trained) -> Backbone:
        kept = next((row["start"] for row in trained.starts or () if row["kept"]), next(iter(self.starts)))
        return self.starts[kept]

    def _is_frozen(self, trained: Trained) -> bool:
        """Whether the backbone below a model's head is what it was before graft trained anything."""
        start = self._start_of(trained)
        kept = start.read_json("model.json").get("recipe", {}).get("frozen", False) if start.is_model else True
        return bool(kept) and trained.strategy == "probe"

    def _refits(self, study: Study, trained: Trained) -> NetworkRefits:
        folder = self.scratch / f"folds-{trained.strategy}-{trained.probe is None}"  # of all processes
        return NetworkRefits(study, copy.copy(trained), self.splits.of(*SPLITS), folder, folder / self._of("columns"))

    def _run(self, start: str, telling: Telling | None) -> tuple[Study, Trained]:
        """Studies one start by all strategies."""

        def listen(strategy: str, event: str, entry: dict[str, float]) -> None:
            if telling:
                telling.entry(f"{start}/{strategy}" if len(self.starts) > 1 else strategy, event, entry)

        def line(text: str) -> None:
            if telling:
                telling.line(text)

        study = self.study(self.starts[start], self.scratch / start, listen, line)
        return study, self._search(study, self.starts[start]) if AUTO in self.strategies else study.run(self.strategies)

    def _search(self, study: Study, backbone: Backbone) -> Trained:
        """Looks for the best model within the minutes, of which each start has its part."""
        settings = study.settings
        minutes = settings.minutes or minutes_for(
            study.network, study.train, study.validation, settings.epochs, settings.batch_size, self.precision
        )
        self.minutes = minutes / len(self.starts)
        given = "as asked for" if settings.minutes else "by device, backbone and data; training.minutes sets another"
        study.minutes = self.minutes
        study.tell(f"searching for {self.minutes:g} minutes ({given})")
        recipe = backbone.read_json("model.json").get("recipe") if self.settings.known else None
        budget = Budget(self.minutes, self.journal.clock, self.journal.noted("search began", self.journal.clock))
        return Search(study, budget, backbone.pretrained, self.open_rate, recipe).run()

    def study(self, backbone: Backbone, scratch: Path, listener: StudyListener, tell: Callable[[str], None]) -> Study:
        """Returns the study of a backbone on the features.

        Args:
            backbone: This one, or the same without its weights.
            scratch: A folder for what frozen parts make of the examples.
            listener: Is told every entry of a history: strategy, "step" or "epoch", entry.
            tell: Is told lines.
        """
        train = dataclasses.replace(self.splits.of("train"), numbers=self.numbers)
        if normalize := getattr(self._made or self._make(backbone), "normalize", None):
            classes = len(self.spec.get("labels", ()))
            augment = augmentation(self.settings, normalize.size, classes, self.head.blended)
            train = dataclasses.replace(train, augment=augment)
        return Study(
            make=lambda: self._network(backbone),
            train=train,
            validation=self.splits.of("validation"),
            objective=objective_of(self.told["task"], self.spec),
            settings=self.settings,
            autocast=lambda: autocast(self.device, self.precision),
            listener=listener,
            tell=tell,
            scratch=scratch,
            raw=None if self.raw is None else dataclasses.replace(self.raw, scratch=scratch / self._of("columns")),
            journal=self.journal,
            choices=self.choices,
        )

    def save(self, trained: Trained, draft: Draft) -> None:
        """Writes weights and configuration, and of the features what encoded them: all that prediction needs."""
        if isinstance(trained.network, LinearModel):
            told = {"budget_minutes": self.minutes, "defaults": self.why}
            save_alone(trained, self.source, self.backbone.name, draft, told, self.crossed)
            return
        network = trained.network.cpu()
        network.save(draft.path)
        for name in self.source.files:
            if name != "features.json" and not name.endswith(".arrow"):
                shutil.copyfile(self.source.file(name), draft.path / name)
        kept = {name: self.told[name] for name in _KEPT if name in self.told}
        recipe = recipe_of(trained, len(self.numbers), network.head.out_features) | {"frozen": self._is_frozen(trained)}
        kept |= save_crossed(self.crossed, draft, self.told.get("labels", []))
        draft.write_json("model.json", {**kept, **network.describe(), "recipe": recipe})
        notes = {"device": name_of(self.device), "precision": self.precision, **network.describe(), "recipe": recipe}
        notes |= {"budget_minutes": self.minutes, "defaults": self.why, "examples": len(self.numbers)}
        notes["choices"] = self.choices.told()
        notes["parameters"] = sum(parameter.numel() for parameter in network.parameters())
        draft.write_json("notes/history.json", history_of(trained, notes))
        if trained.carriers and self.raw is not None:
            draft.write_json(f"notes/{self.raw.kind}.json", trained.carriers)
        if self._compared.exists():
            for name in (comparison.PREDICTIONS, comparison.SUMMARY):
                shutil.copyfile(self.scratch / name, draft.path / name)

    @property
    def _compared(self) -> Path:
        return self.scratch / comparison.SUMMARY

    def _compare(self, study: Study, trained: Trained) -> None:
        settings, frozen = self.settings, self._has_frozen_baseline(study, trained)
        if not settings.transfer_check and not settings.learning_curve and not frozen:
            return
        random = None
        if settings.transfer_check:
            empty = self._fetch(RANDOM + settings.backbone, "empty")
            random = self.study(empty, self.scratch / "random", study.listener, study.tell)
        compared = Comparisons(study, random, self.splits.of("test"), self._of_network(trained), frozen)
        if not self.head.exclusive:
            raw = None if self.snapshot is None else open_artifact(self.snapshot, "snapshot")
            task = tasks.get(self.told["task"], self.told.get("task_args"))
            answers = Answers(task.prediction, inputs_of(raw, "test"))
            compared = dataclasses.replace(compared, answers=answers)
        if self.crossed:
            compared = dataclasses.replace(compared, predict=lambda arm: self._crossed(study, arm))
        folder = self.scratch / self._of(".")
        told = compared.write(folder, settings.learning_curve)
        (folder / comparison.SUMMARY).write_text(json.dumps(told), "utf-8")

    def _crossed(self, study: Study, arm: Trained) -> Outcome:
        """Returns what an arm makes of all examples, by cross-validation."""
        assert self.folds is not None, "there was one"
        found = cross_validate(self._refits(study, arm), self.folds, len(self.told["labels"]))
        return outcome_of(found.probabilities, self.folds.labels)

    def _has_frozen_baseline(self, study: Study, trained: Trained) -> bool:
        """Whether the frozen backbone with a linear head is told beside the model: where it is another, and cheap."""
        if not self.backbone.pretrained or self.backbone.is_model or (trained.strategy == "probe" and trained.probe):
            return False
        passes = sum(self.told["rows"].values())
        training = 3 * len(trained.history.epochs) * len(self.numbers)  # forward passes, one backward being two
        is_there = study.anatomy.head in study.states["train"]
        return AUTO in self.strategies or is_there or passes <= _CHEAP * training

    def _of_network(self, trained: Trained) -> str:
        """Returns the strategy that learned best of those with a backbone: nothing else transfers."""
        rows = [row for row in trained.sweep or () if row["strategy"] not in ALONE]
        if trained.strategy not in ALONE:
            return trained.strategy
        return (
            str(max(rows, key=lambda row: rank(row, trained.judgement["selection"]))["strategy"]) if rows else "probe"
        )

    def _alternative(self, name: str) -> Backbone:
        """Brings the other backbone to start from here, which must eat the same features."""
        found = self._fetch(name, "alternative")
        check_reads_alike(found, self.source, self.scratch / f"reading-{parallel.group().rank}")
        return found

    @staticmethod
    def _of(name: str) -> str:
        """Returns a name of this process' own."""
        return name if parallel.group().is_first else f"rank-{parallel.group().rank}/{name}"

    def _fetch(self, name: str, folder: str) -> Backbone:
        """Brings a backbone here: one process does, the others find it."""
        told, group = self.scratch / f"{folder}.json", parallel.group()
        if group.is_first:
            found = backbones.fetch(name, self.scratch / folder, args=self.settings.backbone_args)
            told.write_text(
                json.dumps({"folder": str(found.folder), "family": found.family, "name": found.name}), "utf-8"
            )
        group.wait()
        read = json.loads(told.read_text("utf-8"))
        pretrained, args = not read["name"].startswith(RANDOM), self._arguments(read["family"])
        return Backbone(read["name"], Path(read["folder"]), read["family"], pretrained, args)

    def _arguments(self, family: str) -> dict[str, Any]:
        """Returns what a backbone is built with: of pictures the size that the features were made at."""
        given = self.settings.backbone_args
        if family != "timm" or PREPROCESSING not in self.source.files or {"img_size", "image_size"} & set(given):
            return given
        if not self.settings.backbone.startswith(RANDOM):
            return given
        return {**given, "img_size": self.source.read_json(PREPROCESSING)["size"]}

    def _resolved(self, network: Network) -> tuple[FinetuneSettings, str]:
        """Returns the settings with nothing open, and why."""
        shape = defaults.shape_of(network, self.backbone.pretrained, len(self.numbers))
        train, validation = (self.splits.of(name) for name in ("train", "validation"))
        train = dataclasses.replace(train, numbers=self.numbers)
        normalize = getattr(network, "normalize", None)
        if normalize is None:
            return defaults.resolve(self.settings, shape, mirrors=False)
        mirrors, crops, told = self.settings.flip < 0, not self.settings.crop_scale, []
        if mirrors:
            of_class = self.head.exclusive
            mirrors = keeps_class(train, validation) if of_class else keeps_answers(train, validation, mirrored)
            told.append("half of the pictures are mirrored" if mirrors else "no picture is mirrored")
        if crops and not self.head.exclusive:  # what is on a part of a picture may be less
            crops = keeps_answers(train, validation, cropped(normalize.size))
            told.append("parts of pictures are shown" if crops else "pictures are shown whole")
        settings, why = defaults.resolve(self.settings, shape, mirrors, crops)
        return settings, "; ".join([*([why] if why else []), *(f"{one}, as validation says" for one in told)])

    def _network(self, backbone: Backbone) -> Network:
        """Returns a new network of a backbone; the one that the defaults were found by is used, too."""
        made, self._made = (self._made, None) if backbone is self.backbone else (None, self._made)
        return made or self._make(backbone)

    def _make(self, backbone: Backbone) -> Network:
        """Makes the network of a backbone with a new head; what its library says against it is told as wrong input."""
        pooling = self.settings.pooling
        if pooling == "auto":
            pooling = backbones.pooling_of(backbone.folder) or "auto"
        torch.manual_seed(self.settings.seed)
        try:
            return self.family.from_backbone(backbone, pooling, partial(self.head, spec=self.spec))
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a stranger's configuration makes a library say, nobody can list
            arguments = f" with {json.dumps(dict(backbone.args))}" if backbone.args else ""
            told = str(error)[:800] if isinstance(error, ValueError | RuntimeError) else f"{error!r}"[:800]
            raise InputError(
                f"The backbone {backbone.name!r} cannot be built{arguments}: {told}. Check backbone and backbone_args."
            ) from error
