"""On Kubeflow: compiling a job's pipeline."""

from pathlib import Path

from components.shared.errors import InputError
from pipelines.job import Job


def compile_pipeline(job: Job, output: Path) -> None:
    """Compiles the finetune pipeline of a job into a package that Kubeflow takes.

    The job's values become the defaults of the pipeline's parameters: a run can be started with others from
    Kubeflow's page.

    Args:
        job: What is to run.
        output: The YAML file to write.

    Raises:
        InputError: The output is no YAML file, or cannot be written.
    """
    from kfp import compiler

    from pipelines.finetune import finetune_pipeline

    if output.suffix not in (".yaml", ".yml"):
        raise InputError(f"{output} is no YAML file: name the package something.yaml.")
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} does not exist. Make it first.")
    compiler.Compiler().compile(finetune_pipeline, str(output), pipeline_parameters=job.arguments())
