"""Promotions through an MLflow server, and in PostgreSQL: the same as in a SQLite file."""

import signal
from pathlib import Path

import pytest

from components.shared.registry import promotions, registry
from tests.components.shared.promoters import (
    Starter,
    aliases_of,
    kill,
    looking_on,
    make_versions,
    promote,
    race,
    roll_back,
    writes_of,
)
from tests.postgres import postgres, programs
from tests.servers import serving


def check(uri: str, fork: Starter, rounds: int) -> None:
    """Races, is killed, rolls back: with the MLflow that the environment leads to."""
    make_versions("raced", 2 * rounds)
    with looking_on("raced") as champions:
        assert fork(race, uri, "raced", rounds) == [{"promoted", "refused"}] * rounds
    first = next((number for number, champion in enumerate(champions) if champion), len(champions))
    assert "" not in champions[first:]
    entries = promotions.history("raced")[::-1]
    assert [(entry.number, entry.state) for entry in entries] == [(number + 1, "done") for number in range(rounds)]
    make_versions("killed", 5)
    promote("killed", 1)
    writes = writes_of(promote, "killed", 2, 1)
    assert writes[:3] == ["log_param", "set_registered_model_alias", "log_param"]
    for point, version in ((1, 3), (2, 4), (3, 5)):
        assert fork(kill, uri, point, promote, "killed", version, version - 1) == -signal.SIGKILL
        assert promote("killed", version, version - 1).verdict == "already champion"
        assert aliases_of("killed") == {"champion": str(version), "previous": str(version - 1)}
    assert roll_back("killed").verdict == "promoted"
    assert aliases_of("killed") == {"champion": "4", "previous": "5"}
    assert registry.download_inventory(registry.show_model("killed")[0], Path("inventory")) is None


def test_an_mlflow_server(registry: str, fork: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["server", "--backend-store-uri", registry, "--artifacts-destination", str(tmp_path / "artifacts")]
    with serving([*arguments, "--workers", "1"], tmp_path) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        check(address, fork, rounds=5)


@pytest.mark.slow  # its database takes MLflow's migrations to set up
def test_postgresql(fork: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if (found := programs()) is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres(found) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        check(uri, fork, rounds=20)
