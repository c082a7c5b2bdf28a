"""A model into an evaluation against baselines and the champion: metrics, a verdict, a decision, and the page."""

import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluate.baselines import Baselines, fit_baselines
from components.evaluate.challenge import Challenge, challenge
from components.evaluate.challenge import Terms as ChallengeTerms
from components.evaluate.examples import task_of
from components.evaluate.folds import Crossed, cross_baselines
from components.evaluate.members import compare_all
from components.evaluate.page.history import known_versions
from components.evaluate.page.promotion import Promotion
from components.evaluate.page.report import write_page
from components.evaluate.predictions import Classifier, Predictions, predict
from components.evaluate.sources import Sources, open_sources
from components.evaluate.transfer import Comparison, learning_curve_of, read_comparison, transfer_of
from components.evaluate.verdict import learnt_of
from components.shared.artifacts.artifact import Draft, write_artifact
from components.shared.artifacts.inventory import FOLDER as INVENTORY
from components.shared.artifacts.snapshot import COUNTS, SPLITS, TRAINED_ON
from components.shared.baselines import Terms
from components.shared.errors import InputError
from components.shared.gate import NOTE, Decision, decide, rules_of
from components.shared.process.step import Progress, option
from components.shared.registry import registry
from components.shared.registry.registry import CHAMPION, Version
from components.shared.statistics import interval_of, measure, written
from components.shared.tasks import metric_of
from components.shared.tasks.scoring import Scored

PAGE, PREDICTIONS = "notes/report.html", "predictions.parquet"
_PREDICTION = 0.7  # its share of the progress


@dataclass(frozen=True)
class EvaluateSettings:
    """Settings of `evaluate`.

    Raises:
        InputError: A number of examples is less than 1, or a rule of the promotion is none that there is.
    """

    title: str = option("", "what the page calls the model; empty: its backbone")
    batch_size: int = option(64, "examples predicted at once")
    baseline_examples: int = option(50_000, "the most training examples that baselines are fitted on")
    comparison_examples: int = option(100_000, "the most test examples that baselines are scored on")
    seed: int = option(42, "of the bootstrap and the baselines")
    champion: str = option("", "name in the registry whose champion is compared; empty: none")
    promotion: dict[str, Any] = option({}, "what a challenger must show: metric, min_gain, min_value, …")
    changes: dict[str, Any] = option({}, "what detect found")

    def __post_init__(self) -> None:
        for name in ("batch_size", "baseline_examples", "comparison_examples"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        rules_of(self.promotion)
        if self.champion:
            registry.check_name(self.champion)


@dataclass(frozen=True)
class EvaluateReport:
    """What `evaluate` found; see `evaluation.json`.

    Attributes:
        digest: Of the evaluation.
        metrics: Of the model on the test split; those that are not defined there are left out.
        baselines: The same metrics of each baseline.
        best_baseline: The name of the strongest by the metric that decides.
        difference: To it, with interval.
        verdict: "better", "worse", "not shown", "the backbone adds nothing" or "nothing was learned".
        sentence: The verdict in plain words.
        labels: The classes; none where answers are none.
        confusion: Counts, rows are true classes; None for more than 200 classes, and where there are none.
        roc: `fpr`, `tpr`, `threshold` for two classes, else None.
        transfer: "positive", "none shown" or "negative"; None unless finetune was asked to check it.
        champion: The version that the model was compared with, or "".
        decision: "promote", "refuse" or "await approval".
        reasons: Of the decision, in sentences.
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
    champion: str
    decision: str
    reasons: list[str]
    report: Path


def evaluate(
    snapshot: Path, features: Path, model: Path, evaluation: Path, settings: EvaluateSettings
) -> EvaluateReport:
    """Scores a model on the test split, beside baselines and the champion on the same examples.

    One that was measured by cross-validation is scored by what models of the other folds made of all examples; its
    baselines are fitted on the same folds, and it is compared with the champion on those that this has not seen.

    The artifact holds `evaluation.json` and `predictions.parquet`, and as notes `decision.json` (whether the model is
    to become champion), `report.html`, `timing.json` and the snapshot's inventory.

    Args:
        snapshot: The folder of the snapshot: the raw test examples, and the training examples for the baselines.
        features: The folder of its features.
        model: The folder of the model that was trained on them.
        evaluation: The folder to write.
        settings: How much is compared.

    Raises:
        InputError: An artifact is damaged, or they do not belong together; or a champion is named, but the registry has
            no address, or refused the credentials.
        ServiceError: The disk is full, or the registry did not answer.
    """
    sources = open_sources(snapshot, features, model)
    stored = dataclasses.asdict(settings)
    with write_artifact(evaluation, "evaluation", stored, sources.model.lineage()) as draft:
        content, decision = _Evaluation(sources, draft, settings).run()
    return EvaluateReport(
        digest=draft.digest,
        metrics=_defined(content["metrics"]),
        baselines={name: _defined(values) for name, values in content["baselines"].items()},
        transfer=content["transfer"] and content["transfer"]["verdict"],
        champion=_compared_with(content),
        decision=decision.verdict,
        reasons=list(decision.reasons),
        report=evaluation / PAGE,
        **{name: content[name] for name in ("best_baseline", "difference", "verdict", "sentence")},
        labels=content.get("labels", []),
        confusion=content.get("confusion"),
        roc=content.get("roc"),
    )


def _defined(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


class _Evaluation:
    """One run of the step: predictions → baselines → champion → decision → page."""

    def __init__(self, sources: Sources, draft: Draft, settings: EvaluateSettings) -> None:
        self.sources, self.draft, self.settings = sources, draft, settings
        self.task = task_of(sources.snapshot)
        self.rules = rules_of(settings.promotion, self.task)
        self.metric = metric_of(self.task, self.rules.metric)
        self.crossed: Crossed | None = None
        self.progress = Progress("evaluate", 1.0)

    def run(self) -> tuple[dict[str, Any], Decision]:
        """Writes what the evaluation holds; returns the content of `evaluation.json`, and the decision."""
        name = self.settings.champion
        champion = registry.holder(name, CHAMPION) if name else None  # first: it fails at once, or not at all
        predictions = self._predict(_PREDICTION / 2 if champion else _PREDICTION)
        challenged = self._challenge(champion, predictions)
        self.progress.update(_PREDICTION, "fitting the baselines")
        arms = read_comparison(self.sources.model, self.task, predictions.statistics)
        baselines = self._baselines(predictions, arms)
        content = {**self._content(predictions, arms, baselines), "champion": challenged and challenged.comparison}
        self.draft.write_json("evaluation.json", content)
        timing = _timing(predictions, arms, baselines, challenged)
        self.draft.write_json("notes/timing.json", timing)
        decision = self._decide(content, timing)
        self._copy_inventory()
        told = Promotion(decision, champion, known_versions(name), self.rules, self.task) if name else None
        title = self.settings.title or Path(str(self.sources.model.settings.get("backbone", "model"))).name
        write_page(
            self.draft.path / PAGE, title, self.sources, self.task, content, predictions, timing,
            dataclasses.asdict(self.settings), told,
        )  # fmt: skip
        verdict = decision.verdict if name else content["verdict"]
        primary = self.task.metrics[0]
        value = content["metrics"][primary.name]
        self.progress.update(1.0, f"{verdict} · {primary.title} {'–' if value is None else written(primary, value)}")
        return content, decision

    def _predict(self, share: float) -> Predictions:
        self.progress.update(0.0, "loading the model")
        sources, size = self.sources, self.settings.batch_size
        if sources.crossed:
            self.crossed = Crossed(sources, size)
        classifier = self.crossed or Classifier(sources.model, sources.features, size)
        path = self.draft.path / PREDICTIONS
        return predict(classifier, self.sources.snapshot, path, self.progress, share)

    def _challenge(self, champion: Version | None, predictions: Predictions) -> Challenge | None:
        if champion is None:
            return None
        self.progress.update(_PREDICTION / 2, f"loading the champion, version {champion.version}")
        terms = ChallengeTerms(self.task, self.metric, self.settings.seed)
        return challenge(champion, self.sources, predictions, terms, self.progress, _PREDICTION / 2)

    def _baselines(self, predictions: Predictions, arms: Comparison) -> Baselines:
        settings, metric = self.settings, self.settings.promotion.get("metric") or ""
        rivals = {arm["name"]: arms.statistics(arm["name"]) for arm in arms.baselines}
        if self.crossed is not None:
            terms = Terms(predictions.statistics.sizes.get("classes", 0), settings.seed, metric)
            return cross_baselines(self.sources, self.crossed, terms).beside(rivals, arms.baselines)
        found = fit_baselines(
            self.sources.snapshot,
            predictions.targets,
            settings.baseline_examples,
            settings.comparison_examples,
            settings.seed,
            [point["labels_per_class"] for point in arms.curve],
            metric,
        )
        return found.beside(rivals, arms.baselines)

    def _content(self, predictions: Predictions, arms: Comparison, baselines: Baselines) -> dict[str, Any]:
        settings, rows = self.settings, self.sources.snapshot.read_json("snapshot.json")["rows"]
        learnt, statistics = learnt_of(self.sources.model), predictions.statistics
        scored = Scored(statistics, predictions.spec, self.draft.path / PREDICTIONS, learnt.history)
        return {
            "examples": len(statistics),
            "metrics": measure(self.task.metrics, statistics),
            **self._intervals(predictions),
            **self.task.scoring.details(scored),
            **compare_all(statistics, baselines, learnt, self.task, self.metric, settings.seed),
            "transfer": transfer_of(arms, settings.seed),
            "learning_curve": learning_curve_of(arms, baselines, rows["train"]),
            "rows": rows,
            "measured": {name: value for name, value in learnt.measured.items() if name != "seconds"},
            "changes": settings.changes,
        }

    def _intervals(self, predictions: Predictions) -> dict[str, Any]:
        """Returns the intervals of the metrics that decide; of a share of right examples its value tells it."""
        found = {
            metric.name: interval_of(metric, predictions.statistics, self.settings.seed)
            for metric in self.task.metrics
            if metric.decides and not metric.hits
        }
        told = {name: [ends.low, ends.high] for name, ends in found.items() if math.isfinite(ends.high - ends.low)}
        return {"intervals": told} if told else {}

    def _decide(self, content: Mapping[str, Any], timing: Mapping[str, Any]) -> Decision:
        """Decides and notes it: no part of the digest, because latency may decide."""
        compared = content["champion"]
        timed = {**compared, "latency": timing["latency"]} if compared else None
        decision = decide({**content, "champion": timed}, self.rules, self.task)
        told = {**dataclasses.asdict(decision), "champion": _compared_with(content)}
        self.draft.write_json(NOTE, told)
        return decision

    def _copy_inventory(self) -> None:
        """Hands on what `register` keeps beside the version: what was left out, and by what the next run knows news."""
        for name in self.sources.snapshot.files:
            if name.startswith(f"{INVENTORY}/") or name == COUNTS:
                (self.draft.path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.sources.snapshot.file(name), self.draft.path / name)
        file = self.draft.path / INVENTORY / "inventory.json"
        if self.crossed is not None and file.exists():  # a later test split must hold nothing that this model has seen
            told = {**json.loads(file.read_text("utf-8")), TRAINED_ON: list(SPLITS)}
            file.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")


def _compared_with(content: Mapping[str, Any]) -> str:
    return content["champion"]["version"] if content["champion"] else ""


def _timing(
    predictions: Predictions, arms: Comparison, baselines: Baselines, challenged: Challenge | None
) -> dict[str, Any]:
    """Returns what took how long: a note, because the evaluation's digest must not depend on it."""
    return {
        "seconds": predictions.seconds,
        "examples_per_second": len(predictions.statistics) / max(predictions.seconds, 1e-9),
        "device": predictions.device,
        "baselines": baselines.seconds,
        "arms": {arm["name"]: arm["seconds"] for arm in arms.arms},
        "latency": challenged and challenged.latency,
    }
