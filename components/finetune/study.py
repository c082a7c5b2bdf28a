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

from components.finetune import alone
from components.finetune.anatomy import Anatomy, Prefix, anatomy_of
from components.finetune.batches import LEAST
from components.finetune.cache import States, compute_states
from components.finetune.examples import Examples
from components.finetune.heads import Head, Heads
from components.finetune.learners import Autocast, Direct, Learner, Resumed, logits_of
from components.finetune.settings import LEXICAL, FinetuneSettings
from components.finetune.strategies import STRATEGIES, add_adapters, describe, merge_adapters
from components.finetune.training import History, Trial
from components.finetune.wide import Branch, RawTexts, is_within_reach, note_of, start_branch
from components.finetune.words import WordColumns
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
        judgement: Whether it learned, and its temperature, see `components.finetune.account.judge`.
        headline: What is to be said first of how it was chosen, or "".
        words: What is told of its words, see `components.finetune.wide.words_note`.
        sweep: How each strategy did, where there were several.
        starts: How each start did, where there were two.
        crossed: What its cross-validation is told by, or why there is none though the snapshot asks for one.
        from_probe: Whether training began with a fitted head, though the strategy asks for none.
    """

    network: Network | alone.WordsModel
    strategy: str
    history: History
    frozen: str
    probe: dict[str, Any] | None = None
    settings: FinetuneSettings | None = None
    candidates: list[dict[str, Any]] | None = None
    words: dict[str, Any] | None = None
    headline: str = ""
    judgement: dict[str, Any] = field(default_factory=dict)
    sweep: list[dict[str, Any]] | None = None
    starts: list[dict[str, Any]] | None = None
    crossed: dict[str, Any] = field(default_factory=dict)
    from_probe: bool = False


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
        raw: The texts, where words are to be looked at; else None.
        like: The heads of another study, whose choices are repeated.
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
    raw: RawTexts | None = None
    like: Heads | None = None

    def __post_init__(self) -> None:
        self.network = self.make().to(self.train.device).eval()
        self.branch = Branch.taken_from(self.network)
        self._columns: dict[str, WordColumns] = {}
        first = self.train.batch(np.arange(1))
        self.anatomy = anatomy_of(self.network, first)
        with torch.no_grad():
            self.poolings = list(self.network.summaries(**first))
        classes = self.network.head.out_features
        self.selection = selection_of(np.bincount(self.train.labels, minlength=classes))
        self.heads = Heads(self, self.like)

    def run(self, strategies: Sequence[str]) -> Trained:
        """Trains by one strategy, or by several and keeps the one that does best on validation examples.

        Of several, those that train by gradient steps run up to a quarter of their steps; only the best of them goes on
        (successive halving, Jamieson and Talwalkar 2015, 1502.07943). A probe is finished by then.

        Raises:
            InputError: A loss is no longer a number.
        """
        self.prepare(strategies)
        done = [self.worded()] if LEXICAL in strategies else []
        done += [self.probed()] if "probe" in strategies else []
        trials = [self.trial(name) for name in strategies if name != LEXICAL and STRATEGIES[name].trains]
        rows = {trained.strategy: _row(trained.history, trained.history.best) for trained in done}
        if len(trials) > 1:
            trials, rows = self._race(trials, rows)
        for trial in trials:
            trial.run()
            done.append(self.finish(trial))
            rows[trial.strategy] = _row(trial.history, trial.history.best)
        best = max(done, key=lambda trained: rank(trained.history.best, self.selection))
        self.note_words(best)
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
        stages = {stage for name in strategies if name != LEXICAL for stage in self._cached_stages(name)}
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

    def probed(self, head: Head | None = None, silent: bool = False) -> Trained:
        """Returns the network with a head that was fitted on it; None: the best of them."""
        chosen, network = head or self.heads.best, copy.deepcopy(self.network)
        chosen.load_into(network)
        if not silent:
            self.listener(chosen.name, "epoch", chosen.history.epochs[0])
        frozen = describe(self.anatomy, STRATEGIES["probe"], self.settings)
        return Trained(network, "probe", chosen.history, frozen, chosen.to_json(), self.settings)

    def worded(self) -> Trained:
        """Returns the model of the words alone.

        Raises:
            InputError: There are no words, or none that tells anything.
        """
        if self.heads.lexical is None:
            raise alone.no_words(self.raw is None)
        fit = self.heads.lexical[1]
        history = alone.history_of(fit)
        self.listener(LEXICAL, "epoch", history.epochs[0])
        return Trained(alone.model_of(fit), LEXICAL, history, alone.FROZEN, settings=self.settings)

    def with_words(self, examples: Examples, split: str, network: Network) -> Examples:
        """Returns examples with the words that a network's branch takes, where it has one."""
        if network.vectorizer is None or self.raw is None:
            return examples
        if split not in self._columns:
            self._columns[split] = self.raw.columns(network.vectorizer, split)
        return dataclasses.replace(examples, words=self._columns[split])

    def note_words(self, trained: Trained) -> None:
        """Adds what is told of the words."""
        labels, network = (self.raw.labels if self.raw else []), trained.network
        if self.heads.lexical is None:
            return
        fit = self.heads.lexical[1]
        if isinstance(network, alone.WordsModel):
            trained.words = alone.note_alone(fit, labels)
        elif network.wide is not None:
            examples = self.with_words(self.validation, "validation", network)
            trained.words = note_of(network, examples, labels, fit)

    def logits(self, trained: Trained) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a model makes of validation examples, [examples, classes], and their classes."""
        network = trained.network
        if isinstance(network, alone.WordsModel):
            assert self.heads.lexical is not None, "words were found"
            words, fit = self.heads.lexical
            return fit.linear.logits(fit.validation_columns), words.truth
        learner = Direct(self.with_words(self.validation, "validation", network))
        found = logits_of(network, learner, 2 * self.settings.batch_size, self.autocast)
        return found, self.validation.labels

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
            self.heads.best.load_into(network)
            network.dropout.p = 0.0  # it was fitted without: what is dropped would weigh as much as it learned to
        elif self._adds_words():
            assert self.heads.lexical is not None, "there are words"
            start_branch(network, self.heads.lexical[1], self.branch)
        anatomy = anatomy_of(network, self.with_words(self.train, "train", network).batch(np.arange(1)))
        _check_batches(network, min(settings.batch_size, len(self.train)))
        if strategy.adapts:
            torch.manual_seed(settings.seed)
            add_adapters(network, anatomy, settings)
            network.to(self.train.device)
        learners = self._learners(name, anatomy, network)

        def listen(event: str, entry: dict[str, float]) -> None:
            self.listener(name, event, entry)

        return Trial(network, anatomy, name, learners, settings, self.autocast, listen, self.selection)

    def _adds_words(self) -> bool:
        """Whether a network that begins with no fitted head gets a branch for words."""
        if self.like is not None:
            return self.heads.lexical is not None and self.like.study._adds_words()
        found = self.heads.lexical
        return found is not None and (self.settings.lexical == "true" or is_within_reach(found[1], found[0]))

    def _learners(self, name: str, anatomy: Anatomy, network: Network) -> tuple[Learner, Learner]:
        found: list[Learner] = []
        for split, given in (("train", self.train), ("validation", self.validation)):
            examples = self.with_words(given, split, network)
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
        probe = self.heads.best.to_json() if strategy.probes else None
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
