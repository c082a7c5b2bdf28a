"""On Kubeflow: compiling a job's pipeline, and what a deployment adds to each of its steps."""

import functools
import math
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes
from kfp.dsl.pipeline_context import Pipeline

from components.notify.webhook import ADDRESS as NOTIFY_ADDRESS
from components.shared.artifacts.cache import CACHE
from components.shared.artifacts.checkpoints import CHECKPOINTS
from components.shared.artifacts.producer import IMAGE
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.registry import records, tracking
from components.shared.storage.patience import OF_A_RUN, PATIENCE
from pipelines.cluster.deployment import Deployment
from pipelines.cluster.kubernetes_fields import cores
from pipelines.cluster.steps import AcceleratedStep, Step
from pipelines.finetune import finetune_pipeline
from pipelines.jobs.job import Job
from pipelines.notices import with_notice
from pipelines.retrain import retrain_pipeline

PIPELINES = {"finetune": finetune_pipeline, "retrain": retrain_pipeline}

_SCRATCH = "/tmp"  # the home of the images, too: what comes from the hub is kept below it
_SHARED_MEMORY = "/dev/shm"
_CACHED = ("transform", "finetune")
_RUN_LABEL = "metadata.labels['pipeline/runid']"  # of each pod of a run; a parameter would be part of the cache's key


def compile_pipeline(job: Job, output: Path, deployment: Deployment | None = None, pipeline: str = "finetune") -> None:
    """Compiles a pipeline of a job into a package that Kubeflow takes.

    The job's values become the defaults of the pipeline's parameters: a run can be started with others from
    Kubeflow's page.

    Args:
        job: What is to run.
        output: The YAML file to write; with a deployment its second document is the platform's.
        deployment: What the cluster has; None: a package without images that a cluster can pull.
        pipeline: One of `PIPELINES`.

    Raises:
        InputError: There is no such pipeline; the output is no YAML file, or cannot be written.
    """
    if output.suffix not in (".yaml", ".yml"):
        raise InputError(f"{output} is no YAML file: name the package something.yaml.")
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} does not exist. Make it first.")
    if pipeline not in PIPELINES:
        near = did_you_mean(pipeline, PIPELINES)
        raise InputError(f"There is no pipeline {pipeline!r}; there is: {quote_all(PIPELINES)}.{near}")
    fitted = _fitted(PIPELINES[pipeline], job, deployment)
    compiler.Compiler().compile(fitted, str(output), pipeline_parameters=job.arguments(pipeline))


def _fitted(pipeline: Any, job: Job, deployment: Deployment | None) -> Any:
    """Returns a pipeline whose steps get what a deployment says, and know their job's model.

    kfp makes a pipeline's tasks when it is defined: it is defined anew, by the same function.
    """
    if deployment and (told := deployment.notify):
        pipeline = with_notice(pipeline, told.template, told.events, deployment.kubeflow.page(""))

    @functools.wraps(pipeline.pipeline_func)
    def define(*parameters: Any) -> Any:
        outputs = pipeline.pipeline_func(*parameters)
        for task in Pipeline.get_default_pipeline().tasks.values():
            if deployment:
                _apply(deployment, task, job.model)
        return outputs

    root = deployment.pipeline_root if deployment else None
    return dsl.pipeline(name=pipeline.name, description=pipeline.description, pipeline_root=root)(define)


def _apply(deployment: Deployment, task: dsl.PipelineTask, model: str) -> None:
    # To name its caller, should the task be none of a container, kfp looks up the source of each frame of the stack at
    # every setting: half of the time that compiling takes.
    task._ensure_container_spec_exists = lambda: None
    step = deployment.steps.of(task.component_spec.name)
    _pull(deployment, task)
    _set_environment(deployment, step, task, model)
    _size(step, task)
    _place(step, task)
    _mount(step, task)
    _bound(step, task)
    for key, value in deployment.labels.items():
        kubernetes.add_pod_label(task, key, value)
    kubernetes.set_security_context(task, **deployment.security.model_dump())


def _pull(deployment: Deployment, task: dsl.PipelineTask) -> None:
    task.set_container_image(deployment.image(task.container_spec.image))
    kubernetes.set_image_pull_policy(task, deployment.images.pull_policy)
    if deployment.images.pull_secrets:
        kubernetes.set_image_pull_secrets(task, deployment.images.pull_secrets)


def _set_environment(deployment: Deployment, step: Step, task: dsl.PipelineTask, model: str) -> None:
    for name, value in {**_threads(step), PATIENCE: OF_A_RUN, **deployment.environment}.items():
        task.set_env_variable(name, value)
    # Every step: one that fails leaves its reason there.
    own = {"MLFLOW_TRACKING_URI": deployment.mlflow, tracking.DEPLOYED: deployment.mlflow}
    for name, value in {**own, records.MODEL: model, records.PAGES: deployment.kubeflow.page("")}.items():
        task.set_env_variable(name, value)
    kubernetes.use_field_path_as_env(task, records.RUN, _RUN_LABEL)
    if task.component_spec.name in _CACHED and step.cache and deployment.cache:
        task.set_env_variable(CACHE, deployment.cache)
        task.set_env_variable(IMAGE, task.container_spec.image)
    if task.component_spec.name == "finetune" and deployment.checkpoints:
        task.set_env_variable(CHECKPOINTS, deployment.environment.get(CHECKPOINTS, deployment.checkpoints))
        task.set_env_variable(IMAGE, task.container_spec.image)
    for name, source in deployment.secrets_of(task.component_spec.name).items():
        kubernetes.use_secret_as_env(task, source.secret, {source.key: name})
    if deployment.notify and task.component_spec.name == "notify":
        url = deployment.notify.url
        # Without the secret nobody is told; a pod that cannot start for it would keep the run from ending.
        kubernetes.use_secret_as_env(task, url.secret, {url.key: NOTIFY_ADDRESS}, optional=True)


def _threads(step: Step) -> dict[str, str]:
    """Returns variables that keep libraries to the step's share of a node: they count its cores, and know no limit."""
    cpu = step.limits.cpu or step.requests.cpu
    return {"OMP_NUM_THREADS": str(max(1, math.ceil(cores(cpu))))} if cpu else {}


def _size(step: Step, task: dsl.PipelineTask) -> None:
    for amount, set_amount in (
        (step.requests.cpu, task.set_cpu_request),
        (step.requests.memory, task.set_memory_request),
        (step.limits.cpu, task.set_cpu_limit),
        (step.limits.memory, task.set_memory_limit),
    ):
        if amount:
            set_amount(amount)
    if isinstance(step, AcceleratedStep) and step.accelerator:
        task.set_accelerator_type(step.accelerator.type)
        task.set_accelerator_limit(step.accelerator.count)


def _place(step: Step, task: dsl.PipelineTask) -> None:
    for key, value in step.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    required = [expression for expression in step.affinity if expression.weight is None]
    if required:  # in one term all must hold; of several terms one
        kubernetes.add_node_affinity(task, [told.model_dump(exclude={"weight"}) for told in required])
    for preferred in (expression for expression in step.affinity if expression.weight):
        told = preferred.model_dump(exclude={"weight"})
        kubernetes.add_node_affinity(task, [told], weight=preferred.weight)
    for toleration in step.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())


def _mount(step: Step, task: dsl.PipelineTask) -> None:
    if step.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", _SHARED_MEMORY, "Memory", step.shared_memory)
    if not step.scratch:
        return
    task.set_env_variable("TMPDIR", _SCRATCH)
    if step.scratch.storage_class:
        kubernetes.add_ephemeral_volume(
            task, "scratch", _SCRATCH, ["ReadWriteOnce"], step.scratch.size, step.scratch.storage_class
        )
    else:
        kubernetes.empty_dir_mount(task, "scratch", _SCRATCH, size_limit=step.scratch.size)


def _bound(step: Step, task: dsl.PipelineTask) -> None:
    if step.timeout:
        kubernetes.set_timeout(task, step.timeout)
    if step.retries:
        task.set_retry(step.retries, backoff_duration=f"{step.backoff}s", backoff_factor=2.0)
