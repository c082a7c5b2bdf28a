"""Over tasks × families × strategies, on tiny models: what moves, what does not, what is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.finetune import finetune
from components.finetune.learning.anatomy import Prefix, anatomy_of
from components.finetune.learning.strategies import STRATEGIES, freeze, merge_adapters
from components.finetune.settings import ALONE, FinetuneSettings
from components.finetune.settings import STRATEGIES as ALL
from components.shared import backbones
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones.head import Encoded
from components.shared.errors import InputError
from tests.cases import ARCHITECTURES, FAMILIES, Case, inputs_of, make_case, sample_snapshot
from tests.cases import SETTINGS as FEW_AT_ONCE
from tests.heads import head_for

SETTINGS = {**FEW_AT_ONCE, "batch_size": 32}  # a step of so tiny a network takes the same time
Make = Callable[[tuple[str, str, str]], Case]
Train = Callable[[tuple[str, str, str], str], Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a case, each only once."""
    root = tmp_path_factory.mktemp("cases")
    made: dict[tuple[str, str, str], Case] = {}
    snapshots: dict[str, Path] = {}

    def case(key: tuple[str, str, str]) -> Case:
        task = key[0]
        if task not in snapshots:
            snapshots[task] = sample_snapshot(task, root / task)
        if key not in made:
            made[key] = make_case(*key, root / "-".join(key), snapshots[task])
        return made[key]

    return case


@pytest.fixture(scope="module")
def trained(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains a case by a strategy, with the settings that all share, each only once; gives the model's folder."""
    root = tmp_path_factory.mktemp("trained")

    def model(key: tuple[str, str, str], strategy: str) -> Path:
        folder = root / "-".join((*key, strategy))
        return folder if folder.exists() else train(make(key), folder, strategy)

    return model


def train(case: Case, folder: Path, strategy: str, **settings: Any) -> Path:
    chosen = FinetuneSettings(str(case.backbone), strategy=strategy, **{**SETTINGS, **settings})
    finetune(case.features, folder, chosen)
    return folder


def networks(case: Case, model: Path, seed: int = SETTINGS["seed"]) -> tuple[Any, Any]:
    """The network as it was before, and as it is."""
    kind = backbones.family(case.family)
    backbone = backbones.fetch(str(case.backbone), model)
    torch.manual_seed(seed)
    told = json.loads((model / "model.json").read_text())
    before = kind.from_backbone(backbone, "auto", head_for(told["labels"])).eval()
    before.choose(told["pooling"], bool(told.get("normalize")))  # a pooler that a probe found no use for is gone
    return before, kind.from_model(model)


def batch_of(case: Case, count: int = 4, split: str = "test") -> dict[str, torch.Tensor]:
    chosen = FeatureSplit(open_artifact(case.features, "features"), split).take(np.arange(count))
    return backbones.family(case.family).collate(chosen, backbones.family(case.family).padding_of(case.backbone))


def moved(before: Any, after: Any) -> dict[str, bool]:
    """For each weight and statistic whether it is another one, bit for bit."""
    old, new = before.state_dict(), after.state_dict()
    assert set(old) == set(new)
    return {name: not torch.equal(old[name], new[name]) for name in old}


def test_every_strategy_is_in_the_table() -> None:
    assert (*STRATEGIES, *ALONE) == ALL


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key", ARCHITECTURES, ids=lambda key: f"{key[1]}-{key[2]}")
def test_what_is_to_learn_moves_and_nothing_else(
    make: Make, trained: Train, key: tuple[str, str, str], strategy: str
) -> None:
    case, model = make(key), trained(key, strategy)
    before, after = networks(case, model)
    anatomy = anatomy_of(before, batch_of(case))
    stages = {**anatomy.stages(before)}
    for name in before.state_dict():  # a statistic belongs where the weight beside it does
        stages.setdefault(name, stages.get(f"{name.rpartition('.')[0]}.weight", 0))
    where = {stage: {n: v for n, v in moved(before, after).items() if stages[n] == stage} for stage in stages.values()}
    assert any(where[anatomy.head].values())
    if strategy == "lora":
        updated = {name for stage in where for name, has in where[stage].items() if has and stage != anatomy.head}
        weights = {name for name in updated if name.endswith("weight")}
        assert updated == weights, "an adapter updates weight matrices alone"
        assert all(before.state_dict()[name].ndim > 1 for name in weights)
        assert {stages[name] for name in weights} == set(range(1, anatomy.tail))
        return
    best = json.loads((model / "notes/history.json").read_text())["best_epoch"]
    first = STRATEGIES[strategy].first(anatomy, FinetuneSettings("x", **SETTINGS), best - 1)
    assert first == {"probe": anatomy.head, "partial": len(anatomy.blocks)}.get(strategy, first)
    for stage, found in where.items():
        if stage < first:
            assert not any(found.values()), f"stage {stage} was frozen"
        elif found and not (
            stage == anatomy.tail and before.pooling in ("mean", "max")
        ):  # CLIP norms its first token alone
            assert any(found.values()), f"stage {stage} did not learn"


@pytest.mark.parametrize("key", ARCHITECTURES, ids=lambda key: f"{key[1]}-{key[2]}")
def test_with_kept_states_the_losses_are_the_same(
    make: Make, trained: Train, key: tuple[str, str, str], tmp_path: Path
) -> None:
    assert FinetuneSettings("x").cache_gib > 1, "with the default they are kept"
    kept, anew = trained(key, "partial"), train(make(key), tmp_path / "anew", "partial", cache_gib=0.0)
    histories = [json.loads((model / "notes/history.json").read_text()) for model in (kept, anew)]
    for part, value in (("steps", "loss"), ("epochs", "validation_loss")):
        losses = [[entry[value] for entry in history[part]] for history in histories]
        np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


@pytest.mark.parametrize("key", ARCHITECTURES, ids=lambda key: f"{key[1]}-{key[2]}")
def test_a_pass_resumed_at_any_block_ends_the_same(make: Make, key: tuple[str, str, str], tmp_path: Path) -> None:
    case = make(key)
    torch.manual_seed(0)
    backbone = backbones.fetch(str(case.backbone), tmp_path)
    network = backbones.family(case.family).from_backbone(backbone, "auto", head_for(["a", "b"])).eval()
    batch = batch_of(case)
    anatomy = anatomy_of(network, batch)
    assert anatomy.resumable
    prefix = Prefix(network, anatomy)
    stages = list(range(1, len(anatomy.blocks) + 1))
    states = prefix.states(batch, [*stages, anatomy.head])
    with torch.no_grad():
        expected = network(**batch)
        for stage in stages:
            with prefix.resumed(stage, states[stage]):
                torch.testing.assert_close(network(**batch), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(network(**batch), expected)  # nothing of it is left
        torch.testing.assert_close(network.deep(Encoded(pooled=states[anatomy.head][:, 0])), expected["logits"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key", FAMILIES, ids=lambda key: f"{key[0]}-{key[1]}")
def test_a_model_predicts_from_raw_input_as_it_did_from_features(
    make: Make, trained: Train, key: tuple[str, str, str], strategy: str
) -> None:
    case, model = make(key), trained(key, strategy)
    kind: Any = backbones.family(case.family)
    split = FeatureSplit(open_artifact(case.features, "features"), "test")
    network = kind.from_model(model)
    expected = kind.predict(network, split.take(np.arange(len(split))), kind.padding_of(model), 16)
    raw = inputs_of(case.snapshot, "test")
    found = kind.Predictor(model).probabilities([raw[id_] for id_ in split])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key", FAMILIES, ids=lambda key: f"{key[0]}-{key[1]}")
def test_repetition_gives_the_same_bytes(
    make: Make, key: tuple[str, str, str], strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a run that was interrupted, with augmentation and dropout.

    Its bytes once differed, while the disk was nearly full: whether a frozen part's states were kept hung on the room
    that was free, and what is computed from kept states agrees with what is computed anew to 1e-5 only. Now it hangs on
    the settings alone; where they do not fit on the disk, that is told.
    """
    case = make(key)
    chance = {"crop_scale": 0.5, "flip": 0.5, "color_jitter": 0.2, "mixup": 0.2, "label_smoothing": 0.1}
    from components.finetune import study

    with monkeypatch.context() as patch:
        patch.setattr(study.Study, "finish" if strategy != "probe" else "probed", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(case, tmp_path / "first", strategy, **chance)
    assert not (tmp_path / "first").exists()
    digests = [
        open_artifact(train(case, tmp_path / name, strategy, **chance), "model").digest for name in ("first", "second")
    ]
    assert digests[0] == digests[1]


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_frozen_parts_have_no_dropout_and_keep_their_statistics(make: Make, tmp_path: Path) -> None:
    case = make(("image-classification", "timm", "mobilenetv3_small_050"))
    torch.manual_seed(0)
    network = backbones.family("timm").from_backbone(
        backbones.fetch(str(case.backbone), tmp_path), "auto", head_for(["a", "b"])
    )
    anatomy = anatomy_of(network, batch_of(case))
    freeze(network, anatomy, STRATEGIES["partial"], 3)
    norms = [(m, s) for m, s in anatomy.modules(network) if isinstance(m, torch.nn.BatchNorm2d)]
    assert {module.training for module, stage in norms if stage < 3} == {False}
    assert {module.training for module, stage in norms if stage >= 3} == {True}
    assert any(stage == 0 for _, stage in norms)


def test_layer_decay_and_head_factor_set_each_stage_its_rate(make: Make, tmp_path: Path) -> None:
    from components.finetune.learning.strategies import parameter_groups

    case = make(FAMILIES[0])
    network = backbones.family("transformers").from_backbone(
        backbones.fetch(str(case.backbone), tmp_path), "auto", head_for(["a", "b"])
    )
    anatomy = anatomy_of(network, batch_of(case))
    settings = FinetuneSettings(str(case.backbone), layer_decay=0.5, head_factor=10.0)
    groups = parameter_groups(network, anatomy, settings, 1e-3)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    told = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert told["head.weight"] == pytest.approx(1e-2)
    assert told["encoder.pooler.dense.weight"] == pytest.approx(1e-3)
    assert told["encoder.encoder.layer.1.output.dense.weight"] == pytest.approx(5e-4)
    assert told["encoder.encoder.layer.0.output.dense.weight"] == pytest.approx(2.5e-4)
    assert told["encoder.embeddings.word_embeddings.weight"] == pytest.approx(1.25e-4)
    assert {group["weight_decay"] for group in groups for p in group["params"] if p.ndim == 1} == {0.0}


def test_gradual_unfreezes_from_the_top() -> None:
    from types import SimpleNamespace

    anatomy: Any = SimpleNamespace(blocks=[None] * 12, tail=13, head=14)
    settings: Any = SimpleNamespace(epochs=4)
    firsts = [STRATEGIES["gradual"].first(anatomy, settings, epoch) for epoch in range(4)]
    assert firsts == [14, 10, 7, 0]


def test_a_sweep_keeps_the_best_and_pays_for_one_whole_training(make: Make, tmp_path: Path) -> None:
    case = make(FAMILIES[2])
    names = ["probe", "partial", "probe-then-full", "full"]
    model = train(case, tmp_path / "sweep", ",".join(names), epochs=4)
    history = json.loads((model / "notes/history.json").read_text())
    rows = {row["strategy"]: row for row in history["sweep"]}
    assert list(rows) == names
    assert [name for name in names if rows[name]["kept"]] == [history["strategy"]]
    best = max(names, key=lambda name: (rows[name]["accuracy"], -rows[name]["validation_loss"]))
    finished = [name for name in names[1:] if rows[name]["steps"] == max(row["steps"] for row in rows.values())]
    assert len(finished) == 1
    assert history["strategy"] in ("probe", *finished)
    assert rows[history["strategy"]]["accuracy"] >= rows[best]["accuracy"] or best not in ("probe", *finished)
    whole = rows[finished[0]]["steps"]
    assert all(rows[name]["steps"] == round(whole / 4) for name in names[1:] if name != finished[0])


def test_what_wins_a_sweep_is_what_the_strategy_gives_alone(make: Make, tmp_path: Path) -> None:
    """A pause, and what the others did in it, changes nothing."""
    case = make(FAMILIES[0])
    swept = train(case, tmp_path / "sweep", "full,lora", epochs=2)
    kept = json.loads((swept / "notes/history.json").read_text())["strategy"]
    alone = train(case, tmp_path / "alone", kept, epochs=2)
    assert open_artifact(swept, "model").digest == open_artifact(alone, "model").digest


def test_states_beyond_the_budget_are_computed_each_time(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make(FAMILIES[0])
    train(case, tmp_path / "small", "partial", cache_gib=1e-6)
    assert "computed once" not in capsys.readouterr().out
    train(case, tmp_path / "large", "partial")
    assert "computed once" in capsys.readouterr().out


def test_a_model_goes_on_as_a_backbone_with_other_labels(make: Make, tmp_path: Path) -> None:
    """Rows of labels that it knows are kept; `random:` keeps its architecture alone."""
    for key in FAMILIES:
        case = make(key)
        model = train(case, tmp_path / "-".join(key), "full")
        kind, labels = backbones.family(case.family), json.loads((model / "model.json").read_text())["labels"]
        trained = kind.from_model(model)
        again = kind.from_backbone(backbones.fetch(str(model), tmp_path), "auto", head_for(["new", labels[1]]))
        torch.testing.assert_close(again.head.weight[1], trained.head.weight[1])
        assert not torch.equal(again.head.weight[0], trained.head.weight[0])
        old, new = trained.encoder.state_dict(), again.encoder.state_dict()
        assert set(old) == set(new)
        assert all(torch.equal(old[name], new[name]) for name in old)
        empty = kind.from_backbone(backbones.fetch(f"random:{model}", tmp_path), "auto", head_for(labels))
        assert {n: t.shape for n, t in empty.state_dict().items()} == {
            n: t.shape for n, t in trained.state_dict().items()
        }
        differ = [n for n, t in empty.encoder.state_dict().items() if t.ndim > 1 and not torch.equal(t, old[n])]
        assert differ


def test_a_backbone_that_cannot_be_built_says_with_what(make: Make, tmp_path: Path) -> None:
    case = make(FAMILIES[2])
    with pytest.raises(InputError, match=r"cannot be built with \{\"no_such\": 3\}.*no_such"):
        train(case, tmp_path / "m", "full", backbone_args={"no_such": 3})
    with pytest.raises(InputError, match="family 'timm', but .* is of 'transformers'"):
        finetune(case.features, tmp_path / "m", FinetuneSettings(str(make(FAMILIES[0]).backbone)))
    assert not (tmp_path / "m").exists()


def test_merging_leaves_what_was_built(make: Make, tmp_path: Path) -> None:
    from components.finetune.learning.strategies import add_adapters

    case = make(FAMILIES[0])
    backbone = backbones.fetch(str(case.backbone), tmp_path)
    network = backbones.family("transformers").from_backbone(backbone, "auto", head_for(["a", "b"])).eval()
    names, batch = list(network.state_dict()), batch_of(case)
    with torch.no_grad():
        before = network(**batch)
        add_adapters(network, anatomy_of(network, batch), FinetuneSettings("x"))
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
        adapted = network.eval()(**batch)
        merge_adapters(network)
        torch.testing.assert_close(network(**batch), adapted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before["logits"], adapted["logits"])
    assert list(network.state_dict()) == names
