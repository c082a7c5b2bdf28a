"""Batches come to the device as they are asked for, from pixels that lie there, or read ahead: the same bit for bit."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.finetune.finetune import finetune
from components.finetune.learning.batches import AHEAD, Batches, with_next
from components.finetune.learning.examples import Examples
from components.finetune.learning.learners import Direct
from components.finetune.learning.loading import Ahead, Batch, Loader, Pixels, Room
from components.finetune.learning.splits import Splits
from components.finetune.settings import FinetuneSettings
from components.shared import backbones
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.errors import ServiceError
from components.shared.process.stopping import PreemptedError
from components.transform.transform import TransformSettings, transform
from tests.cases import SETTINGS, Case, make_case, sample_snapshot

CPU, GIB = torch.device("cpu"), 1 << 30


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reads ahead")]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("loading")
    snapshot = sample_snapshot("image-classification", folder, 120)
    return make_case("image-classification", "timm", "vit_tiny_patch16_224", folder / "case", snapshot)


@pytest.fixture(scope="module")
def compressed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures as JPEG files."""
    folder = tmp_path_factory.mktemp("compressed") / "features"
    transform(case.snapshot, folder, TransformSettings(str(case.backbone), pixel_gib=0))
    assert open_artifact(folder, "features").read_json("features.json")["columns"] == ["encoded"]
    return folder


def whole(features: Path, threads: int = 0, room: Room | None = None) -> Examples:
    split, family = FeatureSplit(open_artifact(features, "features"), "train"), backbones.family("timm")
    targets: Any = lambda columns: {"label": torch.from_numpy(columns["label"].astype(np.int64))}  # noqa: E731
    return Examples.whole(split, family, 0, CPU, targets, threads, room)


def batches_of(examples: Examples, epochs: int = 2) -> list[Batch]:
    """The batches of some epochs, as training and then evaluation ask for them."""
    found, dealt = [], Batches(examples.lengths, 1, 16, 5)
    for epoch in range(epochs):
        for indices, coming in with_next(dealt.of(epoch)):
            examples.expect(coming)
            found.append(examples.batch(indices))
        examples.expect(())
        with torch.inference_mode():
            found.append(examples.batch(np.arange(4)))
    return found


def same(some: list[Batch], others: list[Batch]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in pairs)


@pytest.mark.parametrize("form", ["pixels", "encoded"])
@pytest.mark.parametrize(("threads", "room"), [(2, 0.0), (0, GIB), (2, GIB)])
def test_however_batches_come_they_are_the_same(
    case: Case, compressed: Path, form: str, threads: int, room: float
) -> None:
    features = case.features if form == "pixels" else compressed
    examples = whole(features, threads, Room(room))
    assert examples.loader.holds == (room > 0)
    assert same(batches_of(examples), batches_of(whole(features)))
    assert not running()


def test_each_picture_is_read_once_where_pixels_stay(compressed: Path) -> None:
    """JPEG files are decoded in the first epoch alone; what is augmented is a copy."""
    examples, read = whole(compressed, room=Room(GIB)), []
    loader = examples.loader
    make = loader._ahead._read
    loader._ahead._read = lambda numbers: read.extend(numbers.tolist()) or make(numbers)  # type: ignore[func-returns-value]
    first = batches_of(examples, 1)
    first[0]["pixels"].fill_(0)
    batches_of(examples, 3)
    assert sorted(read) == list(range(len(examples)))
    assert same(batches_of(examples, 1), batches_of(whole(compressed), 1))


def test_pixels_stay_where_they_fit(case: Case) -> None:
    """All splits share the room, the first that is opened goes first."""
    size = whole(case.features, room=Room(GIB)).loader.size
    assert size == len(whole(case.features)) * 32 * 32 * 3
    room = Room(1.5 * size)
    assert whole(case.features, room=room).loader.holds
    assert not whole(case.features, room=room).loader.holds
    assert room.left == 0.5 * size


def test_where_training_needs_their_room_pixels_give_way(
    case: Case, digest: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The batch stays whole: what is learned is the same."""
    expected, failed, learned = digest(), [], Direct.outputs

    def outputs(learner: Direct, network: Any, batch: Batch) -> Batch:
        if network.training and learner.examples.loader.holds:
            failed.append(len(batch["pixels"]))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learned(learner, network, batch)

    monkeypatch.setattr(Direct, "outputs", outputs)
    assert digest(device_gib=1.0) == expected
    assert len(failed) == 1
    assert "out of memory: pixels do not stay on the device any more" in capsys.readouterr().out


def test_of_what_several_processes_share_each_holds_what_it_has_seen() -> None:
    """A batch that is there in part: the rest of it is read."""
    pictures = torch.randint(0, 256, (12, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    asked: list[list[int]] = []

    def read(numbers: np.ndarray) -> Batch:
        asked.append(numbers.tolist())
        return {"pixels": pictures[torch.from_numpy(numbers)]}

    loader = Loader(read, 12, CPU, threads=1, room=Room(GIB))
    for numbers in ([1, 2, 3], [3, 2, 4, 4], [1, 4]):
        loader.expect([np.array(numbers)])
        assert torch.equal(loader.take(np.array(numbers))["pixels"], pictures[torch.tensor(numbers)])
    loader.expect(())
    assert asked == [[0], [1, 2, 3], [4, 4]]


def test_without_memory_after_all_they_are_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Pixels, "__init__", full)
    examples = whole(case.features, room=Room(GIB))
    assert same(batches_of(examples), batches_of(whole(case.features)))
    assert not examples.loader.holds


def test_few_batches_wait_and_few_bytes() -> None:
    def read(numbers: np.ndarray) -> Batch:
        return {"input_ids": torch.from_numpy(numbers)}

    coming = [np.full(100, number) for number in range(30)]
    for most, expected in ((1 << 20, AHEAD), (3 * 800, 3), (10, 1)):
        ahead, largest = Ahead(read, 2, CPU, most), 0
        for number, numbers in enumerate(coming):
            ahead.expect(coming[number:])
            largest = max(largest, len(ahead._waiting))
            assert torch.equal(ahead.take(numbers)["input_ids"], torch.from_numpy(numbers))
        ahead.expect(())
        assert largest == expected
        assert not running()


def test_batches_that_come_otherwise_are_read_and_what_waited_is_given_up() -> None:
    """As where memory did not suffice for a batch, and it is taken in parts from there."""
    begun, may_end = threading.Event(), threading.Event()

    def read(numbers: np.ndarray) -> Batch:
        if len(numbers) == 4:
            begun.set()
            assert may_end.wait(10)
        return {"input_ids": torch.from_numpy(numbers)}

    ahead = Ahead(read, 1, CPU)
    ahead.expect([np.arange(4)])
    assert begun.wait(10)
    halves = [np.arange(2), np.arange(2, 4)]
    ahead.expect(halves)
    may_end.set()
    assert [ahead.take(half)["input_ids"].tolist() for half in halves] == [[0, 1], [2, 3]]
    ahead.expect(())
    assert not running()


def test_what_goes_wrong_in_a_thread_is_told_where_the_batch_is_taken(case: Case) -> None:
    def read(numbers: np.ndarray) -> Batch:
        if numbers[0] == 3:
            raise ServiceError("the disk went away")
        return {"input_ids": torch.from_numpy(numbers)}

    coming, ahead = [np.array([number]) for number in range(5)], Ahead(read, 2, CPU)
    for number in range(3):
        ahead.expect(coming[number:])
        ahead.take(coming[number])
    with pytest.raises(ServiceError, match="the disk went away"):
        ahead.take(coming[3])
    ahead.expect(())


@pytest.fixture(scope="module")
def digest(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Trains on changed pictures, all weights; returns the model's digest."""

    def train(features: Path = case.features, **settings: Any) -> str:
        folder = tmp_path_factory.mktemp("trained") / "model"
        given = {**SETTINGS, "epochs": 2, "strategy": "full", "crop_scale": 0.5, "flip": 0.5, **settings}
        finetune(features, folder, FinetuneSettings(str(case.backbone), **given))
        assert not running()
        return open_artifact(folder, "model").digest

    return train


def test_what_is_learned_is_the_same_and_the_log_says_how(
    case: Case, compressed: Path, digest: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = digest()
    assert "float32 (as asked for); batches are read when their step comes (threads" in capsys.readouterr().out
    assert digest(read_ahead=2) == expected
    assert "batches are read ahead by 2 threads (as asked for)" in capsys.readouterr().out
    assert digest(read_ahead=1, device_gib=1.0) == expected
    assert "pixels stay in memory" in capsys.readouterr().out
    assert digest(compressed, device_gib=1.0) == digest(compressed, read_ahead=2)


def test_texts_are_padded_ahead(tmp_path: Path) -> None:
    """By two strategies, of which one pauses while the other goes first, and one begins at states that are kept."""
    snapshot = sample_snapshot("text-classification", tmp_path, 60)
    case = make_case("text-classification", "transformers", "bert", tmp_path / "case", snapshot)
    for threads in (0, 2):
        settings = FinetuneSettings(str(case.backbone), **SETTINGS, strategy="partial,full", read_ahead=threads)
        finetune(case.features, tmp_path / str(threads), settings)
    read, ahead = (open_artifact(tmp_path / str(threads), "model") for threads in (0, 2))
    assert read.digest == ahead.digest
    assert "2 threads" in ahead.read_json("notes/history.json")["choices"]["loading"]


def test_training_that_is_told_to_stop_leaves_no_thread(
    digest: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        assert running()
        raise PreemptedError

    monkeypatch.setattr("components.finetune.learning.training.Losses.add", stop)
    with pytest.raises(PreemptedError):
        digest(read_ahead=2)
    assert not running()


def test_sentences_of_how_batches_come(case: Case) -> None:
    given = (open_artifact(case.features, "features"), backbones.family("timm"), 0, CPU, lambda _: {})

    def words(**settings: Any) -> str:
        return Splits(*given, FinetuneSettings("x", **settings)).words

    size = len(whole(case.features)) * 32 * 32 * 3 / GIB
    assert words(device_gib=1.0) == f"pixels stay in memory once they are there ({size:.3g} GiB)"
    assert words(device_gib=1e-6, read_ahead=3) == (
        f"batches are read ahead by 3 threads (as asked for; pixels are {size:.3g} GiB, and may take 1e-06 GiB in "
        "memory)"
    )
    assert words() == "batches are read when their step comes (threads beside training would take its cores)"
