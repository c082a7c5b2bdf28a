"""When training goes on though validation gains nothing; how often noise passes for learned."""

import numpy as np
import pytest

from components.finetune.learning.learned import is_still_learning, verdict_of


@pytest.mark.parametrize(
    ("losses", "lowest", "goes_on"),
    [
        ([2.55, 2.3, 2.0, 1.7], 2.56, True),  # from scratch: validation is at chance, batch norms have yet to settle
        ([2.55, 2.3, 2.0, 1.1], 2.56, False),  # learns by heart what does not hold for others
        ([0.9, 0.5, 0.2, 0.1], 0.6, False),  # has learned, and is now learning by heart
        ([2.56, 2.56, 2.55, 2.56], 2.56, False),  # stuck
        ([2.3, 2.0], 2.56, False),  # too short to tell
    ],
)
def test_a_training_loss_that_falls_and_is_high_is_waited_for(
    losses: list[float], lowest: float, goes_on: bool
) -> None:
    assert is_still_learning(losses, lowest, patience=2) is goes_on


def test_labels_that_are_noise_hardly_ever_pass_for_learned() -> None:
    draw, passed = np.random.default_rng(0), 0
    for _ in range(500):
        truth = draw.integers(0, 2, 60)
        probabilities = draw.dirichlet(np.ones(2), 60)
        passed += verdict_of(probabilities, truth, np.bincount(truth, minlength=2), [], 1).learned
    assert passed <= 10
