"""A root as runs leave it, made without training: run folders, a store with a version, in each the same model."""

import json
import shutil
from pathlib import Path

from components.register.register import RegisterSettings, register
from components.shared.registry import tracking
from pipelines.command.cli import main
from pipelines.local import attempts
from tests.components.register.evaluations import write_evaluation

WEIGHTS = "model.safetensors"


def make_root(root: Path, model: Path, empty_database: Path) -> Path:
    """Makes a root with one run, which registered a model; returns the run's folder."""
    root.mkdir()
    shutil.copyfile(empty_database, root / "mlflow.db")
    tracking.use_embedded(root)
    return add_run(root, model)


def add_run(root: Path, model: Path) -> Path:
    """Adds a run that registered a model; returns its folder."""
    with attempts.begun(root, "topics", "finetune") as folder:
        own = Path(shutil.copytree(model, folder / "pipeline/finetune/model"))
        client = tracking.client()
        run = client.create_run(tracking.experiment_id(client, "topics"), tags={"graft.output": f"elsewhere:{own}"})
        client.set_terminated(run.info.run_id)
        manifest = json.loads((own / "manifest.json").read_text())
        manifest["producer"]["mlflow_run_id"] = run.info.run_id
        (own / "manifest.json").write_text(json.dumps(manifest))
        evaluation = write_evaluation(own, folder / "pipeline/evaluate/evaluation")
        register(own, evaluation, folder / "pipeline/register/version", RegisterSettings("topics"))
    return folder


def graft(*arguments: str | Path) -> int:
    """Runs the command."""
    return main([str(argument) for argument in arguments])


def packages(root: Path) -> list[Path]:
    """Returns the models in the store of a root."""
    return sorted(root.glob("mlflow-artifacts/*/*/artifacts/model"))


def files_below(folder: Path) -> set[str]:
    """Returns the files below a folder, but locks, and what SQLite keeps beside a file."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix() for path in paths if not path.name.endswith(("lock", ".use", "-journal"))}
