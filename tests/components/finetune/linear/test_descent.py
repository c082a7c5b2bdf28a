"""A head that looks at a question and its context at once, fitted on what a frozen backbone makes of both."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from components.finetune.learning.cache import States
from components.finetune.learning.learners import HeadOnly
from components.finetune.linear.descent import Rows, fit_by_steps
from components.shared.backbones.head import Encoded
from components.shared.backbones.segments import SEGMENTS
from components.shared.tasks.question_answering.head import Head
from components.shared.tasks.question_answering.objective import Objective

WIDTH, SENTENCES, LENGTH = 24, 4, 5
SPEC = {"unanswerable": False, "max_answer_tokens": 8}
ROW = 3 + SENTENCES * LENGTH  # a first token, one of the question, one between, and the context


@dataclass(frozen=True)
class Asked:
    """Rows as `Examples` gives them: the question's token is like the second one of the sentence that answers."""

    numbers: np.ndarray
    right: np.ndarray
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self.numbers), ROW, np.int32)

    def batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        segments = torch.tensor([0, 1, 0, *[2] * (SENTENCES * LENGTH)])
        return {SEGMENTS: segments.expand(len(indices), -1)}

    def wide_batch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        return {}

    def target_columns(self, indices: np.ndarray | None = None) -> dict[str, Any]:
        numbers = self.numbers if indices is None else self.numbers[indices]
        start = 3 + LENGTH * self.right[numbers]
        places = np.array([-1, -1, -1, *range(SENTENCES * LENGTH)], np.int32)
        lists = {"starts": [places] * len(numbers), "ends": [np.where(places < 0, -1, places + 1)] * len(numbers)}
        return {"start": start, "end": start + LENGTH - 1, "window": np.zeros(len(numbers), int), **lists}

    def targets(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        return Head(1, SPEC).targets(self.target_columns(indices))


def rows_of(folder: Path, count: int, seed: int) -> Rows:
    draw = np.random.default_rng(seed)
    vectors, right = draw.normal(size=(count, ROW, WIDTH)), draw.integers(0, SENTENCES, count)
    first = np.arange(ROW) >= 3
    vectors[:, first & ((np.arange(ROW) - 3) % LENGTH == 0)] = 2.0  # every sentence begins alike
    vectors[:, first & ((np.arange(ROW) - 3) % LENGTH == LENGTH - 1)] = -2.0  # and ends alike
    vectors[np.arange(count), 4 + LENGTH * right] = vectors[:, 1]
    states = States(folder / f"{seed}.states", np.full(count, ROW), (WIDTH,), torch.float32)
    states.write(np.arange(count), torch.from_numpy(vectors))
    examples: Any = Asked(np.arange(count), right)
    return Rows(states, examples)


def test_the_sentence_that_is_like_the_question_is_found(tmp_path: Path) -> None:
    train, validation = rows_of(tmp_path, 240, 1), rows_of(tmp_path, 80, 2)
    torch.manual_seed(0)
    head, told = Head(WIDTH, SPEC), []
    fit = fit_by_steps(head, Objective(SPEC), train, validation, "span_f1", told.append, 7)
    assert fit.validation["span_f1"] > 0.9  # sentences are alike but for that: one in four would be right by chance
    assert not head.looks.any()
    assert "gradient steps" in told[0]
    again = fit_by_steps(head, Objective(SPEC), train, validation, "span_f1", told.append, 7)
    assert all(torch.equal(fit.weights[name], again.weights[name]) for name in fit.weights)


def test_looks_count_what_follows_and_what_leads_up_to_a_token(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 4, 3)
    encoded, _ = rows.read(np.arange(4))
    head = Head(WIDTH, SPEC)
    bare = head(Encoded(tokens=encoded.tokens))["logits"]
    assert torch.equal(head(encoded)["logits"], bare)  # nothing is learned yet
    with torch.no_grad():
        head.looks[0, 0] = 1.0
    seen = (head(encoded)["logits"] - bare)[..., 0] / 100
    assert not seen[:, :3].any()
    best = 4 + LENGTH * rows.examples.right  # type: ignore[attr-defined]
    for row, place in zip(seen, best.tolist(), strict=True):
        assert row[place - 1] > 0.5  # within four tokens of the sentence's first one
        assert row[place + 1] < 0.5


def test_what_is_fitted_is_what_is_judged(tmp_path: Path) -> None:
    """From kept states the head sees of which text a token is, as it did while it was fitted."""
    rows, head = rows_of(tmp_path, 8, 4), Head(WIDTH, SPEC)
    with torch.no_grad():
        head.looks.fill_(0.05)
    network: Any = SimpleNamespace(head=head, answer=head)
    indices = np.arange(4, 8)
    learner = HeadOnly(rows.examples, rows.states, segmented=network.head.segmented)
    batch, targets = learner.batch(indices)
    outputs = learner.outputs(network, batch)
    expected = head(rows.read(indices)[0])["logits"]
    assert torch.allclose(outputs["logits"], expected, atol=1e-5)
    assert not torch.allclose(expected, head(Encoded(tokens=rows.read(indices)[0].tokens))["logits"], atol=0.1)
    assert targets.keys() == rows.examples.targets(indices).keys()


def test_a_head_that_goes_on_knows_its_looks_and_an_older_one_has_none() -> None:
    old, new = Head(WIDTH, SPEC), Head(WIDTH, SPEC)
    with torch.no_grad():
        old.looks.fill_(0.5)
        old.interest.fill_(0.25)
    weights = old.state_dict()
    assert new.adopt(weights, SPEC)
    assert torch.equal(new.looks, old.looks)
    assert torch.equal(new.interest, old.interest)
    before = Head(WIDTH, SPEC)
    before.load_state_dict({name: value for name, value in weights.items() if name not in ("looks", "interest")})
    assert torch.equal(before.weight, old.weight)
    assert not before.looks.any()
