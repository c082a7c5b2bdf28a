"""Retraining: the main pipeline behind a look at the data; if nothing has changed, nothing happens."""

from kfp import dsl

from components.detect.component import detect
from components.detect.detect import DetectSettings
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings
from components.transform.transform import TransformSettings
from pipelines.finetune import Model, Promotion, chain
from pipelines.parameters import Given, chosen, pipeline


def _retrain(given: Given) -> None:
    """Trains if the data has changed, from the champion's weights, and promotes what is better."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    detected = detect(**chosen(detect, {**given, "pipeline_run": run})).set_caching_options(False)
    found = {name: detected.outputs[name] for name in ("backbone", "alternative", "known")}
    with dsl.If(detected.outputs["changed"] == True, name="changed"):  # noqa: E712  (a condition of kfp's)
        chain({**given, **found, "changes": detected.outputs["summary"]})


retrain_pipeline = pipeline(
    "graft-retrain",
    "New data in, a better model out: trained and promoted only if there is something to learn.",
    *(Model, IngestSettings, FinetuneSettings, TransformSettings, Promotion, DetectSettings),
    without=["experiment", "alternative", "known", "pipeline_run"],
)(_retrain)
