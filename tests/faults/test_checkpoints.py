"""Cases 1, 2, 3, 7 and 15: training that is killed, told to stop, refused its checkpoints, or out of memory.

Steps run in processes of their own, forked from one that has imported torch, so that each begins at once.
"""

import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import components.finetune.finetune as finetune_module
from components.finetune.finetune import finetune
from components.finetune.learning.journal import Journal
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.checkpoints import CHECKPOINTS, Checkpoints
from components.shared.errors import InputError, TooLargeError
from components.shared.process.stopping import RETRY
from tests.backbones import make_text_backbone
from tests.cases import SETTINGS
from tests.disks import small_disk
from tests.faults.proxy import Faults

work = finetune_module._finetune
pytestmark = pytest.mark.faults

EVERY_STEP = 1e-6  # minutes
NUMBERS = {**SETTINGS, "epochs": 4, "checkpoint_minutes": EVERY_STEP}
# Python removes the folder of its servers at the very end, after the tests have removed theirs.
multiprocessing.process.current_process()._config.setdefault("tempdir", tempfile.mkdtemp(dir="/tmp"))  # type: ignore
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.test_checkpoints", "transformers.models.bert.modeling_bert"])

Hook = Callable[[], None]


def step(log: Path, environment: dict[str, str], hook: Hook | None, folders: tuple[Path, Path], given: Any) -> None:
    """Runs the step as a pod does."""
    from components.shared.process.step import run_step

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hook is not None:
        hook()
    run_step(lambda: finetune(*folders, FinetuneSettings(**given)), "finetune")


class Runs:
    """Attempts at one training, each a process of its own; all know of the same checkpoints."""

    def __init__(self, folder: Path, features: Path, backbone: Path, **settings: Any) -> None:
        self.folder, self.features, self.log = folder, features, folder / "log.txt"
        self.settings = {"backbone": str(backbone), **NUMBERS, **settings}
        self.environment = {CHECKPOINTS: str(folder / "checkpoints")}
        self.most = 100  # seconds of an attempt
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str = "model", hook: Hook | None = None, **environment: str) -> Any:
        given = (self.log, {**self.environment, **environment}, hook, (self.features, self.folder / name))
        process = FORKS.Process(target=step, args=(*given, self.settings))
        process.start()
        return process

    def run(self, name: str = "model", hook: Hook | None = None, **environment: str) -> int | None:
        process = self.start(name, hook, **environment)
        process.join(self.most)
        assert not process.is_alive()
        return process.exitcode

    def digest(self, name: str = "model") -> str:
        return open_artifact(self.folder / name, "model").digest

    def unbroken(self) -> str:
        """The digest of what is learned without a break."""
        assert self.run("unbroken", **{CHECKPOINTS: ""}) == 0, self.log.read_text()
        return self.digest("unbroken")

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 60
        while not self.log.exists() or text not in self.log.read_text():
            assert time.monotonic() < end, f"{text!r} never came: {self.log.read_text()}"
            time.sleep(0.01)

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoints/*/*-*.json"))


class KillAfter:
    """Kills the process some seconds after a step of its training (the first), wherever it is then."""

    def __init__(self, seconds: float, steps: int = 1) -> None:
        self.seconds, self.steps = seconds, steps

    def __call__(self) -> None:
        def kill() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        look, done = Journal.look, []

        def look_and_begin(*arguments: Any) -> None:
            done.append(True)
            if len(done) == self.steps:
                threading.Timer(self.seconds, kill).start()
            look(*arguments)

        Journal.look = look_and_begin  # type: ignore[method-assign]


@pytest.mark.case(1)
@pytest.mark.parametrize(
    ("strategy", "kills"), [("full", 10), ("partial", 2), ("lora", 2), ("gradual", 2), ("probe,full,lora", 3)]
)
def test_killed_at_random_points_it_ends_as_if_it_had_not_been(
    features: Path, backbone: Path, tmp_path: Path, strategy: str, kills: int
) -> None:
    """Dropout, early stopping, kept states, adapters, a race between strategies."""
    draw = random.Random(0)
    runs = Runs(tmp_path, features, backbone, strategy=strategy)
    expected = runs.unbroken()
    runs.settings["read_ahead"] = 2  # what is read, and thrown away with the process, is read again
    for _ in range(kills):
        hook = KillAfter(draw.uniform(0, 0.02), draw.randint(1, 6))  # so that ten of them come before the last step
        assert runs.run(hook=hook) == -signal.SIGKILL, runs.log.read_text()
        if done := (tmp_path / "model/manifest.json").exists():  # it came after the last file was written
            break
    assert done or runs.run() == 0, runs.log.read_text()
    assert "from a checkpoint" in runs.log.read_text()
    assert runs.digest() == expected
    told = [json.loads((tmp_path / name / "notes/history.json").read_text()) for name in ("unbroken", "model")]
    for part in ("steps", "epochs"):
        losses = [[{k: v for k, v in entry.items() if k != "seconds"} for entry in history[part]] for history in told]
        assert losses[0] == losses[1]
    assert not list(tmp_path.glob("checkpoints/*/*")), "they are gone with the success"


@pytest.mark.case(1)
def test_a_search_goes_on_where_it_was(features: Path, backbone: Path, tmp_path: Path) -> None:
    """With `auto`: heads that were fitted, rates that were compared, and the time that is gone."""
    runs = Runs(tmp_path, features, backbone, strategy="auto", learning_rate=0.0, minutes=2.0)
    expected = runs.unbroken()
    known = {"search began 1", "probe 1", "plan 1"}
    for seconds in (0.05, 0.2, 0.3, 0.6, 0.9):  # the later ones where other work delays a checkpoint
        assert runs.run(hook=KillAfter(seconds)) == -signal.SIGKILL, runs.log.read_text()
        told = json.loads(runs.checkpoints[-1].read_text())["told"] if runs.checkpoints else {"records": {}}
        if seconds >= 0.3 and known <= set(told["records"]):
            break
    assert known <= set(told["records"])
    assert told["seconds"] > 0
    assert runs.run() == 0, runs.log.read_text()
    assert runs.digest() == expected
    told = [json.loads((tmp_path / name / "notes/history.json").read_text()) for name in ("unbroken", "model")]
    tried = [[(line["name"], line["validation"], line["kept"]) for line in each["candidates"]] for each in told]
    assert tried[0] == tried[1]


@pytest.mark.case(1)
def test_two_processes_go_on_together(
    features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own dropout; SIGTERM to the first process reaches all."""
    runs = Runs(tmp_path, features, backbone, strategy="full")
    two = {"GRAFT_PROCESSES": "2"}
    process = runs.start(**two)
    runs.wait_for("epoch 2:")
    process.terminate()
    process.join(60)
    assert process.exitcode == RETRY, runs.log.read_text()
    assert runs.checkpoints
    assert runs.run(**two) == 0, runs.log.read_text()
    assert "from a checkpoint" in runs.log.read_text()
    assert runs.run("unbroken", **{CHECKPOINTS: ""}, **two) == 0
    assert runs.digest() == runs.digest("unbroken")


class KillInWriting:
    """Kills the process while it writes its fourth checkpoint: before its files, between them and the manifest."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __call__(self) -> None:
        before = getattr(Checkpoints, self.place)

        def kill(store: Checkpoints, *arguments: Any) -> Any:
            if store._next == 4:
                if self.place == "_send":
                    arguments[0].write_bytes(arguments[0].read_bytes()[:1000])
                os.kill(os.getpid(), signal.SIGKILL)
            return before(store, *arguments)

        setattr(Checkpoints, self.place, kill)
        if self.place == "_send":
            return
        from components.shared.storage import storage

        write = storage.write_whole

        def half(uri: str, content: bytes) -> None:
            if "/00000004-" in uri:
                Path(uri).write_bytes(
                    content[: len(content) // 2]
                )  # as on a file system that loses what was not synced
                os.kill(os.getpid(), signal.SIGKILL)
            write(uri, content)

        storage.write_whole = half
        setattr(Checkpoints, self.place, before)


@pytest.mark.case(2)
@pytest.mark.parametrize("place", ["_send", "add"])
def test_killed_while_a_checkpoint_is_written(features: Path, backbone: Path, tmp_path: Path, place: str) -> None:
    runs = Runs(tmp_path, features, backbone, strategy="full")
    expected = runs.unbroken()
    assert runs.run(hook=KillInWriting(place)) == -signal.SIGKILL, runs.log.read_text()
    assert runs.run() == 0, runs.log.read_text()
    assert "from a checkpoint" in runs.log.read_text()
    assert ("is damaged" in runs.log.read_text()) == (place == "add")
    assert runs.digest() == expected


@pytest.mark.case(2)
@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone", "manifest"])
def test_of_two_checkpoints_the_one_before_stands_in(
    features: Path, backbone: Path, tmp_path: Path, damage: str
) -> None:
    runs = Runs(tmp_path, features, backbone, strategy="full")
    expected = runs.unbroken()
    assert runs.run(hook=KillAfter(0.01, 30)) == -signal.SIGKILL
    before, newest = runs.checkpoints[-2:]
    assert len(runs.checkpoints) <= 3, "two are kept, and perhaps one that was about to be removed"
    files = [{file["name"] for file in json.loads(each.read_text())["files"].values()} for each in (before, newest)]
    file = newest.parent / min(files[1] - files[0])
    if damage == "manifest":
        newest.write_text(newest.read_text().replace('"lowest": ', '"lowest": 1'))
    elif damage == "flipped":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "cut off":
        os.truncate(file, file.stat().st_size // 2)
    else:
        file.unlink()
    assert runs.run() == 0, runs.log.read_text()
    assert f"{newest.name} is damaged" in runs.log.read_text()
    assert "from a checkpoint" in runs.log.read_text()
    assert runs.digest() == expected


class Slow:
    """Makes what the step does at some moment take half a minute, and tells when it begins."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        import importlib

        module = importlib.import_module(self.module)

        def slow(*_: Any, **__: Any) -> None:
            print("slowly", flush=True)
            time.sleep(30)

        setattr(module, self.name, slow)


@pytest.mark.case(3)
@pytest.mark.parametrize("moment", ["training", "evaluation", "warm-up"])
def test_told_to_stop_it_says_try_again_and_goes_on(
    registry: str, features: Path, backbone: Path, tmp_path: Path, moment: str
) -> None:
    """The checkpoints' minutes are not over: the signal alone has them written."""
    from mlflow import MlflowClient

    runs = Runs(tmp_path / "runs", features, backbone, strategy="probe-then-full", checkpoint_minutes=60.0)
    runs.settings["experiment"] = "topics"
    slow = {"training": None, "evaluation": Slow("components.finetune.learning.training", "outputs_of")}
    hook = slow.get(moment, Slow("components.finetune.study", "compute_states"))
    process = runs.start(hook=hook, MLFLOW_TRACKING_URI=registry)
    runs.wait_for("epoch 2:" if moment == "training" else "slowly")
    process.terminate()
    began = time.monotonic()
    process.join(60)
    assert process.exitcode == RETRY == 75, runs.log.read_text()
    assert time.monotonic() - began < 10
    assert "Traceback" not in runs.log.read_text()
    assert bool(runs.checkpoints) or moment == "warm-up"
    assert not (runs.folder / "model").exists()
    client = MlflowClient(registry)
    (run,) = client.search_runs([client.get_experiment_by_name("topics").experiment_id])
    assert run.info.status == "KILLED"
    assert runs.run() == 0, runs.log.read_text()
    assert ("goes on after step" in runs.log.read_text()) == (moment != "warm-up")
    assert runs.digest() == runs.unbroken()


class FillDisk:
    """Fills a disk after the training has begun: the fifth time that it could write a checkpoint."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def __call__(self) -> None:
        look, looks = Journal.look, []

        def look_and_fill(*arguments: Any) -> None:
            looks.append(True)
            if len(looks) == 5:
                fill(self.disk)
            look(*arguments)

        Journal.look = look_and_fill  # type: ignore[method-assign]


def fill(disk: Path) -> None:
    """Leaves not a byte, also where what fills it has been there and files were removed since."""
    with contextlib.suppress(OSError), (disk / "full").open("ab", buffering=0) as file:
        while file.write(bytes(1 << 12)):
            pass


@pytest.mark.case(4)
@pytest.mark.parametrize("moment", ["start", "training"])
def test_a_full_disk_at_a_checkpoint_leaves_those_before_it_whole(
    features: Path, backbone: Path, tmp_path: Path, moment: str
) -> None:
    runs = Runs(tmp_path, features, backbone, strategy="full")
    expected = runs.unbroken()
    with small_disk(tmp_path / "disk", "64m") as disk:
        runs.environment[CHECKPOINTS] = str(disk)
        assert runs.run(hook=KillAfter(0.01, 30)) == -signal.SIGKILL
        (place,) = disk.iterdir()
        before = Checkpoints(str(place), tmp_path / "scratch").newest(tmp_path / "before")
        killed = set(place.glob(".*"))  # what was being written as the first one was killed
        if moment == "start":
            fill(disk)
        assert runs.run(hook=FillDisk(disk)) == 1, runs.log.read_text()
        told = runs.log.read_text()
        assert re.search(
            f"graft: failure: The checkpoint could not be written to {place}.*No space left on device", told
        )
        assert "Those before it are whole" in told
        assert "Traceback" not in told
        after = Checkpoints(str(place), tmp_path / "scratch").newest(tmp_path / "after")
        assert after == before if moment == "start" else after.number > before.number
        assert set(place.glob(".*")) == killed, "nothing half-written is left"
        assert not (tmp_path / "model/manifest.json").exists()
        (disk / "full").unlink()
        assert runs.run() == 0, runs.log.read_text()
    assert f"{after.told['seconds']:.0f} s of work" in runs.log.read_text()
    assert runs.digest() == expected


@pytest.mark.case(7)
def test_credentials_that_are_refused_never_mean_a_new_beginning(
    flaky: Any, faults: Faults, features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FinetuneSettings(str(backbone), strategy="full", **{**NUMBERS, "checkpoint_uri": "s3://bucket/kept"})
    look, steps = Journal.look, []

    def interrupt(journal: Journal, trial: Any, stop: Any) -> None:
        look(journal, trial, stop)
        steps.append(trial.done)
        if trial.done == 20 and len(steps) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "look", interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune(features, tmp_path / "model", settings)
    for on in (lambda method, path: True, lambda method, path: ".json" in path, lambda method, path: ".safe" in path):
        faults.rate, faults.kinds, faults.on = 1.0, ("403",), on
        with pytest.raises(InputError, match="These credentials may not read"):
            finetune(features, tmp_path / "model", settings)
        assert len(steps) == 20, "not one step was trained"
        assert not (tmp_path / "model").exists()
    faults.rate = 0.0
    report = finetune(features, tmp_path / "model", settings)
    assert steps[20] == 21
    assert "Contents" not in flaky.list_objects_v2(Bucket="bucket"), "they are gone with the success"
    assert (
        report.digest
        == finetune(features, tmp_path / "unbroken", FinetuneSettings(str(backbone), strategy="full", **NUMBERS)).digest
    )


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Lets a network's pass run out of memory beyond so many examples; gives how many it was asked for."""
    import torch

    from components.shared.backbones.network import Network

    forward = Network.forward

    def limit(most: int) -> list[int]:
        asked: list[int] = []

        def scarce(network: Any, **batch: Any) -> Any:
            asked.append(len(next(iter(batch.values()))))
            if asked[-1] > most and (most or network.training):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return forward(network, **batch)

        monkeypatch.setattr(Network, "forward", scarce)
        return asked

    return limit


@pytest.mark.case(15)
def test_out_of_memory_the_same_batch_is_computed_in_parts(
    features: Path, tmp_path: Path, memory_for: Callable[[int], list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = FinetuneSettings(str(make_text_backbone("bert", tmp_path / "b", **still)), strategy="full", **NUMBERS)
    finetune(features, tmp_path / "whole", settings)
    asked = memory_for(5)
    finetune(features, tmp_path / "parts", settings)
    told = capsys.readouterr().out
    assert "batches of 16 examples are computed 8 at a time" in told
    assert "batches of 16 examples are computed 4 at a time" in told
    assert sum(size > 5 for size in asked) < 20 < sum(size == 4 for size in asked), "the size is kept, once found"
    told = [json.loads((tmp_path / name / "notes/history.json").read_text()) for name in ("whole", "parts")]
    whole_losses, losses = ([entry["loss"] for entry in each["steps"]] for each in told)
    np.testing.assert_allclose(losses, whole_losses, atol=1e-5)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, weight in whole.items():
        if name.endswith("key.bias"):
            continue  # softmax does not see it: its gradient is 0 but for rounding, which Adam makes large
        np.testing.assert_allclose(parts[name], weight, atol=1e-4, err_msg=name)


def scarce(*arguments: Any) -> Any:
    """Does the step's work in a process of several, with room for so many examples of a batch as `ROOM` says."""
    import torch

    from components.shared.backbones.network import Network

    forward, room = Network.forward, int(os.environ["ROOM"])

    def in_little_room(network: Any, **batch: Any) -> Any:
        if network.training and torch.distributed.get_rank() and len(next(iter(batch.values()))) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(network, **batch)

    Network.forward = in_little_room  # type: ignore[method-assign]
    return work(*arguments)


def work_in_little_room() -> None:
    finetune_module._finetune = scarce


@pytest.mark.case(15)
def test_of_several_processes_all_take_smaller_parts_when_one_is_out_of_memory(features: Path, tmp_path: Path) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    backbone = make_text_backbone("bert", tmp_path / "b", **still)
    runs = Runs(tmp_path / "runs", features, backbone, strategy="full", epochs=2, checkpoint_minutes=60.0)
    two, runs.most = {"GRAFT_PROCESSES": "2"}, 300  # each launch imports torch in two processes
    assert runs.run("whole", work_in_little_room, ROOM="16", **two) == 0, runs.log.read_text()
    assert "out of memory" not in runs.log.read_text()
    assert runs.run("parts", work_in_little_room, ROOM="4", **two) == 0, runs.log.read_text()
    told = runs.log.read_text()
    assert "out of memory in one of 2 processes: they begin anew, and take batches in 2 parts" in told
    assert "in 4 parts" not in told, "4 of 16 examples fit, of two processes 8"
    told = [json.loads((runs.folder / name / "notes/history.json").read_text()) for name in ("whole", "parts")]
    whole, parts = ([entry["loss"] for entry in each["steps"]] for each in told)
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    runs.settings["batch_size"] = 4
    assert runs.run("none", work_in_little_room, ROOM="0", **two) == TooLargeError.exit_code == 4
    assert "Memory does not suffice to train on 2 examples at once" in runs.log.read_text()
    assert not (runs.folder / "none").exists()


@pytest.mark.case(15)
def test_where_one_example_is_too_much_it_gives_up(
    features: Path, backbone: Path, tmp_path: Path, memory_for: Callable[[int], list[int]]
) -> None:
    asked = memory_for(1)
    memory_for(0)
    with pytest.raises(TooLargeError, match="Memory does not suffice to train on one example at once") as caught:
        finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), strategy="full", **NUMBERS))
    assert caught.value.exit_code == 4
    assert len(asked) < 20
    assert not (tmp_path / "model").exists()
