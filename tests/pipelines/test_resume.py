"""Going on from a run that failed or was killed: what its steps made of the same is taken, all else is made again."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError, ServiceError
from pipelines.local import attempts
from tests.backbones import make_broken_bert
from tests.conftest import NUMBERS
from tests.pipelines.test_run import graft, processes_of, sample_csv, write_job
from tests.pythons import quick_python

TRAINING = {**NUMBERS, "epochs": 1}


def taken(errors: str) -> dict[str, bool]:
    """Returns of each step that was done whether it was taken from another run."""
    found = re.findall(r"^(\w+) done in [^,\n]*(, taken from run 20\S+)?$", errors, re.MULTILINE)
    return {step: bool(run) for step, run in found}


def killed(folder: Path, after: str) -> Path:
    """Runs the job, and kills all of its processes once a step is done; returns the run's folder."""
    process = subprocess.Popen(
        [quick_python(), "-m", "pipelines.command.cli", "run", "job.yaml"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 300
    while not (left := list(folder.glob(f".graft/runs/*/steps/{after}.json"))):
        assert process.poll() is None
        assert time.monotonic() < end, f"{after} never ended"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while processes_of(folder):
        assert time.monotonic() < end
        time.sleep(0.02)
    return left[0].parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:
    """A folder with a job."""
    folder = tmp_path_factory.mktemp("resume")
    sample_csv(folder / "data/topics.csv", 120)
    write_job(folder / "job.yaml", "data", str(backbone), training=TRAINING)
    return folder


@pytest.fixture(scope="module")
def resumed(folder: Path) -> tuple[Path, Any]:
    """The folder of a run that was killed after it had evaluated, and what going on from it printed."""
    before = killed(folder, "evaluate")
    return before, graft("run", "job.yaml", "--resume", "--json", "result.json", folder=folder)


def test_all_that_a_killed_run_made_is_taken_from_it(folder: Path, resumed: tuple[Path, Any]) -> None:
    before, done = resumed
    assert done.returncode == 0, done.stderr
    steps = ("ingest", "transform", "finetune", "evaluate")
    assert taken(done.stderr) == {**dict.fromkeys(steps, True), "register": False, "promote": False}
    assert f"taken from run {before.name}" in done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["version"] == "1"
    for kind in ("snapshot", "features", "model", "evaluation"):
        (made,) = before.glob(f"*/*/{kind}")
        assert open_artifact(made, kind).digest == open_artifact(Path(result["artifacts"][kind]), kind).digest
    page = (folder / result["report"]).read_text()
    assert page == next(before.glob("*/*/evaluation")).joinpath("notes/report.html").read_text()


@pytest.mark.slow  # a whole run
def test_what_is_another_now_is_told_and_made_again(folder: Path, resumed: tuple[Path, Any]) -> None:
    """The newest that did not come to its end is still the one that was killed."""
    rows = (folder / "data/topics.csv").read_text()
    (folder / "data/topics.csv").write_text(f"{rows}one more about soup,kitchen\n")
    done = graft("run", "job.yaml", "--resume", "--set", "training.seed=8", "--no-cache", folder=folder)
    (folder / "data/topics.csv").write_text(rows)
    assert done.returncode == 0, done.stderr
    assert not any(taken(done.stderr).values())
    assert "ingest is done again: the data has changed" in done.stderr
    assert "transform is done again: the snapshot has changed" in done.stderr
    assert re.search(rf"finetune is done again: .*seed is 8 \(it was {NUMBERS['seed']}\)", done.stderr)
    assert "evaluate is done again: " in done.stderr


def test_a_failure_ends_with_the_command_that_goes_on_from_it(tmp_path: Path) -> None:
    sample_csv(tmp_path / "data/topics.csv", 120)
    make_broken_bert(tmp_path / "broken")
    write_job(tmp_path / "my job.yaml", "data", "./broken", training=TRAINING)
    done = graft("run", "my job.yaml", "--root", "here", "--set", "training.seed=9", folder=tmp_path)
    assert done.returncode == 2
    (run,) = (tmp_path / "here/runs").iterdir()
    told = f"To go on from there: graft run 'my job.yaml' --set training.seed=9 --root here --resume {run.name}"
    assert done.stderr.splitlines()[-1] == told
    again = ("--root", "here", "--set", "training.seed=10", "--resume")
    done = graft("run", "my job.yaml", *again, run.name, folder=tmp_path)
    assert {step for step, was in taken(done.stderr).items() if was} == {"ingest", "transform"}
    (second,) = {path.name for path in (tmp_path / "here/runs").iterdir()} - {run.name}
    assert done.stderr.splitlines()[-1].endswith(f"--set training.seed=10 --root here --resume {second}")


def test_without_anything_made_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    write_job(tmp_path / "job.yaml", "nowhere", "./nowhere")
    done = graft("run", "job.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "--resume" not in done.stderr


def test_of_two_retrainings_at_once_the_second_does_not_begin(tmp_path: Path) -> None:
    """A schedule fired while the last one still works; other models, and runs, are not in its way."""
    with attempts.begun(tmp_path, "topics", "retrain"):
        with pytest.raises(ServiceError, match="Another process is retraining 'topics' already"):
            attempts.begun(tmp_path, "topics", "retrain").__enter__()
        with attempts.begun(tmp_path, "topics", "finetune"), attempts.begun(tmp_path, "ships", "retrain"):
            pass
    with attempts.begun(tmp_path, "topics", "retrain"):
        pass


def test_the_newest_that_did_not_come_to_its_end_is_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no run of 'topics'"):
        attempts.to_resume(tmp_path, "topics", "")
    made = []
    for ending in (RuntimeError, RuntimeError, None):
        with contextlib.suppress(RuntimeError), attempts.begun(tmp_path, "topics", "finetune") as folder:
            made.append(folder)
            if ending:
                raise ending
    assert attempts.to_resume(tmp_path, "topics", "") == made[1]
    assert attempts.to_resume(tmp_path, "topics", made[2].name) == made[2]
    with pytest.raises(InputError, match=f"Did you mean '{made[0].name}'"):
        attempts.to_resume(tmp_path, "topics", made[0].name[:-1])
    with attempts.begun(tmp_path, "topics", "finetune") as live:
        with pytest.raises(InputError, match="is at work still"):
            attempts.to_resume(tmp_path, "topics", live.name)
        assert attempts.to_resume(tmp_path, "topics", "") == made[1]
