"""The main pipeline: labelled data in, a registered model out."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.component import ingest
from components.ingest.ingest import IngestSettings
from components.register.component import register
from components.shared.step import required
from components.transform.component import transform
from components.transform.transform import TransformSettings
from pipelines.parameters import Given, chosen, pipeline


@dataclass(frozen=True)
class Model:
    """What a pipeline makes; its name is the MLflow experiment, too, and the page's title."""

    model: str = required("name in the registry; also the MLflow experiment")


class Outputs(NamedTuple):
    """The artifacts that a run leaves."""

    snapshot: dsl.Dataset
    features: dsl.Dataset
    model: dsl.Model
    evaluation: dsl.Artifact
    page: dsl.HTML
    version: dsl.Artifact


def chain(given: Given) -> Outputs:
    """Chains ingest, transform, finetune, evaluate and register."""
    model = given["model"]
    ingested = ingest(**chosen(ingest, given)).set_caching_options(False)
    snapshot = ingested.outputs["snapshot"]
    features = transform(snapshot=snapshot, **chosen(transform, given)).outputs["features"]
    trained = finetune(features=features, **chosen(finetune, {**given, "experiment": model}))
    network: Any = trained.outputs["model"]
    evaluated = evaluate(snapshot=snapshot, features=features, model=network, title=model, seed=given["seed"])
    evaluation = evaluated.outputs["evaluation"]
    registered = register(model=network, evaluation=evaluation, name=model).set_caching_options(False)
    return Outputs(
        snapshot=snapshot,
        features=features,
        model=network,
        evaluation=evaluation,
        page=evaluated.outputs["page"],
        version=registered.outputs["version"],
    )


finetune_pipeline = pipeline(
    "graft-finetune",
    "Labelled data in, a registered model out.",
    *(Model, IngestSettings, FinetuneSettings, TransformSettings),
    without=["experiment"],
    outputs=Outputs,
)(chain)
