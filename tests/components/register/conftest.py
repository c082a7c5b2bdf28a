from pathlib import Path

import pytest

from tests.components.register.evaluations import write_evaluation


@pytest.fixture(scope="session")
def evaluation(model: Path) -> Path:
    """An evaluation of `model`."""
    return write_evaluation(model, model.parent / "evaluation-to-register")
