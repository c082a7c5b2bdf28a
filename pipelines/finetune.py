"""The main pipeline: labelled data in, a registered model out, promoted if it is better."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.component import ingest
from components.ingest.ingest import IngestSettings
from components.promote.component import promote
from components.register.component import register
from components.shared.process.step import option, required
from components.transform.component import transform
from components.transform.transform import TransformSettings
from pipelines.parameters import Given, chosen, pipeline


@dataclass(frozen=True)
class Model:
    """What a pipeline makes; its name is the MLflow experiment, too, and the page's title."""

    model: str = required("name in the registry; also the MLflow experiment")


@dataclass(frozen=True)
class Promotion:
    """What decides whether the model becomes champion."""

    promotion: dict[str, Any] = option({}, "what it must show to become champion; empty: to be better")


class Outputs(NamedTuple):
    """The artifacts that a run leaves."""

    snapshot: dsl.Dataset
    features: dsl.Dataset
    model: dsl.Model
    evaluation: dsl.Artifact
    page: dsl.HTML
    version: dsl.Artifact
    promotion: dsl.Artifact


def chain(given: Given) -> Outputs:
    """Chains ingest, transform, finetune, evaluate, register and promote.

    Kubeflow caches none of them: its key knows nothing of what lies at a path, of who is champion, or that a new
    artifact holds what an older one held. Transform and finetune look for themselves: see
    `components.shared.artifacts.cache`.
    """
    model, run = given["model"], dsl.PIPELINE_JOB_ID_PLACEHOLDER
    ingested = ingest(**chosen(ingest, given)).set_caching_options(False)
    snapshot = ingested.outputs["snapshot"]
    transformed = transform(snapshot=snapshot, **chosen(transform, given)).set_caching_options(False)
    features: Any = transformed.outputs["features"]
    started = {"experiment": model, "backbone": transformed.outputs["pinned"]}  # an alias may move meanwhile
    asked = chosen(finetune, {**given, **started})
    trained = finetune(features=features, snapshot=snapshot, **asked).set_caching_options(False)
    network: Any = trained.outputs["model"]
    asked = chosen(evaluate, {**given, "title": model, "champion": model})
    evaluated = evaluate(snapshot=snapshot, features=features, **{**asked, "model": network}).set_caching_options(False)
    evaluation: Any = evaluated.outputs["evaluation"]
    registered = register(model=network, evaluation=evaluation, name=model, pipeline_run=run)
    version: Any = registered.set_caching_options(False).outputs["version"]
    promoted = promote(version=version, evaluation=evaluation, name=model, pipeline_run=run).set_caching_options(False)
    return Outputs(
        snapshot=snapshot,
        features=features,
        model=network,
        evaluation=evaluation,
        page=evaluated.outputs["page"],
        version=version,
        promotion=promoted.outputs["promotion"],
    )


def _first_time(given: Given) -> Outputs:
    """Trains from the backbone, on all data alike."""
    return chain({**given, "alternative": "", "known": "", "replay": 1.0, "changes": {}})


finetune_pipeline = pipeline(
    "graft-finetune",
    "Labelled data in, a registered model out, promoted if it is better.",
    *(Model, IngestSettings, FinetuneSettings, TransformSettings, Promotion),
    without=["experiment", "alternative", "known", "replay"],
    outputs=Outputs,
)(_first_time)
