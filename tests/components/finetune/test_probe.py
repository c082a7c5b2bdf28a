import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.cache import States
from components.finetune.probe import PENALTIES, Vectors, fit_probe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return found.data.astype(np.float32), found.target


def vectors(path: Path, values: np.ndarray, labels: np.ndarray) -> Vectors:
    states = States(path, np.ones(len(values), np.int64), values.shape[1:], torch.float32)
    states.write(np.arange(len(values)), torch.from_numpy(values)[:, None])
    return Vectors(states, np.arange(len(values)), labels, CPU)


def test_it_is_the_logistic_regression_of_scikit_learn(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values, labels = digits
    train, test = slice(0, 1000), slice(1000, None)
    told: list[str] = []
    probe = fit_probe(
        vectors(tmp_path / "a", values[train], labels[train]),
        vectors(tmp_path / "b", values[test], labels[test]),
        10,
        told.append,
    )
    assert len(told) == len(probe.losses) == len(probe.penalties)
    scale = values[train].std(0)
    scaler = StandardScaler().fit(values[train])
    scaler.scale_ = np.where(scale > 1e-6, scale, 1.0)
    for penalty, loss in zip(probe.penalties, probe.losses, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=1 / (penalty * 1000), max_iter=5000, tol=1e-6)
            model.fit(scaler.transform(values[train]), labels[train])
        expected = model.predict_log_proba(scaler.transform(values[test]))[np.arange(797), labels[test]]
        assert loss == pytest.approx(-expected.mean(), abs=0.02), penalty
    assert probe.chosen == PENALTIES[int(np.argmin(probe.losses))]
    # What it says of vectors as they come is what it was chosen for.
    head = torch.nn.Linear(64, 10)
    probe.load_into(head)
    found = head(torch.from_numpy(values[test])).log_softmax(1)[torch.arange(797), torch.from_numpy(labels[test])]
    assert float(-found.mean().detach()) == pytest.approx(min(probe.losses), abs=1e-3)


def test_in_chunks_it_is_the_same(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, labels = digits
    probes = []
    for name, chunk, kept in (("one", 16384, 1 << 30), ("many", 100, 0)):
        monkeypatch.setattr("components.finetune.probe._CHUNK", chunk)
        monkeypatch.setattr("components.finetune.probe._KEPT", kept)
        train = vectors(tmp_path / f"{name}-a", values[:500], labels[:500])
        validation = vectors(tmp_path / f"{name}-b", values[500:700], labels[500:700])
        probes.append(fit_probe(train, validation, 10, lambda _: None))
    np.testing.assert_allclose(probes[0].losses[:3], probes[1].losses[:3], atol=2e-3)


def test_states_of_texts_come_back_as_they_were(tmp_path: Path) -> None:
    lengths = np.array([3, 1, 5])
    for kind in (torch.float32, torch.bfloat16):
        states = States(tmp_path / f"{kind}", lengths, (4,), kind)
        made = torch.randn(3, 5, 4).to(kind)
        states.write(np.array([2, 0, 1]), made)
        found = states.read(np.array([0, 2]))
        assert found.dtype == kind
        assert found.shape == (2, 5, 4)
        assert torch.equal(found[0, :3], made[1, :3])
        assert not found[0, 3:].any()
        assert torch.equal(found[1], made[0])
