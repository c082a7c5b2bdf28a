"""Champion against challenger: both on today's test split, each from raw input with its own preprocessing."""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.evaluate.champion import Forecast, IncomparableError, forecast, load_champion, raw_batches
from components.evaluate.comparison import Difference, paired_difference
from components.evaluate.cost import BATCH, latency_of, size_of
from components.evaluate.examples import Splits
from components.evaluate.f1 import macro_f1, paired_f1_difference
from components.evaluate.known import ROWS, Known, known_examples
from components.evaluate.predictions import Predictions
from components.evaluate.slices import accuracy_by, column_slices, data_slices
from components.evaluate.sources import Sources
from components.shared import registry
from components.shared.packaged import Loaded, load_artifact
from components.shared.registry import Version
from components.shared.step import Progress


@dataclass(frozen=True)
class Terms:
    """By what they are compared: the metric that decides, and the seed of the bootstrap."""

    metric: str
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
        labels: list[str] = sources.model.read_json("model.json")["labels"]
        try:
            model = load_champion(version, folder, sources.snapshot)
            found = forecast(model, sources.snapshot, labels, progress, start, _splits(sources))
            known = _known(version, sources, Path(scratch) / "inventory")
            kept = _unseen(known) if sources.crossed else np.ones(len(found.predicted), bool)
        except IncomparableError as error:
            print(f"The champion, {version.model} version {version.version}, cannot be compared: {error}", flush=True)
            same = version.tags.get("model_digest") == sources.model.digest
            return Challenge({**_incomparable(version, predictions, terms, str(error)), "same_model": same}, None)
        slices = _slices(predictions, found, sources, known, kept)
        found = dataclasses.replace(found, predicted=found.predicted[kept])
        predictions = dataclasses.replace(predictions, outcome=predictions.outcome.take(kept))
        comparison = {
            "version": version.version,
            "failure": "",
            "same_model": version.tags.get("model_digest") == sources.model.digest,
            "test_digest": found.test_digest,
            "challenger_test_digest": predictions.test_digest,
            **_scores(predictions, found, len(labels), terms),
            "classes": _recalls(predictions, found, labels),
            "slices": slices,
            "what": "examples that the champion has not seen" if sources.crossed else "test examples",
            "labels": _labels(model.labels, labels, predictions.outcome.labels),
            "seen": None if known is None else int(known.learned[kept].sum()),
            "sizes": {"champion": size_of(folder), "challenger": size_of(sources.model.path)},
        }
        return Challenge(comparison, _latency(model, sources))


def _incomparable(version: Version, predictions: Predictions, terms: Terms, failure: str) -> dict[str, Any]:
    truth, classes = predictions.outcome.labels, predictions.outcome.classes
    return {
        "version": version.version,
        "failure": failure,
        "test_digest": "",
        "challenger_test_digest": predictions.test_digest,
        "metric": terms.metric,
        "champion": None,
        "challenger": _value(terms.metric, truth, predictions.outcome.predicted, classes),
        "difference": None,
        "classes": [],
        "slices": [],
    }


def _scores(predictions: Predictions, found: Forecast, classes: int, terms: Terms) -> dict[str, Any]:
    truth, ours, theirs = predictions.outcome.labels, predictions.outcome.predicted, found.predicted
    metrics = {
        name: {metric: _value(metric, truth, predicted, classes) for metric in ("accuracy", "macro_f1")}
        for name, predicted in (("champion", theirs), ("challenger", ours))
    }
    return {
        "metric": terms.metric,
        "metrics": metrics,
        **{name: told[terms.metric] for name, told in metrics.items()},
        "difference": dataclasses.asdict(_difference(truth, ours, theirs, classes, terms)),
    }


def _value(metric: str, truth: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    return float((truth == predicted).mean()) if metric == "accuracy" else macro_f1(truth, predicted, classes)


def _difference(truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, classes: int, terms: Terms) -> Difference:
    if terms.metric == "accuracy":
        return paired_difference(ours == truth, theirs == truth, terms.seed)
    return paired_f1_difference(truth, ours, theirs, classes, terms.seed)


def _recalls(predictions: Predictions, found: Forecast, labels: Sequence[str]) -> list[dict[str, Any]]:
    truth = predictions.outcome.labels
    support, champion, challenger = (
        np.bincount(truth, weights, len(labels))
        for weights in (None, found.predicted == truth, predictions.outcome.right)
    )
    return [
        {
            "label": label,
            "support": int(count),
            "champion": float(theirs / count) if count else None,
            "challenger": float(ours / count) if count else None,
        }
        for label, count, theirs, ours in zip(labels, support, champion, challenger, strict=True)
    ]


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
    predictions: Predictions, found: Forecast, sources: Sources, known: Known | None, kept: np.ndarray
) -> list[dict[str, Any]]:
    parted = column_slices(sources.snapshot, _splits(sources))
    if known is not None:
        parted.insert(0, data_slices(known.ages))
    sides = found.predicted == predictions.outcome.labels, predictions.outcome.right
    champion, challenger = (side[kept] for side in sides)
    parted = [dataclasses.replace(slices, codes=slices.codes[kept]) for slices in parted]
    return [row for slices in parted for row in accuracy_by(slices, champion, challenger)]


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


def _labels(champion: Sequence[str], today: Sequence[str], truth: np.ndarray) -> dict[str, Any]:
    """Returns the labels that only one of them knows, and how many test examples the champion cannot have right."""
    unknown = sorted(set(today) - set(champion))
    places = [number for number, label in enumerate(today) if label in set(unknown)]
    return {
        "unknown": unknown,
        "vanished": sorted(set(champion) - set(today)),
        "unknown_examples": int(np.isin(truth, places).sum()),
    }


def _latency(champion: Loaded, sources: Sources) -> dict[str, Any]:
    models = {"champion": champion, "challenger": load_artifact(sources.model.path)}
    batches = {
        name: next(raw_batches(sources.snapshot, model.inputs, _splits(sources)))[1][:BATCH]
        for name, model in models.items()
    }
    return latency_of(models, batches)
