"""The champion: its model out of the registry, and what it makes of today's test split from raw input."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluate.examples import Splits, add_examples, has_pictures, read_columns, task_of
from components.shared.artifacts.artifact import Artifact
from components.shared.errors import GraftError
from components.shared.prediction import Loaded, load_artifact
from components.shared.process.step import Progress
from components.shared.registry import registry
from components.shared.registry.registry import Version
from components.shared.statistics import Statistics, join
from components.shared.tasks import Task
from components.shared.tasks.scoring import Spec

_TEXTS, _PICTURES = 1024, 64  # read at once
_Rows = list[tuple[str | bytes, ...]]
_GONE = re.compile(r"RESOURCE_DOES_NOT_EXIST|No such artifact|NoSuchKey|\(404\)|\b404 Client Error")


class IncomparableError(Exception):
    """The champion cannot be compared with; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class Forecast:
    """What the champion made of today's test split.

    Attributes:
        statistics: Of its predictions, as today's data would have them.
        test_digest: Of the examples that it predicted, see `add_examples`.
    """

    statistics: Statistics
    test_digest: str


def champion_now(name: str) -> dict[str, str]:
    """Returns what an evaluation depends on besides its artifacts: which model the champion is, "" for none."""
    found = registry.holder(name, registry.CHAMPION) if name else None
    digest = found.tags.get("model_digest") or found.created if found else ""
    return {"champion": f"version {found.version}, model {digest}" if found else ""}


def load_champion(version: Version, folder: Path, snapshot: Artifact) -> Loaded:
    """Downloads the model of a version into a folder and loads it; nothing that the registry holds is executed.

    Raises:
        IncomparableError: It is not graft's, not there any more, cannot be loaded, or learned something else.
        InputError: The registry, or its artifact store, refused the credentials.
        ServiceError: It did not answer.
    """
    _download(version, folder)
    told = snapshot.read_json("snapshot.json")
    try:
        task = json.loads((folder / "model.json").read_text("utf-8"))["task"]
        model = load_artifact(folder)
    except Exception as error:  # an older graft, or somebody else, may have written anything
        raise IncomparableError(f"its model cannot be loaded ({_told(error)})") from error
    if task != told["task"]:
        raise IncomparableError(f"it learned {task}, and the data is for {told['task']}")
    if model.task is not None and model.task.prediction != (today := task_of(snapshot).prediction):
        learned = _listed(model.task.prediction.names)
        raise IncomparableError(f"it answers {learned} in another form than the data's tasks, {_listed(today.names)}")
    if sorted(model.inputs) != sorted(told["inputs"]):
        raise IncomparableError(
            f"its inputs are {_listed(model.inputs)}, and those of the data {_listed(told['inputs'])}"
        )
    return model


def forecast(
    model: Loaded, snapshot: Artifact, spec: Spec, progress: Progress, start: float, splits: Splits = "test"
) -> Forecast:
    """Predicts the examples that are scored from raw input, with the champion's own preprocessing, in bounded memory.

    Args:
        model: The champion.
        snapshot: Where the examples are.
        spec: What is told of answers today.
        progress: Is told how far it is.
        start: What of the progress' total is done already; when this is done, twice as much is.
        splits: Where the examples are.

    Raises:
        IncomparableError: It fails on them.
    """
    rows = snapshot.read_json("snapshot.json")["rows"]
    total = sum(rows[split] for split in ([splits] if isinstance(splits, str) else splits))
    task, learned = task_of(snapshot), {"labels": model.labels, **model.spec}
    scoring = task.scoring
    parts, digest, done = list[Statistics](), hashlib.sha256(), 0
    for ids, batch, truth in raw_batches(snapshot, model.inputs, splits):
        predictions = _predict(model, batch, task, learned)
        parts.append(scoring.score(predictions, scoring.targets(truth, spec), spec, learned))
        add_examples(digest, ids, map(task.target.text, truth))
        done += len(ids)
        progress.update(start * (1 + done / total), f"champion: {done:,} of {total:,} examples")
    return Forecast(join(parts), digest.hexdigest())


def raw_batches(
    snapshot: Artifact, inputs: list[str], splits: Splits = "test"
) -> Iterator[tuple[list[str], _Rows, list[Any]]]:
    """Yields the examples of splits in batches: ids, rows of raw inputs (in the order of their names), labels."""
    names = snapshot.read_json("snapshot.json")["inputs"]
    columns = [f"input_{names.index(name) + 1}" for name in inputs]
    at_once = _PICTURES if has_pictures(snapshot) else _TEXTS
    for batch in read_columns(snapshot, splits, ["id", *columns, "label"], at_once):
        rows = list(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))
        yield batch.column("id").to_pylist(), rows, batch.column("label").to_pylist()


def _download(version: Version, folder: Path) -> None:
    """Tells what is not there any more from a store that does not answer: only the latter may be better next time."""
    try:
        registry.download(f"models:/{version.model}/{version.version}", folder, ["*"])
    except GraftError as error:
        cause = error.__cause__
        if cause is None:
            raise IncomparableError(_told(error)) from error
        if _GONE.search(f"{getattr(cause, 'error_code', '')} {cause}"):
            raise IncomparableError("its files are not in the registry's artifact store any more") from error
        raise


def _predict(model: Loaded, rows: _Rows, task: Task, learned: Spec) -> np.ndarray:
    try:
        return task.scoring.read(model.answers(rows), learned)
    except Exception as error:  # whatever its preprocessing does not like
        raise IncomparableError(f"it cannot predict today's test examples ({_told(error)})") from error


def _told(error: Exception) -> str:
    text = str(error).strip().rstrip(".")[:500]
    return text if isinstance(error, GraftError) else f"{type(error).__name__}: {text}"


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
