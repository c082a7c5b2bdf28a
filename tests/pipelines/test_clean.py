"""`graft clean`: what no version, alias or living process needs is told, and removed only with `--yes`."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from components.finetune.curves import Curves
from components.register.delivery import LOGGED
from components.shared import prediction
from components.shared.artifacts.checkpoints import Checkpoints
from components.shared.errors import ServiceError
from components.shared.registry import embedded, tracking
from pipelines.local import attempts, leftovers
from tests.components.shared.promoters import FORKED, starter
from tests.pipelines.roots import WEIGHTS, files_below, graft, make_root, packages


@pytest.fixture
def root(tmp_path: Path, model: Path, empty_database: Path) -> Path:
    make_root(tmp_path / "root", model, empty_database)
    return tmp_path / "root"


def test_nothing_is_left_of_one_run_that_ended(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graft("clean", "--root", root) == 0
    assert capsys.readouterr().out == "There is nothing to clean.\n"


def test_old_runs_go_and_what_lives_stays(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with attempts.begun(root, "topics", "finetune") as dead:
            (dead / "scratch-abc").mkdir()
            (dead / "scratch-abc/pixels").write_bytes(b"0" * 5000)
    (root / "cache/finetune").mkdir(parents=True)
    oldest = min((root / "runs").iterdir())
    (root / "cache/finetune/1.json").write_text(f'{{"address": "runs/{oldest.name}/pipeline/finetune/model"}}')
    (root / "runs/notes of mine").mkdir()
    with attempts.begun(root, "topics", "finetune") as live:
        (live / "scratch-def").mkdir()
        before = files_below(root)
        assert graft("clean", "--root", root, "--keep", "2") == 0
        told = capsys.readouterr().out
        assert files_below(root) == before
        assert "Nothing was removed. graft clean --yes removes all of this, " in told
        assert graft("clean", "--root", root, "--keep", "2", "--yes") == 0
        assert {path.name for path in (root / "runs").iterdir()} == {live.name, dead.name, "notes of mine"}
        assert not (dead / "scratch-abc").exists()
        assert (live / "scratch-def").exists()
        assert not list((root / "cache/finetune").iterdir())
    assert prediction.load("topics").labels  # the version's model has names of its own


def test_a_model_with_two_names_frees_nothing_by_one_of_them(root: Path) -> None:
    run = next((root / "runs").iterdir())
    (package,) = packages(root)
    size = (package / "artifacts/model" / WEIGHTS).stat().st_size
    assert leftovers.freed([package]) < size
    assert leftovers.freed([package, run]) > size


def test_models_that_no_version_has_go_and_no_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client, (package,) = tracking.client(), packages(root)
    experiment = tracking.experiment_id(client, "topics")
    made = {}
    for name, tags in {"ours": {LOGGED: "abc"}, "somebody's": {}, "at work": {LOGGED: "abc"}}.items():
        run = client.create_run(experiment, tags=tags)
        place = embedded.file_of(os.environ["MLFLOW_TRACKING_URI"]).parent / "mlflow-artifacts/topics"
        made[name] = place / run.info.run_id / "artifacts/model"
        shutil.copytree(package, made[name])
        if name != "at work":
            client.set_terminated(run.info.run_id)
    with embedded.using(root / "mlflow.db"):
        assert graft("clean", "--root", root, "--yes") == 0
        assert "The store is left alone: a run is at work" in capsys.readouterr().out
        assert len(packages(root)) == 4
    assert graft("clean", "--root", root, "--yes") == 0
    assert set(packages(root)) == {package, made["somebody's"], made["at work"]}
    assert LOGGED not in client.get_run(made["ours"].parents[1].name).data.tags


def open_and_die(folder: Path) -> int | None:
    process = FORKED.Process(target=_open, args=(folder,))
    process.start()
    assert process.pid is not None
    while process.exitcode is None and not (folder / "opened").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode


def _open(folder: Path) -> None:
    tracking.use_embedded(folder)
    Curves("topics", {"epochs": 1}, folder / "elsewhere/model")
    (folder / "opened").touch()
    time.sleep(60)


def test_mlflow_runs_of_dead_processes_are_ended(root: Path) -> None:
    with starter() as fork:
        assert fork(open_and_die, root) == -signal.SIGKILL
    own = Curves("topics", {"epochs": 1}, root / "own/model")
    with attempts.begun(root, "topics", "finetune") as live:
        at_work = Curves("topics", {"epochs": 1}, live / "pipeline/finetune/model")
        assert graft("clean", "--root", root, "--yes") == 0
        client = tracking.client()
        runs = client.search_runs([tracking.experiment_id(client, "topics")])
        states = {run.info.run_id: run.info.status for run in runs}
        assert (states.pop(own.run_id), states.pop(at_work.run_id)) == ("RUNNING", "RUNNING")
        assert sorted(states.values()) == ["FINISHED", "KILLED"]
    graft("clean", "--root", root, "--yes")
    assert client.get_run(at_work.run_id).info.status == "KILLED"  # this process lives, the run's folder tells more


@pytest.mark.parametrize(
    ("arguments", "told"), [(["--root", "nowhere"], "There is no root"), (["--keep", "-1"], "-1;")]
)
def test_what_cannot_be_cleaned(
    root: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert graft("clean", "--root", root, *arguments) == 2
    assert told in capsys.readouterr().err


def test_checkpoints_go_with_the_run_that_could_go_on_from_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def keep(key: str, run: Path) -> Path:
        folder = root / leftovers.CHECKPOINTS / key
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(f'{{"run": "{run.name}"}}')
        (folder / "a.safetensors").write_bytes(b"0" * 3000)
        return folder

    def fail(number: int) -> None:
        with attempts.begun(root, "topics", "finetune") as failed:
            keep(f"failed {number}", failed)
            raise ServiceError("killed")

    for number in range(2):
        with pytest.raises(ServiceError):
            fail(number)
    with attempts.begun(root, "topics", "finetune") as done:
        dead = keep("done", done)
    live = keep("live", root)
    with Checkpoints(str(live), root).held():
        assert graft("clean", "--root", root, "--keep", "2", "--yes") == 0
    assert {path.name for path in dead.parent.iterdir()} == {"failed 1", "live"}
    assert "is done, or gone" in capsys.readouterr().out
