"""The KFP component of `evaluate`."""

from typing import Any

from kfp import dsl

from components.shared.images import TRAINER


@dsl.component(base_image=TRAINER, install_kfp_package=False)
def evaluate(
    snapshot: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.HTML],
    title: str,
    champion: str,
    promotion: dict[str, Any],
    changes: dict[str, Any],
    seed: int,
) -> None:
    """A model into an evaluation against baselines and the champion, with a page to look at."""
    import shutil
    from pathlib import Path

    from components.shared.process.parameters import restore
    from components.shared.process.step import run_step

    given = {"title": title, "champion": champion, "promotion": promotion, "changes": changes, "seed": seed}

    def step() -> None:
        from components.evaluate.champion import champion_now
        from components.evaluate.evaluate import PAGE, EvaluateReport, EvaluateSettings, evaluate
        from components.shared.artifacts import cache

        settings = EvaluateSettings(**restore(given))
        sources = {"snapshot": Path(snapshot.path), "features": Path(features.path), "model": Path(model.path)}
        target = Path(evaluation.path)
        ways = (sources, ("evaluation", target), evaluation.uri)
        work = cache.Work(
            "evaluate", *ways, settings, weights=False, report=EvaluateReport, besides=lambda: champion_now(champion),
            cached=False,
        )  # fmt: skip
        report, taken = cache.through(work, lambda: evaluate(**sources, evaluation=target, settings=settings))
        evaluation.metadata.update(digest=report.digest, verdict=report.verdict, transfer=report.transfer or "")
        evaluation.metadata.update(decision=report.decision, reasons=" ".join(report.reasons), champion=report.champion)
        for name, value in report.metrics.items():
            metrics.log_metric(name, value)
        if report.confusion:
            classification.log_confusion_matrix(report.labels, report.confusion)
        if report.roc:
            classification.log_roc_curve(**report.roc)
        evaluation.metadata.update(taken)
        shutil.copyfile(target / PAGE, page.path)

    run_step(step, "evaluate")
