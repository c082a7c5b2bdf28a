"""The step: what evaluation decided becomes of a version, and is told."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.promote.promote import PromoteReport, PromoteSettings, promote
from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.errors import InputError, ServiceError
from components.shared.registry import promotions, tracking
from tests.components.register.processes import BLOCKED
from tests.components.shared.promoters import aliases_of, make_versions
from tests.servers import free_port

PROMOTE = BLOCKED + 'import runpy; runpy.run_module("components.promote", run_name="__main__")'
DEMO = PromoteSettings("demo")


def decided(verdict: str, champion: str = "", reason: str = "It is better.") -> dict[str, Any]:
    return {"verdict": verdict, "reasons": [reason, "It is quick."], "champion": champion}


def write_artifacts(folder: Path, version: int, decision: dict[str, Any] | None) -> tuple[Path, Path]:
    """Writes the artifacts of a version and of its evaluation, cut down to what `promote` reads."""
    with write_artifact(folder / "evaluation", "evaluation", {}, {"model": "m" * 64}) as draft:
        draft.write_json("evaluation.json", {"version": version})
        if decision:
            draft.write_json("notes/decision.json", decision)
    with write_artifact(folder / "version", "version", {}, {"model": "m" * 64, "evaluation": draft.digest}) as told:
        told.write_json("version.json", {"model": "demo", "version": str(version)})
    return folder / "version", folder / "evaluation"


def step(folder: Path, version: int, decision: dict[str, Any] | None, run: str = "") -> PromoteReport:
    """Runs the step in a folder of its own."""
    number = len(list(folder.glob("step-*")))
    paths = write_artifacts(folder / f"step-{number}", version, decision)
    return promote(*paths, folder / f"step-{number}/promotion", PromoteSettings("demo", run))


@pytest.mark.usefixtures("registry")
def test_what_evaluation_found_better_is_champion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 2)
    step(tmp_path, 1, decided("promote"))
    report = step(tmp_path, 2, decided("promote", "1"), run="nightly 7")
    told = open_artifact(tmp_path / "step-1/promotion", "promotion")
    assert told.read_json("promotion.json") == {
        "model": "demo",
        "version": "2",
        "promoted": True,
        "verdict": "promoted",
        "reasons": ["It is better.", "It is quick."],
        "aliases": {"champion": "2", "previous": "1"},
        "champion": "2",
        "previous": "1",
    }
    assert report.digest == told.digest
    assert set(told.inputs) == {"model", "evaluation", "version"}
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "It is better.",
        "It is quick.",
        "graft: promote 100% · demo version 2: promoted",
    ]
    newest = promotions.history("demo")[0]
    assert (newest.who, newest.why) == ("nightly 7", "It is better. It is quick.")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(("verdict", "told"), [("refuse", "refused"), ("await approval", "awaits approval")])
def test_what_it_did_not_is_left_alone(verdict: str, told: str, tmp_path: Path) -> None:
    make_versions("demo", 2)
    step(tmp_path, 1, decided("promote"))
    report = step(tmp_path, 2, decided(verdict, "1", "It is worse."))
    assert (report.verdict, report.promoted, report.reasons) == (told, False, ["It is worse.", "It is quick."])
    assert (report.champion, report.previous, report.aliases) == ("1", "", {"champion": "1"})
    assert len(promotions.history("demo")) == 1


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("verdict", ["promote", "refuse"])
def test_it_can_be_run_again(verdict: str, tmp_path: Path) -> None:
    make_versions("demo", 1)
    step(tmp_path, 1, decided("promote"))
    report = step(tmp_path, 1, decided(verdict, "1"))  # evaluated against itself, it is no better
    assert (report.verdict, report.promoted, report.champion) == ("already champion", False, "1")


@pytest.mark.usefixtures("registry")
def test_another_became_champion_since_it_was_compared(tmp_path: Path) -> None:
    make_versions("demo", 3)
    for version, champion in ((1, ""), (2, "1")):
        step(tmp_path, version, decided("promote", champion))
    report = step(tmp_path, 3, decided("promote", "1"))
    assert (report.verdict, report.champion) == ("refused", "2")
    assert "version 3 was compared with version 1, but version 2 is champion now" in report.reasons[0].lower()


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("verdict", ["promote", "refuse"])
def test_a_killed_try_is_finished_by_the_next(verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_versions("demo", 2)
    step(tmp_path, 1, decided("promote"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.set_registered_model_alias", interrupt)
        with pytest.raises(KeyboardInterrupt):
            step(tmp_path, 2, decided("promote", "1"))
    assert not (tmp_path / "step-1/promotion").exists()
    assert promotions.history("demo")[0].state == ""
    report = step(tmp_path, 2, decided(verdict, "1"))
    assert (report.verdict, report.champion, report.previous) == ("already champion", "2", "1")


@pytest.mark.usefixtures("registry")
def test_from_the_shell_without_torch(tmp_path: Path) -> None:
    make_versions("demo", 1)
    write_artifacts(tmp_path, 1, decided("promote"))
    folders = [f"--{kind}={tmp_path / kind}" for kind in ("version", "evaluation", "promotion")]
    done = subprocess.run(
        [sys.executable, "-c", PROMOTE, "torch,kfp,safetensors,sklearn", *folders, "--name=demo"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "graft: promote 100% · demo version 1: promoted" in done.stdout
    assert done.stderr == ""  # no chatter
    assert aliases_of("demo") == {"champion": "1"}


@pytest.mark.usefixtures("registry")
def test_what_does_not_belong_together(tmp_path: Path) -> None:
    make_versions("demo", 2)
    version, evaluation = write_artifacts(tmp_path / "one", 1, decided("promote"))
    other = write_artifacts(tmp_path / "two", 2, decided("promote"))[1]
    with pytest.raises(InputError, match="was registered with another evaluation"):
        promote(version, other, tmp_path / "promotion", DEMO)
    with pytest.raises(InputError, match="is one of 'demo'; one of 'boats' was expected"):
        promote(version, evaluation, tmp_path / "promotion", PromoteSettings("boats"))
    with pytest.raises(InputError, match=r"tells no decision \(notes/decision.json is missing\)"):
        step(tmp_path, 1, None)
    with pytest.raises(InputError, match="'demo' has no version '3'; it has '2', '1'"):
        step(tmp_path, 3, decided("promote"))
    assert not (tmp_path / "promotion").exists()
    assert aliases_of("demo") == {}


def test_a_registry_that_knows_no_such_model(registry: str, tmp_path: Path) -> None:
    for verdict in ("promote", "refuse"):
        with pytest.raises(InputError, match="The registry has no model 'demo'"):
            step(tmp_path, 1, decided(verdict))


def test_a_registry_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    with pytest.raises(ServiceError, match="failed while promoting version 1 of 'demo'") as caught:
        step(tmp_path, 1, decided("promote"))
    assert time.monotonic() - begun < 30
    assert caught.value.exit_code == 1
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "step-0/promotion").exists()


@pytest.mark.usefixtures("registry")
def test_an_alias_that_points_nowhere_is_not_told(tmp_path: Path) -> None:
    make_versions("demo", 2)
    step(tmp_path, 1, decided("promote"))
    tracking.client().delete_model_version("demo", "1")
    report = step(tmp_path, 2, decided("promote", "1"))
    assert (report.verdict, report.champion, report.aliases) == ("refused", "", {})
