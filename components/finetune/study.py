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
from torch import nn

from components.finetune.anatomy import Anatomy, Prefix, anatomy_of
from components.finetune.batches import LEAST
from components.finetune.cache import States, compute_states
from components.finetune.examples import Examples
from components.finetune.learners import Autocast, Direct, Learner, Resumed, logits_of
from components.finetune.probe import Probe, Vectors, View, fit_probe
from components.finetune.settings import FinetuneSettings
from components.finetune.strategies import STRATEGIES, add_adapters, describe, merge_adapters
from components.finetune.training import History, Trial
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.selection import rank, selection_of

METRICS = ("validation_loss", "accuracy", "macro_f1")
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
        settings: That it learned by, with no number open.
        candidates: What was tried: `name`, `what`, `validation`, `seconds`, `kept`, `note`.
        sweep: How each strategy did, where there were several.
        starts: How each start did, where there were two.
    """

    network: Network
    strategy: str
    history: History
    frozen: str
    probe: dict[str, Any] | None = None
    settings: FinetuneSettings | None = None
    candidates: list[dict[str, Any]] | None = None
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
        first = self.train.batch(np.arange(1))
        self.anatomy = anatomy_of(self.network, first)
        with torch.no_grad():
            self.poolings = list(self.network.summaries(**first))
        classes = self.network.head.out_features
        self.selection = selection_of(np.bincount(self.train.labels, minlength=classes))
        self._fitted: tuple[Probe, History] | None = None

    def run(self, strategies: Sequence[str]) -> Trained:
        """Trains by one strategy, or by several and keeps the one that does best on validation examples.

        Of several, those that train by gradient steps run up to a quarter of their steps; only the best of them goes on
        (successive halving, Jamieson and Talwalkar 2015, 1502.07943). A probe is finished by then.

        Raises:
            InputError: A loss is no longer a number.
        """
        self.prepare(strategies)
        done = [self.probed()] if "probe" in strategies else []
        trials = [self.trial(name) for name in strategies if STRATEGIES[name].trains]
        rows = {trained.strategy: _row(trained.history, trained.history.best) for trained in done}
        if len(trials) > 1:
            trials, rows = self._race(trials, rows)
        for trial in trials:
            trial.run()
            done.append(self.finish(trial))
            rows[trial.strategy] = _row(trial.history, trial.history.best)
        best = max(done, key=lambda trained: rank(trained.history.best, self.selection))
        told = [{"strategy": name, **rows[name], "kept": name == best.strategy} for name in strategies]
        best.sweep = told if len(strategies) > 1 else None
        frozen = {trained.strategy: trained.frozen for trained in done}
        best.candidates = [
            candidate(row["strategy"], frozen.get(row["strategy"], "not trained to its end"), row, row["kept"])
            for row in told
        ]
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

    def probe(self) -> tuple[Probe, History]:
        """Fits a head on what the frozen backbone makes of the examples; once for all that begins with it."""
        if self._fitted is None:
            began = time.perf_counter()
            vectors = [self.vectors(name) for name in ("train", "validation")]
            probe = fit_probe(vectors[0], vectors[1], self.network.head.out_features, self.tell, self._views())
            seconds = time.perf_counter() - began
            entry = {"epoch": 1, "step": 0, "train_loss": probe.train_loss, **probe.validation, "seconds": seconds}
            rate = len(self.train) / max(seconds, 1e-9)
            history = History(epochs=[entry], best_epoch=1, seconds=seconds, examples_per_second=rate)
            self._fitted = probe, history
        return self._fitted

    def vectors(self, split: str) -> Vectors:
        """Returns what the frozen backbone makes of a split, once `prepare` has computed it."""
        examples = self.train if split == "train" else self.validation
        return Vectors(self.states[split][self.anatomy.head], examples.numbers, examples.labels, examples.device)

    def _views(self) -> list[View]:
        """Returns the views that a probe can choose from: where no pooling is asked for, all that one pass gives."""
        names = self.poolings if self.settings.pooling == "auto" else self.poolings[:1]
        return [View(row, name, unit) for row, name in enumerate(names) for unit in (False, True)]

    def probed(self) -> Trained:
        """Returns the network with the probe's head."""
        probe, history = self.probe()
        network = copy.deepcopy(self.network)
        probe.load_into(network)
        self.listener("probe", "epoch", history.epochs[0])
        frozen = describe(self.anatomy, STRATEGIES["probe"], self.settings)
        return Trained(network, "probe", history, frozen, probe.to_json(), self.settings)

    def logits(self, trained: Trained) -> np.ndarray:
        """Returns what a network makes of the validation examples, [examples, classes]."""
        return logits_of(trained.network, Direct(self.validation), 2 * self.settings.batch_size, self.autocast)

    def trial(self, name: str, settings: FinetuneSettings | None = None, from_probe: bool = False) -> Trial:
        """Returns a network of its own, about to learn by a strategy, from kept states where there are some.

        Args:
            name: Of the strategy.
            settings: Other ones than the study's.
            from_probe: Begin with the probe's head, also where the strategy does not.

        Raises:
            InputError: Batches would have one example, and the network's norms need several.
        """
        strategy, network, settings = STRATEGIES[name], copy.deepcopy(self.network), settings or self.settings
        if strategy.probes or from_probe:
            self.probe()[0].load_into(network)
        anatomy = anatomy_of(network, self.train.batch(np.arange(1)))
        _check_batches(network, min(settings.batch_size, len(self.train)))
        if strategy.adapts:
            torch.manual_seed(settings.seed)
            add_adapters(network, anatomy, settings)
            network.to(self.train.device)
        learners = self._learners(name, anatomy)

        def listen(event: str, entry: dict[str, float]) -> None:
            self.listener(name, event, entry)

        return Trial(network, anatomy, name, learners, settings, self.autocast, listen, self.selection)

    def _learners(self, name: str, anatomy: Anatomy) -> tuple[Learner, Learner]:
        found: list[Learner] = []
        for split, examples in (("train", self.train), ("validation", self.validation)):
            stage = next((s for s in self._cached_stages(name) if s != anatomy.head), None)
            states = self.states[split].get(stage) if stage else None
            if stage and states and not (split == "train" and examples.augment):
                found.append(Resumed(examples, anatomy, stage, states))
            else:
                found.append(Direct(examples))
        return found[0], found[1]

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
        best = max(trials, key=lambda trial: rank(scores[trial.strategy], self.selection))
        found = {trial.strategy: _row(trial.history, scores[trial.strategy], trial.done) for trial in trials}
        self.tell(f"{best.strategy} goes on")
        return [best], {**rows, **found}

    def finish(self, trial: Trial) -> Trained:
        """Returns what a trial has learned, its adapters merged."""
        strategy = STRATEGIES[trial.strategy]
        if strategy.adapts:
            merge_adapters(trial.network)
        probe = self.probe()[0].to_json() if strategy.probes else None
        frozen = describe(trial.anatomy, strategy, trial.settings)
        return Trained(trial.network.eval(), trial.strategy, trial.history, frozen, probe, trial.settings)


def candidate(name: str, what: str, scores: Mapping[str, Any], kept: bool, note: str = "") -> dict[str, Any]:
    """Returns a line of the history's `candidates`.

    Args:
        name: What it is called.
        what: It is, in words.
        scores: On validation examples, and its `seconds`.
        kept: Whether it is the model.
        note: What else is to be said.
    """
    validation = {metric: scores[metric] for metric in METRICS}
    told = {"name": name, "what": what, "validation": validation, "seconds": scores["seconds"]}
    return {**told, "kept": kept, "note": note}


def _check_batches(network: Network, size: int) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms and size < LEAST:
        raise InputError(
            f"Batches would hold {size} example, but the network has {len(norms)} batch norms, which need several: set "
            f"training.batch_size to {LEAST} or more, and give as many training examples."
        )


def _row(history: History, scores: Mapping[str, float], steps: int | None = None) -> dict[str, Any]:
    kept = {name: scores[name] for name in METRICS}
    done = history.epochs[-1]["step"] if steps is None else steps
    return {**kept, "steps": done, "seconds": history.seconds}
