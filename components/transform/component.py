"""The KFP component of `transform`."""

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def transform(
    snapshot: dsl.Input[dsl.Dataset],
    features: dsl.Output[dsl.Dataset],
    backbone: str,
    max_length: int,
) -> None:
    """A snapshot into features: what the backbone eats."""
    from pathlib import Path

    from components.shared.step import run_step
    from components.transform import transform as step

    settings = step.TransformSettings(backbone=backbone, max_length=max_length)
    report = run_step(lambda: step.transform(Path(snapshot.path), Path(features.path), settings))
    features.metadata.update(digest=report.digest, rows=report.rows, mean_length=report.mean_length)
    features.metadata.update(at_max_length=report.at_max_length)
