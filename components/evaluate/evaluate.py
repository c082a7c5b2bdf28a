"""A model into an evaluation against baselines: metrics, predictions, a verdict, and the page that tells it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluate.baselines import Baselines, fit_baselines
from components.evaluate.comparison import best_of, paired_difference, sentence_of, verdict_of
from components.evaluate.predictions import Classifier, Predictions, predict
from components.evaluate.report import write_page
from components.evaluate.scores import class_metrics, metrics_of, most_confused, reliability, roc
from components.evaluate.sources import Sources, open_sources
from components.evaluate.transfer import Comparison, learning_curve_of, read_comparison, transfer_of
from components.shared import metrics
from components.shared.artifact import Draft, write_artifact
from components.shared.errors import InputError
from components.shared.step import Progress, option

MAX_CONFUSION = 200  # classes; a larger matrix is megabytes of zeros
PAGE = "notes/report.html"
_PREDICTION = 0.7  # its share of the progress


@dataclass(frozen=True)
class EvaluateSettings:
    """Settings of `evaluate`.

    Raises:
        InputError: A number of examples is less than 1.
    """

    title: str = option("", "what the page calls the model; empty: its backbone")
    batch_size: int = option(64, "examples predicted at once")
    baseline_examples: int = option(50_000, "the most training examples that baselines are fitted on")
    comparison_examples: int = option(100_000, "the most test examples that baselines are scored on")
    seed: int = option(42, "of the bootstrap and the baselines")

    def __post_init__(self) -> None:
        for name in ("batch_size", "baseline_examples", "comparison_examples"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")


@dataclass(frozen=True)
class EvaluateReport:
    """What `evaluate` found; see `evaluation.json`.

    Attributes:
        digest: Of the evaluation.
        metrics: Of the model on the test split; those that are not defined there are left out.
        baselines: The same metrics of each baseline.
        best_baseline: The name of the most accurate.
        difference: To it, with interval.
        verdict: "better", "worse" or "not shown".
        sentence: The verdict in plain words.
        labels: The classes.
        confusion: Counts, rows are true classes; None for more than 200 classes.
        roc: `fpr`, `tpr`, `threshold` for two classes, else None.
        transfer: "positive", "none shown" or "negative"; None unless finetune was asked to check it.
        report: The page.
    """

    digest: str
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    best_baseline: str
    difference: dict[str, Any]
    verdict: str
    sentence: str
    labels: list[str]
    confusion: list[list[int]] | None
    roc: dict[str, list[float]] | None
    transfer: str | None
    report: Path


def evaluate(
    snapshot: Path, features: Path, model: Path, evaluation: Path, settings: EvaluateSettings
) -> EvaluateReport:
    """Scores a model on the test split, beside baselines on the same examples.

    The artifact holds `evaluation.json` and `predictions.parquet`, and as notes `report.html` and `timing.json`.

    Args:
        snapshot: The folder of the snapshot: the raw test examples, and the training examples for the baselines.
        features: The folder of its features.
        model: The folder of the model that was trained on them.
        evaluation: The folder to write.
        settings: How much is compared.

    Raises:
        InputError: An artifact is damaged, or they do not belong together.
        ServiceError: The disk is full.
    """
    sources = open_sources(snapshot, features, model)
    stored = dataclasses.asdict(settings)
    with write_artifact(evaluation, "evaluation", stored, sources.model.lineage()) as draft:
        content = _evaluate(sources, draft, settings)
    return EvaluateReport(
        digest=draft.digest,
        metrics=_defined(content["metrics"]),
        baselines={name: _defined(values) for name, values in content["baselines"].items()},
        transfer=content["transfer"] and content["transfer"]["verdict"],
        report=evaluation / PAGE,
        **{name: content[name] for name in ("best_baseline", "difference", "verdict", "sentence")},
        **{name: content[name] for name in ("labels", "confusion", "roc")},
    )


def _defined(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _evaluate(sources: Sources, draft: Draft, settings: EvaluateSettings) -> dict[str, Any]:
    """Writes what the evaluation holds; returns the content of `evaluation.json`."""
    progress = Progress("evaluate", 1.0)
    progress.update(0.0, "loading the model")
    classifier = Classifier(sources.model, sources.features, settings.batch_size)
    predictions = predict(classifier, sources.snapshot, draft.path / "predictions.parquet", progress, _PREDICTION)
    progress.update(_PREDICTION, "fitting the baselines")
    comparison = read_comparison(sources.model, predictions.outcome)
    baselines = fit_baselines(
        sources.snapshot,
        predictions.outcome.labels,
        settings.baseline_examples,
        settings.comparison_examples,
        settings.seed,
        [point["labels_per_class"] for point in comparison.curve],
    )
    train_examples = sources.snapshot.read_json("snapshot.json")["rows"]["train"]
    content = {
        **_scores(predictions, classifier.labels),
        **_compare(predictions, baselines, settings.seed),
        "transfer": transfer_of(comparison, settings.seed),
        "learning_curve": learning_curve_of(comparison, baselines, train_examples),
    }
    draft.write_json("evaluation.json", content)
    timing = _timing(predictions, comparison)
    draft.write_json("notes/timing.json", timing)
    title = settings.title or Path(str(sources.model.settings.get("backbone", "model"))).name
    write_page(draft.path / PAGE, title, sources, content, predictions.mistakes, timing, dataclasses.asdict(settings))
    progress.update(1.0, f"{content['verdict']} · accuracy {content['metrics']['accuracy']:.3f}")
    return content


def _scores(predictions: Predictions, labels: list[str]) -> dict[str, Any]:
    outcome = predictions.outcome
    confusion = metrics.confusion_matrix(outcome.labels, outcome.predicted, len(labels))
    return {
        "examples": len(outcome.labels),
        "labels": labels,
        "metrics": metrics_of(outcome),
        "classes": class_metrics(outcome, labels),
        "confusion": confusion.tolist() if len(labels) <= MAX_CONFUSION else None,
        "most_confused": most_confused(confusion, labels),
        "reliability": reliability(outcome),
        "roc": roc(outcome),
    }


def _compare(predictions: Predictions, baselines: Baselines, seed: int) -> dict[str, Any]:
    scores: Mapping[str, dict[str, float | None]] = {
        name: metrics_of(outcome) for name, outcome in baselines.outcomes.items()
    }
    ours = predictions.outcome.first(baselines.test_examples).right
    differences = {name: paired_difference(ours, outcome.right, seed) for name, outcome in baselines.outcomes.items()}
    best = best_of(scores)
    difference, complete = differences[best], not baselines.failure
    verdict = verdict_of(difference, complete)
    accuracy = (float(ours.mean()), float(baselines.outcomes[best].right.mean()))
    return {
        "baselines": scores,
        "baselines_failure": baselines.failure,
        "baselines_train_examples": baselines.train_examples,
        "baselines_test_examples": baselines.test_examples,
        "best_baseline": best,
        "difference": dataclasses.asdict(difference),
        "differences": {name: dataclasses.asdict(found) for name, found in differences.items()},
        "verdict": verdict,
        "sentence": sentence_of(verdict, difference, accuracy, best, complete),
    }


def _timing(predictions: Predictions, comparison: Comparison) -> dict[str, Any]:
    """Returns what took how long: a note, because the evaluation's digest must not depend on it."""
    return {
        "seconds": predictions.seconds,
        "examples_per_second": len(predictions.outcome.labels) / max(predictions.seconds, 1e-9),
        "device": predictions.device,
        "arms": {arm["name"]: arm["seconds"] for arm in comparison.arms},
    }
