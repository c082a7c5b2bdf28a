from collections.abc import Iterator
from pathlib import Path

import pytest

from components.register.register import RegisterSettings, register
from tests.components.register.evaluations import write_evaluation
from tests.components.register.image_models import write_image_model


@pytest.fixture(scope="session")
def evaluation(model: Path) -> Path:
    """An evaluation of `model`."""
    return write_evaluation(model, model.parent / "evaluation-to-register")


@pytest.fixture(scope="session")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells dark pictures from light ones."""
    return write_image_model(tmp_path_factory.mktemp("image") / "model")


@pytest.fixture(scope="module")
def shades(image_model: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `image_model` in a registry of its own."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        evaluation = write_evaluation(image_model, folder / "evaluation")
        yield register(image_model, evaluation, folder / "version", RegisterSettings("shades")).uri
