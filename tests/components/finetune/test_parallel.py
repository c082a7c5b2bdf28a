"""Several processes that train one network: as on several GPUs, here on CPUs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.finetune import parallel
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.errors import InputError
from tests.backbones import make_broken_bert, make_text_backbone
from tests.cases import SETTINGS


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone without dropout: what it learns does not depend on who draws."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return make_text_backbone("bert", tmp_path_factory.mktemp("steady"), **still)


def losses_of(model: Path) -> tuple[list[float], list[float]]:
    history = json.loads((model / "notes/history.json").read_text())
    return [entry["loss"] for entry in history["steps"]], [entry["validation_loss"] for entry in history["epochs"]]


@pytest.mark.parametrize("strategy", ["full", "partial", "probe,gradual"])
def test_two_processes_learn_what_one_does(
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
