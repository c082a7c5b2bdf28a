"""Champion against challenger: both on today's test split, each from raw input with its own preprocessing."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.evaluate.champion import Forecast, IncomparableError, forecast, load_champion, raw_batches
from components.evaluate.cost import BATCH, latency_of, size_of
from components.evaluate.examples import Splits
from components.evaluate.leakage import ROWS, Known, known_examples
from components.evaluate.members import duels_of
from components.evaluate.predictions import Predictions
from components.evaluate.slices import column_slices, data_slices, metric_by
from components.evaluate.sources import Sources
from components.shared.artifacts.snapshot import spec_of
from components.shared.prediction import Loaded, load_artifact
from components.shared.process.step import Progress
from components.shared.registry import registry
from components.shared.registry.registry import Version
from components.shared.statistics import Metric, Statistics, measure, paired_gain, score_of
from components.shared.tasks import Task
from components.shared.tasks.scoring import Spec


@dataclass(frozen=True)
class Terms:
    """By what they are compared: the task's metrics, the one that decides, and the seed of the bootstrap."""

    task: Task
    metric: Metric
    seed: int


@dataclass(frozen=True)
class Challenge:
    """What came of it.

    Attributes:
        comparison: `champion` in `evaluation.json`, as the gate reads it. Where they could not be compared, `failure`
            says why, and its numbers are None.
        latency: Median seconds of a batch of both, and their ratio: a note, because it depends on clocks.
    """

    comparison: dict[str, Any]
    latency: dict[str, Any] | None


def challenge(
    version: Version, sources: Sources, predictions: Predictions, terms: Terms, progress: Progress, start: float
) -> Challenge:
    """Compares the challenger with the champion.

    A label that today's data has no more, and an example whose label the champion does not know, count as wrong. A
    champion that cannot be loaded does not lose the evaluation: the comparison says why.

    Args:
        version: The champion.
        sources: The challenger, and today's data.
        predictions: The challenger's, made from features: they are the same as those from raw input.
        terms: By what they are compared.
        progress: Is told how far it is.
        start: What of the progress' total is done already; when this is done, twice as much is.

    Raises:
        ServiceError: The registry, or its artifact store, did not answer.
    """
    with tempfile.TemporaryDirectory(prefix="graft-champion-") as scratch:
        folder = Path(scratch) / "model"
        spec = spec_of(sources.model.read_json("model.json"))
        try:
            model = load_champion(version, folder, sources.snapshot)
            found = forecast(model, sources.snapshot, spec, progress, start, _splits(sources))
            known = _known(version, sources, Path(scratch) / "inventory")
            kept = _unseen(known) if sources.crossed else np.ones(len(found.statistics), bool)
        except IncomparableError as error:
            print(f"The champion, {version.model} version {version.version}, cannot be compared: {error}", flush=True)
            same = version.tags.get("model_digest") == sources.model.digest
            return Challenge({**_incomparable(version, predictions, terms, str(error)), "same_model": same}, None)
        slices = _slices(predictions, found, sources, known, kept, terms)
        ours, theirs = predictions.statistics.take(kept), found.statistics.take(kept)
        parts = _parts(ours, theirs, spec, terms.task)
        comparison = {
            "version": version.version,
            "failure": "",
            "same_model": version.tags.get("model_digest") == sources.model.digest,
            "test_digest": found.test_digest,
            "challenger_test_digest": predictions.test_digest,
            **_scores(ours, theirs, terms),
            "classes": parts,
            "slices": slices,
            **_members(ours, theirs, terms),
            "what": "examples that the champion has not seen" if sources.crossed else "test examples",
            "labels": _labels(_names({"labels": model.labels, **model.spec}), _names(spec), parts),
            "seen": None if known is None else int(known.learned[kept].sum()),
            "sizes": {"champion": size_of(folder), "challenger": size_of(sources.model.path)},
        }
        return Challenge(comparison, _latency(model, sources))


def _incomparable(version: Version, predictions: Predictions, terms: Terms, failure: str) -> dict[str, Any]:
    return {
        "version": version.version,
        "failure": failure,
        "test_digest": "",
        "challenger_test_digest": predictions.test_digest,
        "metric": terms.metric.name,
        "champion": None,
        "challenger": score_of(terms.metric, predictions.statistics),
        "difference": None,
        "classes": [],
        "slices": [],
    }


def _scores(ours: Statistics, theirs: Statistics, terms: Terms) -> dict[str, Any]:
    deciding = [metric for metric in terms.task.metrics if metric.decides]
    metrics = {name: measure(deciding, side) for name, side in (("champion", theirs), ("challenger", ours))}
    return {
        "metric": terms.metric.name,
        "metrics": metrics,
        **{name: told[terms.metric.name] for name, told in metrics.items()},
        "difference": dataclasses.asdict(paired_gain(terms.metric, ours, theirs, terms.seed)),
    }


def _parts(ours: Statistics, theirs: Statistics, spec: Spec, task: Task) -> list[dict[str, Any]]:
    """Returns both models' values of each part of the examples: the recall of each class."""
    mine, other = (task.scoring.breakdown(side, spec) for side in (ours, theirs))
    return [
        {
            "label": name,
            "support": int(count),
            "champion": float(champion) if np.isfinite(champion) else None,
            "challenger": float(challenger) if np.isfinite(challenger) else None,
        }
        for name, count, champion, challenger in zip(mine.names, mine.support, other.values, mine.values, strict=True)
    ]


def _members(ours: Statistics, theirs: Statistics, terms: Terms) -> dict[str, Any]:
    """Returns the comparison of each of the tasks that the task is made of; nothing where it is one."""
    rows = duels_of(ours, theirs, terms.task, terms.seed)
    return {"members": rows} if rows else {}


def _names(spec: Spec) -> list[str]:
    """Returns the labels, those of several tasks each after its task's name."""
    own = [f"{name}: {label}" for name, told in spec.get("tasks", {}).items() for label in told.get("labels", [])]
    return [*spec.get("labels", []), *own]


def _splits(sources: Sources) -> Splits:
    return sources.splits if sources.crossed else "test"


def _unseen(known: Known | None) -> np.ndarray:
    """Returns which of all examples the champion has not learned from: bool [examples].

    Raises:
        IncomparableError: There is none, or that is not known.
    """
    if known is None:
        raise IncomparableError("it does not tell what it was trained on, so that no example is new to it for certain")
    if known.learned.all():
        raise IncomparableError(
            f"it was trained on all of the {len(known.learned):,} examples that there are to compare on; label new ones"
        )
    return ~known.learned


def _slices(
    predictions: Predictions, found: Forecast, sources: Sources, known: Known | None, kept: np.ndarray, terms: Terms
) -> list[dict[str, Any]]:
    parted = column_slices(sources.snapshot, _splits(sources))
    if known is not None:
        parted.insert(0, data_slices(known.ages))
    champion, challenger = found.statistics.take(kept), predictions.statistics.take(kept)
    parted = [dataclasses.replace(slices, codes=slices.codes[kept]) for slices in parted]
    primary = terms.task.metrics[0]
    return [row for slices in parted for row in metric_by(slices, primary, champion, challenger)]


def _known(version: Version, sources: Sources, folder: Path) -> Known | None:
    """Returns what the champion's data held; None where that is not known."""
    inventory = registry.download_inventory(version, folder)
    if inventory is None or not (inventory / ROWS).exists():
        return None
    try:
        return known_examples(sources.snapshot, inventory, _splits(sources))
    except (pa.ArrowException, KeyError) as error:  # no part of what is compared
        print(f"The inventory of version {version.version} cannot be read: {error}", flush=True)
        return None


def _labels(champion: Sequence[str], today: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the labels that only one of them knows, and how many test examples the champion cannot have right."""
    unknown = sorted(set(today) - set(champion))
    return {
        "unknown": unknown,
        "vanished": sorted(set(champion) - set(today)),
        "unknown_examples": sum(row["support"] for row in parts if row["label"] in set(unknown)),
    }


def _latency(champion: Loaded, sources: Sources) -> dict[str, Any]:
    models = {"champion": champion, "challenger": load_artifact(sources.model.path)}
    batches = {
        name: next(raw_batches(sources.snapshot, model.inputs, _splits(sources)))[1][:BATCH]
        for name, model in models.items()
    }
    return latency_of(models, batches)
