import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.finetune.learning.cache import _reserve
from components.finetune.learning.memory import Sizes
from components.finetune.learning.packing import pack, unpack
from components.finetune.linear.joint import JointFit
from components.finetune.linear.probe import Probe, View
from components.shared.errors import ServiceError
from components.shared.linear import Linear

CPU = torch.device("cpu")


def test_a_probe_comes_back_as_it_was() -> None:
    made = Probe(torch.rand(3, 4), torch.rand(3), View(1, "mean", True), "logistic", False, 1e-3, {"a": 1 / 3}, 0.1, {})
    made = Probe(**{**vars(made), "tried": {1e-1: 0.7, 1e-3: 0.1 + 0.2}})
    told, tensors = pack(made)
    found = unpack(Probe, json.loads(json.dumps(told)), tensors, CPU)
    assert torch.equal(found.weight, made.weight)
    assert {name: value for name, value in vars(found).items() if name not in ("weight", "bias")} == {
        name: value for name, value in vars(made).items() if name not in ("weight", "bias")
    }


def test_arrays_in_what_it_is_made_of_come_back_too() -> None:
    weight = np.random.default_rng(0).random((3, 5), np.float32)
    linear = Linear(weight, weight[:, 0], "logistic", np.float64(0.3), True, {"accuracy": 0.5}, 1.0)
    joint = JointFit(
        weight, weight, weight[:, 0], 0.7, linear, [{"scale": 0.7}], {"words": {"share": 0.5}}, 9, 0.1, 2.0
    )
    told, tensors = pack(joint)
    found = unpack(JointFit, json.loads(json.dumps(told)), tensors, CPU)
    np.testing.assert_array_equal(found.linear.weight, weight)
    assert (found.linear.penalty, found.tried, found.sides) == (0.3, joint.tried, joint.sides)


@pytest.mark.parametrize(("norm", "sizes"), [(False, [2, 2, 1]), (True, [3, 2])])
def test_parts_of_a_batch_hold_all_of_it_and_none_is_too_small_for_a_norm(norm: bool, sizes: list[int]) -> None:
    found = Sizes(5, torch.nn.BatchNorm1d(3) if norm else torch.nn.Linear(3, 3)).parts(np.arange(5), 2)
    assert [len(part) for part in found] == sizes
    assert np.concatenate(found).tolist() == list(range(5))


def test_states_that_do_not_fit_on_the_disk_are_told(tmp_path: Path) -> None:

    with pytest.raises(ServiceError, match=r"GiB at .*: .*set training.cache_gib to less"):
        _reserve(tmp_path / "1.states", 1 << 60)
    assert not list(tmp_path.iterdir())
