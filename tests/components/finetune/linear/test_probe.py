import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.learning.cache import States
from components.finetune.linear import choice
from components.finetune.linear.choice import fit_probe
from components.finetune.linear.probe import Vectors, View, fit_path
from components.shared.backbones.head import Encoded
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.linear import LOGISTIC, SQUARED_HINGE, softmax

CPU = torch.device("cpu")
from tests.heads import head_for


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return found.data.astype(np.float32), found.target


def vectors(path: Path, values: np.ndarray, labels: np.ndarray) -> Vectors:
    return stacked(path, values[:, None], labels)


def stacked(path: Path, values: np.ndarray, labels: np.ndarray) -> Vectors:
    """Vectors of several poolings, [examples, poolings, width]."""
    states = States(path, np.full(len(values), values.shape[1]), values.shape[2:], torch.float32)
    states.write(np.arange(len(values)), torch.from_numpy(values))
    return Vectors(states, np.arange(len(values)), labels, CPU)


def small_network() -> Network:
    return Network(torch.nn.Identity(), 64, head_for([str(digit) for digit in range(10)]), 0.0).eval()


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("loss", [LOGISTIC, SQUARED_HINGE])
def test_it_is_the_linear_model_of_scikit_learn(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, loss: str, unit: bool
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    values, labels = digits
    parts = [slice(0, 600), slice(600, 1000)]
    view = View(0, "auto", unit)
    train, validation = (vectors(tmp_path / str(part.start), values[part], labels[part]).seen(view) for part in parts)
    penalty = 1e-2
    probe = fit_path(train, validation, 10, loss, False, [penalty], "accuracy")
    seen = [values / np.linalg.norm(values, axis=1, keepdims=True) if unit else values][0]
    center, scale = seen[parts[0]].mean(0), seen[parts[0]].std(0)
    scale = np.ones(64) if unit else np.where(scale > 1e-6, scale, 1.0)
    known, asked = ((seen[part] - center) / scale for part in parts)
    strength = 1 / (penalty * float((known**2).sum(1).mean()) * 600)
    model: Any = (
        LogisticRegression(C=strength, max_iter=5000)
        if loss == LOGISTIC
        else LinearSVC(C=strength, intercept_scaling=100, max_iter=50_000)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(known, labels[parts[0]])
    # What it says of vectors as they come is what scikit-learn says of standardised ones, but for the temperature.
    network = small_network()
    network.normalized = unit
    probe.load_into(network)
    with torch.no_grad():
        found = network.deep(Encoded(pooled=torch.from_numpy(values[parts[1]]))).numpy()
    expected = model.decision_function(asked)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.99
    assert (
        np.corrcoef(
            (found - found.mean(1, keepdims=True)).ravel(), (expected - expected.mean(1, keepdims=True)).ravel()
        )[0, 1]
        > 0.99
    )
    losses = -np.log(softmax(found))[np.arange(400), labels[parts[1]]]
    assert float(losses.mean()) == pytest.approx(probe.validation["validation_loss"], abs=1e-3)


def test_everything_is_chosen_on_validation(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Uneven classes, and a view that tells nothing beside one that tells all."""
    values, labels = digits
    few = np.concatenate([np.flatnonzero(labels == label)[: 10 if label else 150] for label in range(10)])
    rest = np.setdiff1d(np.arange(len(labels)), few)[:400]
    noise = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    both = np.stack([noise, values], 1)
    train, validation = (stacked(tmp_path / str(n), both[part], labels[part]) for n, part in enumerate((few, rest)))
    views = [View(row, name, unit) for row, name in enumerate(("first", "mean")) for unit in (False, True)]
    told: list[str] = []
    probe = fit_probe(train, validation, 10, told.append, views)
    assert probe.view.pooling == "mean"
    assert probe.words in told[0]
    assert probe.validation["macro_f1"] > 0.7
    assert probe.fits > len(probe.tried) > 5, "a dense grid near the best penalty"


def test_where_validation_is_small_the_training_examples_choose(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six views four are half noise: on 20 examples that is told by chance, on 150 it shows."""
    values, labels = digits
    draw, told, right = np.random.default_rng(0), [], {True: 0, False: 0}
    for number in range(4):
        noise = draw.normal(scale=6.0, size=(2, *values.shape)).astype(np.float32)
        seen = np.stack([values + noise[0], values, values + noise[1]], 1)
        parts = np.split(draw.permutation(len(values)), [150, 170])
        for crossed in (True, False):
            monkeypatch.setattr(choice, "_FEW", 500 if crossed else 0)
            folder = tmp_path / f"{number}-{crossed}"
            folder.mkdir()
            train, validation = (stacked(folder / str(len(part)), seen[part], labels[part]) for part in parts[:2])
            views = [View(row, str(row), unit) for row in range(3) for unit in (False, True)]
            probe = fit_probe(train, validation, 10, told.append, views)
            assert (probe.crossed, "chosen by 5 folds" in told[-1]) == (crossed, crossed)
            asked = seen[parts[2], probe.view.row]
            asked = asked / np.linalg.norm(asked, axis=1, keepdims=True) if probe.view.unit else asked
            answers = (asked @ probe.weight.numpy().T + probe.bias.numpy()).argmax(1)
            right[crossed] += int((answers == labels[parts[2]]).sum())
    assert right[True] > right[False]


def test_each_fold_is_answered_by_a_fit_of_the_others(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    values, labels = digits[0][:300], digits[1][:300]
    train, penalty = vectors(tmp_path / "train", values, labels).seen(View(0, "auto", unit=True)), 1e-2
    found = choice.choose(train, None, 10, "accuracy", LOGISTIC, False, [penalty])
    folds = choice._folds(labels)
    assert np.ptp([np.bincount(labels[folds == fold], minlength=10) for fold in range(5)], axis=0).max() <= 1
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    right = 0
    for fold in range(5):
        known, held = folds != fold, folds == fold
        center = unit[known].mean(0)
        length = float(((unit[known] - center) ** 2).sum(1).mean())
        model: Any = LogisticRegression(C=1 / (penalty * length * known.sum()), max_iter=5000)
        right += int(
            (model.fit(unit[known] - center, labels[known]).predict(unit[held] - center) == labels[held]).sum()
        )
    assert found.scores["accuracy"] == pytest.approx(right / 300, abs=0.005)
    assert found.fits == 5


@pytest.mark.case(14)
def test_vectors_that_are_no_numbers_are_refused(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    values, labels = digits[0][:50].copy(), digits[1][:50]
    values[7, 3] = np.nan
    made = vectors(tmp_path / "a", values, labels)
    with pytest.raises(InputError, match="not a number: its weights are damaged"):
        fit_probe(made, made, 10, lambda _: None)


def test_in_chunks_it_is_the_same(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, labels = digits
    probes = []
    for name, chunk, kept in (("one", 16384, 1 << 30), ("many", 100, 0)):
        monkeypatch.setattr("components.finetune.linear.probe._CHUNK", chunk)
        monkeypatch.setattr("components.finetune.linear.probe._KEPT", kept)
        train = vectors(tmp_path / f"{name}-a", values[:500], labels[:500])
        validation = vectors(tmp_path / f"{name}-b", values[500:700], labels[500:700])
        probes.append(fit_path(train, validation, 10, SQUARED_HINGE, False, [1e-1, 1e-2], "accuracy"))
    np.testing.assert_allclose(list(probes[0].tried.values()), list(probes[1].tried.values()), atol=2e-3)


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
