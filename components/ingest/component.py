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
    from components.shared.step import run_step

    target = Path(given.pop("snapshot").path)
    report = run_step(lambda: step.ingest(target, step.IngestSettings(**given)), "ingest")
    snapshot.metadata.update(digest=report.digest, rows=report.rows, rejected=report.rejected)
