"""One backbone on one dataset: strategies are tried on it, and share what is the same for all of them."""

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.finetune.anatomy import Prefix, anatomy_of
from components.finetune.cache import States, compute_states
from components.finetune.examples import Examples
from components.finetune.probe import Probe, Vectors, fit_probe
from components.finetune.settings import FinetuneSettings
from components.finetune.strategies import STRATEGIES, add_adapters, describe, merge_adapters
from components.finetune.training import (
    Autocast,
    Direct,
    History,
    Learner,
    Pooled,
    Resumed,
    Trial,
    predict,
    scores_of,
)  # fmt: skip
from components.shared.backbones.network import Network

RUNG = 0.25
"""In a sweep, strategies that train by gradient steps are compared after this part of their steps; one goes on."""


StudyListener = Callable[[str, str, dict[str, float]], None]
"""Called with a strategy, "step" or "epoch", and the newest entry of its history."""


@dataclass
class Trained:
    """A network that has learned.

    Attributes:
        network: In evaluation mode, adapters merged.
        strategy: By which it learned.
        history: Of its training; a probe's has one epoch and no steps.
        frozen: What was frozen, in words.
        probe: Penalties that were tried, losses, and the chosen one, where a head was fitted.
        sweep: How each strategy did, where there were several.
        starts: How each start did, where there were two.
    """

    network: Network
    strategy: str
    history: History
    frozen: str
    probe: dict[str, Any] | None = None
    sweep: list[dict[str, Any]] | None = None
    starts: list[dict[str, Any]] | None = None


@dataclass
class Study:
    """A backbone and the examples it is tried on.

    Attributes:
        make: Makes the network with a new head, the same each time.
        train: Training examples; augmented in training, where the settings say so.
        validation: Validation examples.
        settings: Of training.
        autocast: Makes the context that forward passes run in.
        listener: Is told every entry of a history: strategy, "step" or "epoch", entry.
        tell: Is told lines.
        scratch: A folder for states.
        states: What frozen parts made of a split's examples, by split and stage.
    """

    make: Callable[[], Network]
    train: Examples
    validation: Examples
    settings: FinetuneSettings
    autocast: Autocast
    listener: StudyListener
    tell: Callable[[str], None]
    scratch: Path
    states: dict[str, dict[int, States]] = field(default_factory=lambda: {"train": {}, "validation": {}})

    def __post_init__(self) -> None:
        self.network = self.make().to(self.train.device).eval()
        self.anatomy = anatomy_of(self.network, self.train.batch(np.arange(1)))
        self._fitted: tuple[Probe, History] | None = None

    def run(self, strategies: Sequence[str]) -> Trained:
        """Trains by one strategy, or by several and keeps the one that does best on validation examples.

        Of several, those that train by gradient steps run up to a quarter of their steps; only the best of them goes on
        (successive halving, Jamieson and Talwalkar 2015, 1502.07943). A probe is finished by then.

        Raises:
            InputError: A loss is no longer a number.
        """
        self.prepare(strategies)
        done = [self._probed()] if "probe" in strategies else []
        trials = [self.trial(name) for name in strategies if STRATEGIES[name].trains]
        rows = {trained.strategy: _row(trained.history, trained.history.best) for trained in done}
        if len(trials) > 1:
            trials, rows = self._race(trials, rows)
        for trial in trials:
            trial.run()
            done.append(self._finish(trial))
            rows[trial.strategy] = _row(trial.history, trial.history.best)
        best = max(done, key=lambda trained: rank(trained.history.best))
        if len(strategies) > 1:
            kept = best.strategy
            best.sweep = [{"strategy": name, **rows[name], "kept": name == kept} for name in strategies]
        return best

    def prepare(self, strategies: Sequence[str]) -> None:
        """Computes in one pass what the frozen parts of these strategies make of the examples."""
        stages = {stage for name in strategies for stage in self._cached_stages(name)}
        began = time.perf_counter()
        passed = False
        for name, examples in (("train", self.train), ("validation", self.validation)):
            blocks = set() if name == "train" and examples.augment else stages - {self.anatomy.head}
            missing = sorted((blocks | (stages & {self.anatomy.head})) - set(self.states[name]))
            if missing:
                everything = dataclasses.replace(examples, numbers=np.arange(len(examples.split)), augment=None)
                folder = self.scratch / name
                folder.mkdir(parents=True, exist_ok=True)
                prefix, budget = Prefix(self.network, self.anatomy), self.settings.cache_gib
                found = compute_states(
                    prefix, everything, missing, folder, budget, self.autocast, 2 * self.settings.batch_size
                )
                self.states[name].update(found)
                passed = passed or bool(found)
        if passed:
            self.tell(f"the frozen part was computed once, in {time.perf_counter() - began:.1f} s")

    def _cached_stages(self, name: str) -> list[int]:
        """Returns the stages that a strategy begins at, as far as what enters them can be kept."""
        strategy, anatomy = STRATEGIES[name], self.anatomy
        first = strategy.first(anatomy, self.settings, 0)
        stages = [anatomy.head] if strategy.probes else []
        if strategy.trains and strategy.fixed and anatomy.resumable and 1 <= first <= len(anatomy.blocks):
            stages += [first] if self.settings.cache_gib else []
        return stages

    def _fit_probe(self) -> tuple[Probe, History]:
        """Fits a head on the pooled vectors of the frozen backbone; once for all strategies that begin with it."""
        if self._fitted is None:
            began, device, head = time.perf_counter(), self.train.device, self.anatomy.head
            vectors = [
                Vectors(self.states[name][head], examples.numbers, examples.labels, device)
                for name, examples in (("train", self.train), ("validation", self.validation))
            ]
            probe = fit_probe(vectors[0], vectors[1], self.network.head.out_features, self.tell)
            network = copy.deepcopy(self.network)
            probe.load_into(network.head)
            learner = Pooled(self.validation, self.states["validation"][head])
            scores = scores_of(predict(network, learner, 1024, self.autocast), self.validation.labels)
            seconds = time.perf_counter() - began
            entry = {"epoch": 1, "step": 0, "train_loss": probe.train_loss, **scores, "seconds": seconds}
            rate = len(self.train) / max(seconds, 1e-9)
            history = History(epochs=[entry], best_epoch=1, seconds=seconds, examples_per_second=rate)
            self._fitted = probe, history
        return self._fitted

    def _probed(self) -> Trained:
        probe, history = self._fit_probe()
        network = copy.deepcopy(self.network)
        probe.load_into(network.head)
        self.listener("probe", "epoch", history.epochs[0])
        frozen = describe(self.anatomy, STRATEGIES["probe"], self.settings)
        return Trained(network, "probe", history, frozen, _told(probe))

    def trial(self, name: str) -> Trial:
        """Returns a network of its own, about to learn by a strategy, from kept states where there are some."""
        strategy, network = STRATEGIES[name], copy.deepcopy(self.network)
        if strategy.probes:
            self._fit_probe()[0].load_into(network.head)
        anatomy = anatomy_of(network, self.train.batch(np.arange(1)))
        if strategy.adapts:
            torch.manual_seed(self.settings.seed)
            add_adapters(network, anatomy, self.settings)
            network.to(self.train.device)
        learners: list[Learner] = []
        for split, examples in (("train", self.train), ("validation", self.validation)):
            stage = next((s for s in self._cached_stages(name) if s != anatomy.head), None)
            states = self.states[split].get(stage) if stage else None
            if stage and states and not (split == "train" and examples.augment):
                learners.append(Resumed(examples, anatomy, stage, states))
            else:
                learners.append(Direct(examples))

        def listen(event: str, entry: dict[str, float]) -> None:
            self.listener(name, event, entry)

        return Trial(network, anatomy, name, (learners[0], learners[1]), self.settings, self.autocast, listen)

    def _race(self, trials: list[Trial], rows: dict[str, Any]) -> tuple[list[Trial], dict[str, Any]]:
        """Runs trials to the rung; returns the best, and the rows with how all did there."""
        scores = {}
        for trial in trials:
            trial.run(max(1, round(RUNG * trial.total)))
            scores[trial.strategy] = trial.score()
            told = scores[trial.strategy]
            self.tell(
                f"{trial.strategy} after {trial.done} of {trial.total} steps: validation loss "
                f"{told['validation_loss']:.4f}, accuracy {told['accuracy']:.4f}"
            )
        best = max(trials, key=lambda trial: rank(scores[trial.strategy]))
        found = {trial.strategy: _row(trial.history, scores[trial.strategy], trial.done) for trial in trials}
        self.tell(f"{best.strategy} goes on")
        return [best], {**rows, **found}

    def _finish(self, trial: Trial) -> Trained:
        strategy = STRATEGIES[trial.strategy]
        if strategy.adapts:
            merge_adapters(trial.network)
        probe = _told(self._fit_probe()[0]) if strategy.probes else None
        frozen = describe(trial.anatomy, strategy, self.settings)
        return Trained(trial.network.eval(), trial.strategy, trial.history, frozen, probe)


def rank(scores: Mapping[str, float]) -> tuple[float, float]:
    """Returns what is highest for the best validation: macro-F1, and among equals the lowest loss."""
    return scores["macro_f1"], -scores["validation_loss"]


def _row(history: History, scores: Mapping[str, float], steps: int | None = None) -> dict[str, Any]:
    kept = {name: scores[name] for name in ("validation_loss", "accuracy", "macro_f1")}
    done = history.epochs[-1]["step"] if steps is None else steps
    return {**kept, "steps": done, "seconds": history.seconds}


def _told(probe: Probe) -> dict[str, Any]:
    return {"penalties": probe.penalties, "validation_losses": probe.losses, "chosen": probe.chosen}
