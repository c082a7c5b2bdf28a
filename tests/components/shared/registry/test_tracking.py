from pathlib import Path

import pytest

from components.shared.errors import InputError
from components.shared.registry import tracking


def test_an_experiment_is_made_once_and_its_artifacts_lie_beside_the_database(registry: str, tmp_path: Path) -> None:
    client = tracking.client()
    first = tracking.experiment_id(client, "ships and boats")
    assert tracking.experiment_id(client, "ships and boats") == first
    assert client.get_experiment(first).artifact_location.startswith(tmp_path.as_uri())
    assert not (tmp_path / "mlruns").exists()
    client.delete_experiment(first)
    with pytest.raises(InputError, match="was deleted"):
        tracking.experiment_id(client, "ships and boats")


def test_a_database_in_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new/mlflow.db")
    assert tracking.client().get_experiment_by_name("graft") is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(InputError, match="cannot be made"):
        tracking.client()
