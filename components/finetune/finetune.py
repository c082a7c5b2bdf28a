"""Features and a backbone into a model."""

import dataclasses
import importlib.metadata
import tempfile
from pathlib import Path

from components.finetune import parallel
from components.finetune.columns import ColumnsAlone, family_of
from components.finetune.curves import Curves
from components.finetune.folds import folds_of
from components.finetune.raw import raw_of
from components.finetune.report import FinetuneReport
from components.finetune.settings import ALONE, FinetuneSettings, strategies_of
from components.finetune.study import Trained
from components.finetune.work import Work
from components.shared import backbones
from components.shared.artifact import open_artifact, write_artifact


def finetune(features: Path, model: Path, settings: FinetuneSettings, snapshot: Path | None = None) -> FinetuneReport:
    """Trains a backbone with a new head on features, beside it on the words of texts or the gradients of pictures.

    The artifact holds `model.safetensors`, `config.json`, what encodes raw input (`tokenizer.json` or
    `preprocessing.json`) and `model.json`: all that prediction from raw input needs; with a branch for words also
    `lexical.json`, for gradients `gradients.json`. Of these alone (`strategy: lexical`, `gradients`) it holds that
    file, its safetensors and `model.json`. Where the snapshot asks for a cross-validation, `notes/folds.parquet` holds
    what models of the other folds make of each example, and the model is trained on all. As further notes:
    `history.json`, with a branch `lexical.json` or `gradients.json`, and where arms or a learning curve are asked for
    `comparison.json` and `comparison.parquet`. On a CPU the same features, settings and seed give the same bytes (with
    the same number of threads).

    Args:
        features: The folder of the features to read.
        model: The folder to write.
        settings: The backbone and how it is trained.
        snapshot: The folder of the snapshot that the features were made from; without it nothing looks at words.

    Raises:
        InputError: A setting, the backbone or the snapshot is wrong, or the loss is no longer a number.
        ServiceError: The hub, the store, the registry or MLflow failed, or the disk is full.
    """
    count = 1 if _has_no_backbone(settings) else parallel.processes()
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
    raw = raw_of(source, snapshot, settings, scratch)
    alone = _has_no_backbone(settings)
    folds = folds_of(source, snapshot, settings)
    work = (ColumnsAlone if alone else Work)(source, raw, settings, scratch, folds)
    stored = dataclasses.asdict(work.settings)
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


def _has_no_backbone(settings: FinetuneSettings) -> bool:
    return not set(strategies_of(settings.strategy)) - set(ALONE)


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


def _requirements(family: str) -> dict[str, str]:
    """Returns the versions that the model was trained with; "+cpu" and the like name a build, not a version.

    Told in the manifest: `register` pins them without having torch itself.
    """
    names = backbones.FAMILIES[family].requirements
    return {name: importlib.metadata.version(name).partition("+")[0] for name in names}
