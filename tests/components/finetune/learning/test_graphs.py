"""Steps from graphs: here what records runs the step again, so that all but the device's own part is tried."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from components.finetune import study
from components.finetune.finetune import finetune
from components.finetune.learning import gradient_step, graphs
from components.finetune.learning import unpadding as leaving
from components.finetune.learning.graphs import Graphs
from components.finetune.learning.unpadding import Way
from components.finetune.settings import FinetuneSettings
from tests.backbones import make_text_backbone
from tests.components.finetune.learning.test_unpadding import WITHOUT
from tests.conftest import TRAINING

Work = Callable[[], None]


def again(work: Work) -> Work:
    """Records nothing: what it returns does the work once more, on what lies where the recorded batch lay."""
    return work


def doubled(batch: dict[str, Tensor], targets: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return 2 * batch["values"].sum(), targets["label"].sum()


def given(value: float, size: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return {"values": torch.full((size,), value)}, {"label": torch.full((1,), -value)}


def test_a_shape_that_is_common_is_taken_from_its_graph_on_each_new_batch() -> None:
    taken = Graphs(doubled, again)
    assert [taken.take(*given(1.0)) for _ in range(2)] == [None, None]
    found = [taken.take(*given(value)) for value in (1.0, 2.0, 5.0)]
    assert [(float(loss), float(norm)) for loss, norm in found if loss is not None] == [(6, -1), (12, -2), (30, -5)]
    assert taken.take(*given(1.0, size=4)) is None  # another shape
    assert taken.steps == 3
    taken.forget()
    assert taken.take(*given(1.0)) is None


def test_what_is_returned_is_not_changed_by_the_next_step() -> None:
    taken = Graphs(doubled, again)
    for _ in range(2):
        taken.take(*given(1.0))
    first = taken.take(*given(1.0))
    taken.take(*given(7.0))
    assert first is not None
    assert float(first[0]) == 6


def test_a_step_that_cannot_be_recorded_is_told_once_and_taken_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(work: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    taken = Graphs(doubled, refuse)
    assert [taken.take(*given(1.0)) for _ in range(6)] == [None] * 6
    told = capsys.readouterr().out
    assert told.count("cannot be recorded as a CUDA graph (operation not permitted when stream is capturing)") == 1


def learned(features: Path, backbone: Path, model: Path, **options: Any) -> list[float]:
    """Returns losses of training and of validation."""
    training = {**TRAINING, "epochs": 3, "batch_size": 8, "precision": "float32", "lexical": "false", **options}
    finetune(features, model, FinetuneSettings(str(backbone), **training))
    epochs = json.loads((model / "notes/history.json").read_text("utf-8"))["epochs"]
    return [entry[name] for entry in epochs for name in ("train_loss", "validation_loss")]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    found: list[Work] = []
    monkeypatch.setattr(graphs, "recorder", lambda settings, _: record if settings.cuda_graphs == "auto" else None)

    def record(work: Work) -> Work:
        found.append(work)
        return work

    return found


@pytest.mark.parametrize("strategy", ["full", "partial", "gradual", "lora"])
def test_a_training_by_graphs_is_the_one_without(
    strategy: str, features: Path, backbone: Path, tmp_path: Path, recorded: list[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "way_of", lambda *_: (Way(), ""))  # batches as they are
    losses = learned(features, backbone, tmp_path / "each", strategy=strategy, cuda_graphs="false")
    assert not recorded
    ours = learned(features, backbone, tmp_path / "graphs", strategy=strategy)
    assert recorded
    assert ours == pytest.approx(losses, rel=1e-5)  # a graph reads its learning rate in float32


def test_batches_filled_up_to_few_shapes_teach_the_same(
    features: Path, backbone: Path, tmp_path: Path, recorded: list[Work]
) -> None:
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    losses = learned(features, backbone, tmp_path / "each", backbone_args=plain, cuda_graphs="false")
    for unpadding in ("auto", "false"):
        recorded.clear()
        ours = learned(features, backbone, tmp_path / unpadding, backbone_args=plain, unpadding=unpadding)
        assert 0 < len(recorded) < 20
        assert ours == pytest.approx(losses, rel=1e-4)


class Alone(TorchDispatchMode):
    """Refuses what a recorded step cannot do: ask the host, or have results of a size that data decide."""

    refused = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh", "unique", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        chosen = args[1] if name in ("index", "index_put_", "_index_put_impl_") else ()
        if name in self.refused or any(isinstance(part, Tensor) and part.dtype == torch.bool for part in chosen):
            raise RuntimeError(f"{name} asks the host")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("kind", "unpadding"), [*((kind, "auto") for kind in WITHOUT), ("bert", "false")])
def test_a_step_asks_nothing_of_the_host(
    kind: str,
    unpadding: str,
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(gradient_step, "kernels", lambda _: contextlib.nullcontext())  # are a CPU's
    monkeypatch.setattr(leaving, "_WORTH", 0.0)
    monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)
    taken: list[int] = []

    def record(work: Work) -> Work:
        def replay() -> None:
            taken.append(1)
            with Alone():
                work()

        return replay

    monkeypatch.setattr(graphs, "recorder", lambda *_: record)
    backbone = make_text_backbone(kind, tmp_path / "backbone")
    learned(features, backbone, tmp_path / "model", epochs=1, unpadding=unpadding)
    assert taken
    assert ("without padding" in capsys.readouterr().out) == (unpadding == "auto")
