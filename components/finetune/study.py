"""One backbone on one dataset: strategies are tried on it, and share what is the same for all of them."""

import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.finetune import alone
from components.finetune.anatomy import Prefix, anatomy_of
from components.finetune.cache import States, compute_states
from components.finetune.examples import Examples
from components.finetune.joint import fit_joint
from components.finetune.lexical import LexicalFit, fit_lexical
from components.finetune.probe import Probe, Vectors, fit_probe
from components.finetune.settings import LEXICAL, FinetuneSettings
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
from components.finetune.wide import Branch, JointHead, RawTexts, is_within_reach, note_of, start_branch
from components.finetune.words import WordColumns, Words
from components.shared.backbones.network import Network

RUNG = 0.25
"""In a sweep, strategies that train by gradient steps are compared after this part of their steps; one goes on."""


StudyListener = Callable[[str, str, dict[str, float]], None]
"""Called with a strategy, "step" or "epoch", and the newest entry of its history."""


@dataclass
class Trained:
    """A network that has learned.

    Attributes:
        network: In evaluation mode, adapters merged; or a model of the words alone.
        strategy: By which it learned.
        history: Of its training; a probe's has one epoch and no steps.
        frozen: What was frozen, in words.
        probe: Penalties that were tried, losses, and the chosen one, where a head was fitted.
        sweep: How each strategy did, where there were several.
        starts: How each start did, where there were two.
        words: What is told of the words, where the model has some, see `components.finetune.wide.words_note`.
    """

    network: Network | alone.WordsModel
    strategy: str
    history: History
    frozen: str
    probe: dict[str, Any] | None = None
    sweep: list[dict[str, Any]] | None = None
    starts: list[dict[str, Any]] | None = None
    words: dict[str, Any] | None = None


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

    def __post_init__(self) -> None:
        self.network = self.make().to(self.train.device).eval()
        self.branch = Branch.taken_from(self.network)
        self._columns: dict[str, WordColumns] = {}
        self.anatomy = anatomy_of(self.network, self.train.batch(np.arange(1)))
        self._fitted: tuple[Probe | JointHead, History] | None = None

    def run(self, strategies: Sequence[str]) -> Trained:
        """Trains by one strategy, or by several and keeps the one that does best on validation examples.

        Of several, those that train by gradient steps run up to a quarter of their steps; only the best of them goes on
        (successive halving, Jamieson and Talwalkar 2015, 1502.07943). A probe is finished by then.

        Raises:
            InputError: A loss is no longer a number.
        """
        self.prepare(strategies)
        done = [self._worded()] if LEXICAL in strategies else []
        done += [self._probed()] if "probe" in strategies else []
        trials = [self.trial(name) for name in strategies if name != LEXICAL and STRATEGIES[name].trains]
        rows = {trained.strategy: _row(trained.history, trained.history.best) for trained in done}
        if len(trials) > 1:
            trials, rows = self._race(trials, rows)
        for trial in trials:
            trial.run()
            done.append(self._finish(trial))
            rows[trial.strategy] = _row(trial.history, trial.history.best)
        best = max(done, key=lambda trained: rank(trained.history.best))
        self._note(best)
        if len(strategies) > 1:
            kept = best.strategy
            best.sweep = [{"strategy": name, **rows[name], "kept": name == kept} for name in strategies]
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

    @functools.cached_property
    def lexical(self) -> tuple[Words, LexicalFit] | None:
        """The texts, and the model of the words alone; None where nothing is to be looked at, or found."""
        if self.raw is None:
            return None
        words = self.raw.words(self.train.numbers)
        fit = fit_lexical(words, self.settings.seed)
        if fit is None:
            return None
        told = fit.validation
        self.tell(
            f"words alone ({fit.words}): validation loss {told['validation_loss']:.4f}, accuracy "
            f"{told['accuracy']:.4f}, in {fit.seconds:.1f} s"
        )
        return words, fit

    def with_words(self, examples: Examples, split: str, network: Network) -> Examples:
        """Returns examples with the words that a network's branch takes, where it has one."""
        if network.vectorizer is None or self.raw is None:
            return examples
        if split not in self._columns:
            self._columns[split] = self.raw.columns(network.vectorizer, split)
        return dataclasses.replace(examples, words=self._columns[split])

    def _fit_probe(self) -> tuple[Probe | JointHead, History]:
        """Fits a head on the pooled vectors of the frozen backbone; once for all strategies that begin with it.

        With words beside them, where that is asked for or validation gains by it.
        """
        if self._fitted is None:
            began, device = time.perf_counter(), self.train.device
            vectors = [
                Vectors(self.states[name][self.anatomy.head], examples.numbers, examples.labels, device)
                for name, examples in (("train", self.train), ("validation", self.validation))
            ]
            probe = fit_probe(vectors[0], vectors[1], self.network.head.out_features, self.tell)
            head: Probe | JointHead = probe
            scores, train_loss = self._scores_of_head(probe), probe.train_loss
            if joint := self._fit_joint():
                found = self._scores_of_head(joint)
                if self.settings.lexical == "true" or rank(found) > rank(scores):
                    head, scores, train_loss = joint, found, joint.fit.train_loss
            seconds = time.perf_counter() - began
            entry = {"epoch": 1, "step": 0, "train_loss": train_loss, **scores, "seconds": seconds}
            rate = len(self.train) / max(seconds, 1e-9)
            history = History(epochs=[entry], best_epoch=1, seconds=seconds, examples_per_second=rate)
            self._fitted = head, history
        return self._fitted

    def _fit_joint(self) -> JointHead | None:
        """Fits one head on vectors and words; None where there are none."""
        if self.lexical is None:
            return None
        words, fit = self.lexical
        head = self.anatomy.head
        train, validation = (
            self.states[split][head].read(numbers)[:, 0].float().numpy()
            for split, numbers in (("train", words.numbers), ("validation", words.validation_numbers))
        )
        joint = fit_joint(train, validation, fit, words, self.settings.seed)
        told = joint.validation
        self.tell(
            f"probe with words (vector times {joint.scale:g}, {joint.linear.words}): validation loss "
            f"{told['validation_loss']:.4f}, accuracy {told['accuracy']:.4f}, in {joint.seconds:.1f} s"
        )
        return JointHead(fit.vectorizer, joint)

    def _scores_of_head(self, head: Probe | JointHead) -> dict[str, float]:
        network = copy.deepcopy(self.network)
        _load(head, network)
        examples = self.with_words(self.validation, "validation", network)
        learner = Pooled(examples, self.states["validation"][self.anatomy.head])
        return scores_of(predict(network, learner, 1024, self.autocast), self.validation.labels)

    def _probed(self) -> Trained:
        head, history = self._fit_probe()
        network = copy.deepcopy(self.network)
        _load(head, network)
        self.listener("probe", "epoch", history.epochs[0])
        frozen = describe(self.anatomy, STRATEGIES["probe"], self.settings)
        return Trained(network, "probe", history, frozen, _told(head))

    def _worded(self) -> Trained:
        """Returns the model of the words alone."""
        if self.lexical is None:
            raise alone.no_words(self.raw is None)
        fit = self.lexical[1]
        history = alone.history_of(fit)
        self.listener(LEXICAL, "epoch", history.epochs[0])
        return Trained(alone.model_of(fit), LEXICAL, history, alone.FROZEN)

    def _note(self, trained: Trained) -> None:
        """Adds what is told of the words."""
        labels, network = (self.raw.labels if self.raw else []), trained.network
        if self.lexical is None:
            return
        fit = self.lexical[1]
        if isinstance(network, alone.WordsModel):
            trained.words = alone.note_alone(fit, labels)
        elif network.wide is not None:
            examples = self.with_words(self.validation, "validation", network)
            trained.words = note_of(network, examples, labels, fit)

    def trial(self, name: str) -> Trial:
        """Returns a network of its own, about to learn by a strategy, from kept states where there are some."""
        strategy, network = STRATEGIES[name], copy.deepcopy(self.network)
        if strategy.probes:
            _load(self._fit_probe()[0], network)
        elif self.lexical and (self.settings.lexical == "true" or is_within_reach(self.lexical[1], self.lexical[0])):
            start_branch(network, self.lexical[1], self.branch)
        anatomy = anatomy_of(network, self.with_words(self.train, "train", network).batch(np.arange(1)))
        if strategy.adapts:
            torch.manual_seed(self.settings.seed)
            add_adapters(network, anatomy, self.settings)
            network.to(self.train.device)
        learners: list[Learner] = []
        for split, given in (("train", self.train), ("validation", self.validation)):
            examples = self.with_words(given, split, network)
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


def _load(head: Probe | JointHead, network: Network) -> None:
    """Gives a network a fitted head."""
    if isinstance(head, JointHead):
        head.load_into(network)
        return
    network.normalized = False  # the head is for vectors as they come
    network.narrow()
    head.load_into(network.head)


def _told(probe: Probe | JointHead) -> dict[str, Any] | None:
    if isinstance(probe, JointHead):
        return None
    return {"penalties": probe.penalties, "validation_losses": probe.losses, "chosen": probe.chosen}
