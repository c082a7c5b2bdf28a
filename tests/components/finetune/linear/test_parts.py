"""Heads of several tasks, fitted apart: each by the penalty that is best for it."""

import numpy as np
import pytest

from components.finetune.linear.parts import Penalties, joined, penalties_of
from components.shared.linear import Linear


def test_a_penalty_of_several_parts_is_repeated_part_by_part() -> None:
    chosen = Penalties([0.1, 10.0])
    assert chosen == pytest.approx(1.0)
    assert penalties_of([chosen], 0) == [0.1]
    assert penalties_of([chosen], 1) == [10.0]
    assert penalties_of([0.3, 1.0], 1) == [0.3, 1.0]
    assert Penalties([0.0, 3.0]) == 0.0  # one was trained by steps


def test_the_outputs_of_all_parts_stand_one_after_the_other() -> None:
    draw = np.random.default_rng(0)
    fits = [
        Linear(draw.normal(size=(n, 4)).astype(np.float32), np.full(n, n, np.float32), "own", 0.1 * n, False, {})
        for n in (2, 1)
    ]
    whole, features = joined(fits, {"validation_loss": 0.5}), draw.normal(size=(7, 4)).astype(np.float32)
    assert whole.logits(features) == pytest.approx(np.hstack([fit.logits(features) for fit in fits]))
    assert penalties_of([whole.penalty], 0) == pytest.approx([0.2])
    assert whole.validation == {"validation_loss": 0.5}
