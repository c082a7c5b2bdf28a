"""Features and a backbone into a model."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.finetune.columns import ColumnsAlone, family_of
from components.finetune.curves import Curves
from components.finetune.folds import folds_of
from components.finetune.learning import memory, parallel
from components.finetune.learning.history import measured
from components.finetune.learning.journal import Journal
from components.finetune.linear.raw import raw_of
from components.finetune.report import FinetuneReport
from components.finetune.settings import ALONE, FinetuneSettings, strategies_of
from components.finetune.study import Trained
from components.finetune.work import Work
from components.shared import backbones
from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.artifacts.cache import Work as Content
from components.shared.artifacts.cache import content_of
from components.shared.artifacts.checkpoints import Checkpoints, place_of
from components.shared.artifacts.producer import producer_of
from components.shared.artifacts.resume import STEPS
from components.shared.errors import TooLargeError
from components.shared.process.locks import HeldError
from components.shared.process.step import tell


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
        TooLargeError: Memory does not suffice, however small the parts of a batch.
        ServiceError: The hub, the store, the registry or MLflow failed, or the disk is full.
    """
    count = 1 if _has_no_backbone(settings) else parallel.processes()
    place = "" if _has_no_backbone(settings) else _place(features, model, settings, snapshot, count)
    with _held(place) as place:
        if count > 1:
            report: FinetuneReport = parallel.launch(_finetune, count, features, model, settings, snapshot, place)
            return report
        with tempfile.TemporaryDirectory(prefix="graft-finetune-") as scratch:
            return _finetune(Path(scratch), features, model, settings, snapshot, place)


def _place(features: Path, model: Path, settings: FinetuneSettings, snapshot: Path | None, count: int) -> str:
    """Returns where the checkpoints of this training are, known by all that what is learned depends on; "": none."""
    if not place_of(settings.checkpoint_uri, "any", "one"):
        return ""
    sources = {"features": features} | ({"snapshot": snapshot} if snapshot else {})
    work = Content("finetune", sources, ("model", model), "", settings, weights=True, report=FinetuneReport)
    content = content_of(work)
    if content is None:
        return ""
    producer = content.pop("producer")
    keys = [json.dumps(told, sort_keys=True) for told in ({**content, "processes": count}, producer)]
    return place_of(settings.checkpoint_uri, *(hashlib.sha256(key.encode()).hexdigest() for key in keys))


@contextlib.contextmanager
def _held(place: str) -> Iterator[str]:
    """Holds the place of the checkpoints; gives "" where another process trains the same at this moment."""
    with contextlib.ExitStack() as stack:
        if place:
            steps = os.environ.get(STEPS, "")
            try:
                stack.enter_context(Checkpoints(place, Path()).held(Path(steps).parent.name if steps else ""))
            except HeldError as error:
                tell(f"no checkpoints are kept: {error}")
                place = ""
        yield place


def _finetune(
    scratch: Path, features: Path, model: Path, settings: FinetuneSettings, snapshot: Path | None, place: str
) -> FinetuneReport:
    """Does the step's work, alone or as one of several processes, of which the first writes."""
    store = Checkpoints(place, scratch / "checkpoint", producer_of("finetune")) if place else None
    journal = Journal(store, scratch, settings.checkpoint_minutes)
    source = open_artifact(features, "features")
    raw = raw_of(source, snapshot, settings, scratch)
    alone = _has_no_backbone(settings)
    folds = folds_of(source, snapshot, settings)
    work = (
        ColumnsAlone(source, raw, settings, scratch, folds)
        if alone
        else Work(source, raw, settings, scratch, folds, snapshot, journal)
    )
    stored = dataclasses.asdict(work.settings)
    if not parallel.group().is_first:
        with _memory_told(), journal.kept():
            return _report("", "", work.train(None))
    with (
        _memory_told(),
        write_artifact(model, "model", stored, source.lineage()) as draft,
        Curves(settings.experiment, stored, model) as curves,
        journal.kept(),
    ):
        trained = work.train(curves)
        work.save(trained, draft)
        draft.producer |= {"mlflow_run_id": curves.run_id, "requirements": _requirements(family_of(trained, source))}
        curves.log(memory.peaks(), int(trained.history.epochs[-1]["step"]), "system/")
    if store is not None:
        store.remove()
    return _report(draft.digest, curves.run_id, trained)


@contextlib.contextmanager
def _memory_told() -> Iterator[None]:
    """Tells as a failure of its own that memory did not suffice where nothing smaller was tried."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        raise TooLargeError(
            f"Memory did not suffice: {str(error)[:300] or type(error).__name__}. Set a smaller training.batch_size or "
            "training.max_length, a smaller backbone, or give the step more memory."
        ) from error


def _has_no_backbone(settings: FinetuneSettings) -> bool:
    return not set(strategies_of(settings.strategy)) - set(ALONE)


def _report(digest: str, run_id: str, trained: Trained) -> FinetuneReport:
    best = trained.history.best
    return FinetuneReport(
        digest=digest,
        run_id=run_id,
        strategy=trained.strategy,
        best_epoch=trained.history.best_epoch,
        validation=measured(best),
        examples_per_second=trained.history.examples_per_second,
    )


def _requirements(family: str) -> dict[str, str]:
    """Returns the versions that the model was trained with; "+cpu" and the like name a build, not a version.

    Told in the manifest: `register` pins them without having torch itself. What is not installed here trained nothing:
    MLflow's version `register` adds, and pandas comes with it.
    """
    found: dict[str, str] = {}
    for name in backbones.FAMILIES[family].requirements:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name).partition("+")[0]
    return found
