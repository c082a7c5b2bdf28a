"""The KFP component of `ingest`."""

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def ingest(
    snapshot: dsl.Output[dsl.Dataset],
    source: str,
    inputs: list[str],
    label: str,
    task: str,
    labels: list[str],
    splits: dict[str, str],
    validation_fraction: float,
    test_fraction: float,
    max_rejects: float,
    max_characters: int,
) -> None:
    """Labelled data into a snapshot: checked, split, immutable."""
    from pathlib import Path

    from components.ingest import ingest as step
    from components.shared.step import run_step

    settings = step.IngestSettings(
        source=source,
        inputs=inputs,
        label=label,
        task=task,
        labels=labels,
        splits=splits,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        max_rejects=max_rejects,
        max_characters=max_characters,
    )
    report = run_step(lambda: step.ingest(Path(snapshot.path), settings))
    snapshot.metadata.update(digest=report.digest, rows=report.rows, rejected=report.rejected)
