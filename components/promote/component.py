"""The KFP component of `promote`."""

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def promote(
    version: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
    name: str,
    pipeline_run: str,
) -> None:
    """A version that evaluation found better into the champion."""
    from pathlib import Path

    from components.promote import promote as step
    from components.shared.process.step import run_step

    settings = step.PromoteSettings(name=name, pipeline_run=pipeline_run)
    report = run_step(
        lambda: step.promote(Path(version.path), Path(evaluation.path), Path(promotion.path), settings), "promote"
    )
    promotion.metadata.update(version=report.version, verdict=report.verdict, champion=report.champion)
