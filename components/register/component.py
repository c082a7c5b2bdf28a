"""The KFP component of `register`."""

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def register(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    version: dsl.Output[dsl.Artifact],
    name: str,
    pipeline_run: str,
) -> None:
    """A model into a version in the MLflow registry, with alias `challenger`."""
    from pathlib import Path

    from components.register import register as step
    from components.shared.process.step import run_step

    places = {"model": model.uri, "evaluation": evaluation.uri}
    settings = step.RegisterSettings(name=name, experiment=name, pipeline_run=pipeline_run, places=places)
    report = run_step(
        lambda: step.register(Path(model.path), Path(evaluation.path), Path(version.path), settings), "register"
    )
    version.metadata.update(model=report.model, version=report.version, uri=report.uri)
