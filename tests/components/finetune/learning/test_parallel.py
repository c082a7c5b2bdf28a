"""Several processes that train one network: as on several GPUs, here on CPUs."""

import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.learning import parallel
from components.finetune.settings import FinetuneSettings
from components.shared.errors import InputError
from tests.backbones import make_broken_bert, make_text_backbone
from tests.cases import SETTINGS


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone without dropout: what it learns does not depend on who draws."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return make_text_backbone("bert", tmp_path_factory.mktemp("steady"), **still)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the processes fork from one that has imported what each would import for seconds, as others of them do."""
    from torch.distributed.launcher import api

    multiprocessing.set_forkserver_preload(["components.finetune.work", "transformers.models.bert.modeling_bert"])
    # Its socket's folder goes with the session's: multiprocessing's own would be looked for after that.
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", tempfile.mkdtemp())  # type: ignore[attr-defined]
    real = api.LaunchConfig
    monkeypatch.setattr(api, "LaunchConfig", lambda **told: real(**{**told, "start_method": "forkserver"}))


def losses_of(model: Path) -> tuple[list[float], list[float]]:
    history = json.loads((model / "notes/history.json").read_text())
    return [entry["loss"] for entry in history["steps"]], [entry["validation_loss"] for entry in history["epochs"]]


@pytest.mark.parametrize("strategy", ["partial", "probe,gradual"])
@pytest.mark.usefixtures("forked")
def test_two_processes_learn_what_one_does_by_other_strategies(
    features: Path, steady: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_that_two_learn_what_one_does(features, steady, tmp_path, strategy, monkeypatch)


def test_two_processes_learn_what_one_does(
    features: Path, steady: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_that_two_learn_what_one_does(features, steady, tmp_path, "full", monkeypatch)


def check_that_two_learn_what_one_does(
    features: Path, steady: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FinetuneSettings(str(steady), strategy=strategy, **{**SETTINGS, "batch_size": 15})
    reports: list[Any] = []
    for count in (1, 2):
        monkeypatch.setenv(parallel.PROCESSES, str(count))
        reports.append(finetune(features, tmp_path / str(count), settings))
    (steps, epochs), (same_steps, same_epochs) = (losses_of(tmp_path / name) for name in ("1", "2"))
    np.testing.assert_allclose(same_steps, steps, atol=2e-3)
    np.testing.assert_allclose(same_epochs, epochs, atol=2e-3)
    assert reports[0].strategy == reports[1].strategy
    assert reports[1].digest


@pytest.mark.usefixtures("forked")
def test_what_one_process_refuses_ends_all_and_is_told(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(parallel.PROCESSES, "2")
    backbone = make_broken_bert(tmp_path / "backbone")
    with pytest.raises(InputError, match="The loss is no longer a number at step 1"):
        finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), strategy="full"))
    assert not (tmp_path / "model").exists()


def test_a_share_of_each_batch_and_all_of_it_together() -> None:
    indices = np.arange(7)
    shares = [parallel.Group(rank, 3).share(indices) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parallel.PROCESSES, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert parallel.processes() == 4
    monkeypatch.setenv(parallel.PROCESSES, "two")
    with pytest.raises(InputError, match="GRAFT_PROCESSES is 'two'; a number of processes was expected"):
        parallel.processes()
