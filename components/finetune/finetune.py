"""Features and a backbone into a model."""

import contextlib
import dataclasses
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from components.finetune import comparison, parallel
from components.finetune.alone import WordsModel
from components.finetune.augmentation import augmentation
from components.finetune.comparison import Comparisons
from components.finetune.curves import Curves
from components.finetune.examples import Examples
from components.finetune.report import FinetuneReport
from components.finetune.settings import LEXICAL, FinetuneSettings, strategies_of
from components.finetune.starts import better_of, check_reads_alike, numbers_of, words_of
from components.finetune.study import Study, StudyListener, Trained, rank
from components.finetune.telling import Telling
from components.finetune.wide import NOTE, RawTexts, texts_of
from components.finetune.worded import WordsAlone, family_of, save_alone
from components.shared import backbones
from components.shared.artifact import Artifact, Draft, open_artifact, write_artifact
from components.shared.backbones import RANDOM, Backbone
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.features import FeatureSplit


def finetune(features: Path, model: Path, settings: FinetuneSettings, snapshot: Path | None = None) -> FinetuneReport:
    """Trains a backbone with a new head on features, for texts also on their words; or on the words alone.

    The artifact holds `model.safetensors`, `config.json`, what encodes raw input (`tokenizer.json` or
    `preprocessing.json`) and `model.json`: all that prediction from raw input needs; with a branch for words also
    `lexical.json`. Of the words alone (`strategy: lexical`) it holds `lexical.json`, `lexical.safetensors` and
    `model.json`. As notes: `history.json`, with words `lexical.json`, and where arms or a learning curve are asked for
    `comparison.json` and `comparison.parquet`. On a CPU the same features,
    settings and seed give the same bytes (with the same number of threads).

    Args:
        features: The folder of the features to read.
        model: The folder to write.
        settings: The backbone and how it is trained.
        snapshot: The folder of the snapshot that the features were made from; without it nothing looks at words.

    Raises:
        InputError: A setting, the backbone or the snapshot is wrong, or the loss is no longer a number.
        ServiceError: The hub, the store, the registry or MLflow failed, or the disk is full.
    """
    count = 1 if strategies_of(settings.strategy) == [LEXICAL] else parallel.processes()
    if count > 1:
        report: FinetuneReport = parallel.launch(_finetune, count, features, model, settings, snapshot)
        return report
    with tempfile.TemporaryDirectory(prefix="graft-finetune-") as scratch:
        return _finetune(Path(scratch), features, model, settings, snapshot)


def _finetune(
    scratch: Path, features: Path, model: Path, settings: FinetuneSettings, snapshot: Path | None
) -> FinetuneReport:
    """Does the step's work, alone or as one of several processes, of which the first writes."""
    source = open_artifact(features, "features")
    stored = dataclasses.asdict(settings)
    texts = texts_of(source, snapshot, settings, scratch)
    alone = strategies_of(settings.strategy) == [LEXICAL]
    work = WordsAlone(source, texts, settings, scratch) if alone else Work(source, texts, settings, scratch)
    if not parallel.group().is_first:
        return _report("", "", work.train(None))
    with (
        write_artifact(model, "model", stored, source.lineage()) as draft,
        Curves(settings.experiment, stored, model) as curves,
    ):
        trained = work.train(curves)
        work.save(trained, draft)
        draft.producer |= {"mlflow_run_id": curves.run_id, "requirements": _requirements(family_of(trained, source))}
    return _report(draft.digest, curves.run_id, trained)


def _report(digest: str, run_id: str, trained: Trained) -> FinetuneReport:
    best = trained.history.best
    return FinetuneReport(
        digest=digest,
        run_id=run_id,
        strategy=trained.strategy,
        best_epoch=trained.history.best_epoch,
        validation={name: best[name] for name in ("validation_loss", "accuracy", "macro_f1")},
        examples_per_second=trained.history.examples_per_second,
    )


class Work:
    """One run of the step: a backbone is brought here, and studied on the features."""

    def __init__(self, source: Artifact, texts: RawTexts | None, settings: FinetuneSettings, scratch: Path) -> None:
        self.source, self.texts, self.settings, self.scratch = source, texts, settings, scratch
        self.told = source.read_json("features.json")
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
        if settings.alternative:
            other = self._alternative(settings.alternative)
            if other.name != self.backbone.name:  # a champion of words alone stands for the backbone of its job
                self.starts["backbone" if settings.known else "alternative"] = other
        self.numbers = numbers_of(source, settings, scratch)
        self.family = backbones.family(self.backbone.family)
        self.device = parallel.device()
        torch.use_deterministic_algorithms(self.device.type == "cpu")
        self.precision = _precision(settings.precision, self.device)
        self.strategies = strategies_of(settings.strategy)

    def train(self, curves: Curves | None) -> Trained:
        """Trains by the strategies that are asked for, then what is to be compared; without curves it is silent."""
        telling = Telling(self.settings, curves, len(self.numbers)) if curves else None
        if telling:
            words = f"{len(self.numbers):,} examples, {_name(self.device)}, {self.precision}, {self.settings.strategy}"
            telling.begin(words)
        study, trained = better_of({name: self._run(name, telling) for name in self.starts})
        self._compare(study, trained)
        if telling:
            told = f"kept {trained.strategy}{words_of(trained.starts)}, epoch {trained.history.best_epoch}"
            telling.end(told)
        return trained

    def _run(self, start: str, telling: Telling | None) -> tuple[Study, Trained]:
        """Studies one start by all strategies."""

        def listen(strategy: str, event: str, entry: dict[str, float]) -> None:
            if telling:
                telling.entry(f"{start}/{strategy}" if len(self.starts) > 1 else strategy, event, entry)

        def line(text: str) -> None:
            if telling:
                telling.line(text)

        study = self.study(self.starts[start], self.scratch / start, listen, line)
        return study, study.run(self.strategies)

    def study(self, backbone: Backbone, scratch: Path, listener: StudyListener, tell: Callable[[str], None]) -> Study:
        """Returns the study of a backbone on the features.

        Args:
            backbone: This one, or the same without its weights.
            scratch: A folder for what frozen parts make of the examples.
            listener: Is told every entry of a history: strategy, "step" or "epoch", entry.
            tell: Is told lines.
        """
        train = dataclasses.replace(self._examples("train"), numbers=self.numbers)
        if normalize := getattr(self._make(backbone), "normalize", None):
            augment = augmentation(self.settings, normalize.size, len(self.told["labels"]))
            train = dataclasses.replace(train, augment=augment)
        return Study(
            make=lambda: self._make(backbone),
            train=train,
            validation=self._examples("validation"),
            settings=self.settings,
            autocast=lambda: _autocast(self.device, self.precision),
            listener=listener,
            tell=tell,
            scratch=scratch,
            raw=None if self.texts is None else dataclasses.replace(self.texts, scratch=scratch / self._of("words")),
        )

    def save(self, trained: Trained, draft: Draft) -> None:
        """Writes weights and configuration, and of the features what encoded them: all that prediction needs."""
        if isinstance(trained.network, WordsModel):
            save_alone(trained, self.source, self.backbone.name, draft)
            return
        network = trained.network.cpu()
        network.save(draft.path)
        for name in self.source.files:
            if name != "features.json" and not name.endswith(".arrow"):
                shutil.copyfile(self.source.file(name), draft.path / name)
        kept = {name: self.told[name] for name in ("task", "family", "inputs", "labels", "columns")}
        draft.write_json("model.json", {**kept, **network.describe()})
        notes = {name: getattr(trained, name) for name in ("strategy", "frozen", "probe", "sweep", "starts")}
        notes |= {"device": _name(self.device), "precision": self.precision, **network.describe()}
        notes["examples"] = len(self.numbers)
        notes["parameters"] = sum(parameter.numel() for parameter in network.parameters())
        draft.write_json("notes/history.json", {**dataclasses.asdict(trained.history), **notes})
        if trained.words:
            draft.write_json(NOTE, trained.words)
        if self._compared.exists():
            for name in (comparison.PREDICTIONS, comparison.SUMMARY):
                shutil.copyfile(self.scratch / name, draft.path / name)

    @property
    def _compared(self) -> Path:
        return self.scratch / comparison.SUMMARY

    def _compare(self, study: Study, trained: Trained) -> None:
        settings = self.settings
        if not settings.transfer_check and not settings.learning_curve:
            return
        random = None
        if settings.transfer_check:
            empty = self._fetch(RANDOM + settings.backbone, "empty")
            random = self.study(empty, self.scratch / "random", study.listener, study.tell)
        compared = Comparisons(study, random, self._examples("test"), self._of_network(trained))
        folder = self.scratch / self._of(".")
        told = compared.write(folder, settings.learning_curve)
        (folder / comparison.SUMMARY).write_text(json.dumps(told), "utf-8")

    def _of_network(self, trained: Trained) -> str:
        """Returns the strategy that learned best of those that train a network: the words alone transfer nothing."""
        rows = [row for row in trained.sweep or () if row["strategy"] != LEXICAL]
        return trained.strategy if trained.strategy != LEXICAL else str(max(rows, key=rank)["strategy"])

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
        pretrained, args = not read["name"].startswith(RANDOM), self.settings.backbone_args
        return Backbone(read["name"], Path(read["folder"]), read["family"], pretrained, args)

    def _make(self, backbone: Backbone) -> Network:
        """Makes the network of a backbone with a new head; what its library says against it is told as wrong input."""
        pooling = self.settings.pooling
        if pooling == "auto":
            pooling = backbones.pooling_of(backbone.folder) or "auto"
        torch.manual_seed(self.settings.seed)
        try:
            return self.family.from_backbone(backbone, pooling, self.told["labels"])
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            arguments = f" with {json.dumps(dict(backbone.args))}" if backbone.args else ""
            raise InputError(
                f"The backbone {backbone.name!r} cannot be built{arguments}: {str(error)[:800]}. Check backbone and "
                "backbone_args."
            ) from error

    def _examples(self, split: str) -> Examples:
        padding = self.family.padding_of(self.backbone.folder)
        return Examples.whole(FeatureSplit(self.source, split), self.family, padding, self.device)


def _precision(wanted: str, device: torch.device) -> str:
    """bfloat16 only where the hardware has it: without, a CPU is three times slower with it than in float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _requirements(family: str) -> dict[str, str]:
    """Returns the versions that the model was trained with; "+cpu" and the like name a build, not a version.

    Told in the manifest: `register` pins them without having torch itself.
    """
    names = backbones.FAMILIES[family].requirements
    return {name: importlib.metadata.version(name).partition("+")[0] for name in names}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
