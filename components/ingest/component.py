"""The KFP component of `ingest`."""

from typing import Any

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def ingest(
    snapshot: dsl.Output[dsl.Dataset],
    source: str,
    inputs: list[str],
    label: str,
    task: str,
    task_args: dict[str, Any],
    labels: list[str],
    label_codes: dict[str, str],
    normalize_labels: bool,
    splits: dict[str, str],
    group: str,
    time: str,
    slices: list[str],
    encoding: str,
    delimiter: str,
    sheet: str,
    class_level: int,
    query: str,
    max_characters: int,
    max_pixels: int,
    validation_fraction: float,
    test_fraction: float,
    max_rejects: float,
    unlabelled: str,
    min_per_class: int,
    rare_classes: str,
    near_duplicates: float,
    max_overlap: float,
    known: str,
) -> None:
    """Labelled data into a snapshot: checked, split, immutable."""
    given = dict(locals())
    from pathlib import Path

    from components.ingest import ingest as step
    from components.shared.artifacts import cache
    from components.shared.process.step import run_step
    from components.shared.sources.state import state_of

    def read() -> tuple[step.IngestReport, dict[str, str]]:
        target, settings = Path(given.pop("snapshot").path), step.IngestSettings(**given)
        work = cache.Work(
            "ingest", {}, ("snapshot", target), snapshot.uri, settings, weights=False, report=step.IngestReport,
            besides=lambda: {"data": state_of(settings.source)}, cached=False,
        )  # fmt: skip
        return cache.through(work, lambda: step.ingest(target, settings))

    report, taken = run_step(read, "ingest")
    snapshot.metadata.update(digest=report.digest, rows=report.rows, rejected=report.rejected, **taken)
