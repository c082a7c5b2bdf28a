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

from components.finetune.choices import Choices
from components.finetune.learning.anatomy import Anatomy, Prefix, anatomy_of
from components.finetune.learning.batches import check_batches
from components.finetune.learning.cache import States, compute_states
from components.finetune.learning.device import Autocast, lay_out
from components.finetune.learning.examples import Examples
from components.finetune.learning.history import History, in_words, measured
from components.finetune.learning.journal import Journal
from components.finetune.learning.learners import Direct, HeadOnly, Learner, Resumed, outputs_of
from components.finetune.learning.strategies import STRATEGIES, add_adapters, describe, merge_adapters
from components.finetune.learning.training import Trial
from components.finetune.learning.unpadding import Way, way_of
from components.finetune.learning.vocabulary import narrow, widen
from components.finetune.linear import alone
from components.finetune.linear.fusion import Fusion, fuse, fuse_answers
from components.finetune.linear.heads import Head, Heads
from components.finetune.linear.raw import Raw
from components.finetune.linear.wide import note_of
from components.finetune.linear.words import WideColumns
from components.finetune.settings import ALONE, FinetuneSettings
from components.shared.backbones.network import Network
from components.shared.linear import softmax
from components.shared.selection import rank
from components.shared.tasks.classification.objective import scores_of
from components.shared.tasks.objective import Objective, Outputs, Targets

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
        carriers: What is told of its words, or gradients, see `components.finetune.linear.wide.carriers`.
        sweep: How each strategy did, where there were several.
        starts: How each start did, where there were two.
        crossed: What its cross-validation is told by, or why there is none though the snapshot asks for one.
        from_probe: Whether training began with a fitted head, though the strategy asks for none.
        fusion: How its logits and those of the words, or gradients, are added, where they were fitted apart.
    """

    network: Network | alone.LinearModel
    strategy: str
    history: History
    frozen: str
    probe: dict[str, Any] | None = None
    settings: FinetuneSettings | None = None
    candidates: list[dict[str, Any]] | None = None
    carriers: dict[str, Any] | None = None
    headline: str = ""
    judgement: dict[str, Any] = field(default_factory=dict)
    sweep: list[dict[str, Any]] | None = None
    starts: list[dict[str, Any]] | None = None
    crossed: dict[str, Any] = field(default_factory=dict)
    from_probe: bool = False
    fusion: Fusion | None = None


@dataclass
class Study:
    """A backbone and the examples it is tried on.

    Attributes:
        make: Makes the network with a new head, the same each time.
        train: Training examples; augmented in training, where the settings say so.
        validation: Validation examples.
        objective: How well a network does on them.
        settings: Of training.
        autocast: Makes the context that forward passes run in.
        listener: Is told every entry of a history: strategy, "step" or "epoch", entry.
        tell: Is told lines.
        scratch: A folder for states.
        states: What frozen parts made of a split's examples, by split and stage.
        raw: The raw examples, where words or gradients are to be looked at; else None.
        like: The heads of another study, whose choices are repeated.
        journal: What was done before, and where what is done is kept.
        attached: Whether its trainings are kept; else they begin anew, as what is only compared.
        minutes: That a search may take; 0: there is none.
        choices: How it is computed, in words.
    """

    make: Callable[[], Network]
    train: Examples
    validation: Examples
    objective: Objective
    settings: FinetuneSettings
    autocast: Autocast
    listener: StudyListener
    tell: Callable[[str], None]
    scratch: Path
    states: dict[str, dict[int, States]] = field(default_factory=lambda: {"train": {}, "validation": {}})
    raw: Raw | None = None
    like: Heads | None = None
    journal: Journal = field(default_factory=Journal)
    attached: bool = True
    minutes: float = 0.0
    choices: Choices = field(default_factory=Choices)

    def __post_init__(self) -> None:
        self.network = self.make().eval()
        lay_out(self.network, self.train.device)
        self.network.narrow()  # of a champion: what stands beside is fitted anew, and added in the end
        self._columns: dict[str, WideColumns] = {}
        first = self.train.batch(np.arange(1))
        self.anatomy = anatomy_of(self.network, first)
        with torch.no_grad():
            self.poolings = list(self.network.summaries(**first)) if self.network.head.level == "pooled" else ["tokens"]
        self.selection = self.objective.selection(self.train.target_columns())
        self.heads = Heads(self, self.like)

    def run(self, strategies: Sequence[str]) -> Trained:
        """Trains by one strategy, or by several and keeps the one that does best on validation examples.

        Of several, those that train by gradient steps run up to a quarter of their steps; only the best of them goes on
        (successive halving, Jamieson and Talwalkar 2015, 1502.07943). A probe is finished by then.

        Raises:
            InputError: A loss is no longer a number.
        """
        self.prepare(strategies)
        done = [self.columns_alone()] if set(ALONE) & set(strategies) else []
        done += [self.probed()] if "probe" in strategies else []
        trials = [self.trial(name) for name in strategies if name not in ALONE and STRATEGIES[name].trains]
        rows = {trained.strategy: _row(trained.history, trained.history.best) for trained in done}
        if len(trials) > 1:
            trials, rows = self._race(trials, rows)
        for trial in trials:
            trial.run()
            trained = self.finish(trial)
            fused = self.fused(trained)
            gains = fused and rank(fused.history.best, self.selection) > rank(trained.history.best, self.selection)
            trained = fused if fused and (gains or self.is_asked_for) else trained
            done.append(trained)
            rows[trial.strategy] = _row(trained.history, trained.history.best)
        best = max(done, key=lambda trained: rank(trained.history.best, self.selection))
        self.note_carriers(best)
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
        stages = {stage for name in strategies if name not in ALONE for stage in self._cached_stages(name)}
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

    @property
    def is_asked_for(self) -> bool:
        """Whether the settings ask for words, or gradients, beside the backbone, whatever validation says."""
        return self.raw is not None and getattr(self.settings, self.raw.kind) == "true"

    def columns_alone(self) -> Trained:
        """Returns the model of the words, or of the gradients, alone.

        Raises:
            InputError: There are no words that tell anything.
        """
        if self.heads.classical is None:
            raise alone.no_words()
        sample, fit = self.heads.classical
        history = alone.history_of(fit)
        self.listener(fit.maker.kind, "epoch", history.epochs[0])
        model = alone.model_of(fit, sample.answers)
        return Trained(model, fit.maker.kind, history, alone.FROZEN, settings=self.settings)

    def fused(self, trained: Trained) -> Trained | None:
        """Returns a trained network with a branch for what was fitted apart; None where there is nothing to add."""
        network = trained.network
        if self.heads.classical is None or not isinstance(network, Network) or network.beside is not None:
            return None
        began, (sample, fit) = time.perf_counter(), self.heads.classical
        if not len(sample.truth):
            return None
        deep, wide = self.logits(trained)[0][sample.validation_numbers], fit.linear.logits(fit.validation_columns)
        if (answers := sample.answers) is None:
            fusion = fuse(deep, wide, sample.truth)
            scores = scores_of(softmax(fusion.logits(deep, wide)), sample.truth)
        else:
            fusion = fuse_answers(answers.own, deep, wide, answers.held_targets())
            scores = answers.score(fusion.logits(deep, wide).astype(np.float32))
        history = dataclasses.replace(trained.history, epochs=[*trained.history.epochs])
        seconds = trained.history.best["seconds"] + time.perf_counter() - began
        history.epochs[history.best_epoch - 1] = {**trained.history.best, **scores, "seconds": seconds}
        return self.fused_by(dataclasses.replace(trained, history=history), fusion)

    def fused_by(self, trained: Trained, fusion: Fusion) -> Trained:
        """Returns a trained network with such a branch, by factors that were fitted before."""
        assert self.heads.classical is not None, "there is something to add"
        network = copy.deepcopy(trained.network)
        assert isinstance(network, Network), "a network was trained"
        fusion.load_into(network, self.heads.classical[1])
        return dataclasses.replace(trained, network=network, fusion=fusion)

    def with_columns(self, examples: Examples, split: str, network: Network) -> Examples:
        """Returns examples with the columns that a network's branch takes, where it has one."""
        if network.beside is None or self.raw is None:
            return examples
        if split not in self._columns:
            self._columns[split] = self.raw.columns(network.beside, split)
        return dataclasses.replace(examples, columns=self._columns[split])

    def note_carriers(self, trained: Trained) -> None:
        """Adds what is told of the words, or gradients."""
        labels, network = (self.raw.labels if self.raw else []), trained.network
        if self.heads.classical is None:
            return
        fit, exclusive = self.heads.classical[1], self.network.head.exclusive
        if isinstance(network, alone.LinearModel):
            trained.carriers = alone.note_alone(fit, labels, exclusive)
        elif network.wide is not None:
            examples = self.with_columns(self.validation, "validation", network)
            trained.carriers = note_of(network, examples, labels, fit, self.objective)

    def logits(self, trained: Trained) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a model makes of validation examples, [examples, outputs], and their classes, if they have."""
        network = trained.network
        if isinstance(network, alone.LinearModel):
            assert self.heads.classical is not None, "it was fitted"
            sample, fit = self.heads.classical
            return fit.linear.logits(fit.validation_columns), sample.truth
        return self.outputs(trained)[0]["logits"], self.validation.labels

    def outputs(self, trained: Trained) -> tuple[Outputs, Targets]:
        """Returns what a model's head makes of validation examples, and their targets."""
        network = trained.network
        if isinstance(network, alone.LinearModel):
            return self.heads.answered()
        examples, stage = self.with_columns(self.validation, "validation", network), self.anatomy.head
        learner: Learner = Direct(examples)
        if trained.strategy == "probe" and stage in self.states["validation"] and network.pooling in self.poolings:
            row = self.poolings.index(network.pooling)  # what the frozen backbone made of them is kept
            learner = HeadOnly(examples, self.states["validation"][stage], row, network.head.segmented)
        found = outputs_of(network, learner, 2 * self.settings.batch_size, self.autocast)
        return found, self.validation.target_columns()

    def trial(
        self,
        name: str,
        settings: FinetuneSettings | None = None,
        from_probe: bool = False,
        attached: bool | None = None,
    ) -> Trial:
        """Returns a network of its own, about to learn by a strategy, from kept states where there are some.

        Args:
            name: Of the strategy.
            settings: Other ones than the study's.
            from_probe: Begin with the probe's head, also where the strategy does not.
            attached: Whether it goes on where the journal knows it was; None: as the study is.

        Raises:
            InputError: Batches would have one example, and the network's norms need several.
        """
        strategy, network, settings = STRATEGIES[name], copy.deepcopy(self.network), settings or self.settings
        if strategy.probes or from_probe:
            self.heads.probe.load_into(network)
            network.dropout.p = 0.0  # it was fitted without: what is dropped would weigh as much as it learned to
        if strategy.first(self.anatomy, settings, settings.epochs - 1) == 0 and not strategy.adapts:
            narrow(network, self.train.tokens)
        anatomy = anatomy_of(network, self.train.batch(np.arange(1)))
        check_batches(network, min(settings.batch_size, len(self.train)))
        if strategy.adapts:
            torch.manual_seed(settings.seed)
            add_adapters(network, anatomy, settings)
            network.to(self.train.device)
        way, told = way_of(network, anatomy, self.train, settings, self.autocast)
        self.choices.add("padding", told)
        learners = self._learners(name, anatomy, way)

        def listen(event: str, entry: dict[str, float]) -> None:
            self.listener(name, event, entry)

        journal, options = self.journal, (self.autocast, listen, self.objective)
        trial = Trial(network, anatomy, name, learners, settings, *options, journal)
        if self.attached if attached is None else attached:
            journal.attach(trial, f"{name}, learning rate {settings.learning_rate:g}")
        return trial

    def _learners(self, name: str, anatomy: Anatomy, way: Way) -> tuple[Learner, Learner]:
        found: list[Learner] = []
        for split, examples in (("train", self.train), ("validation", self.validation)):
            stage = next((s for s in self._cached_stages(name) if s != anatomy.head), None)
            states = self.states[split].get(stage) if stage else None
            own = way if split == "train" or examples.device.type == "cuda" else Way()  # sorted, there is no padding
            if stage and states and not (split == "train" and examples.augment):
                found.append(Resumed(examples, anatomy, stage, states, own))
            else:
                found.append(Direct(examples, own))
        return found[0], found[1]

    def _race(self, trials: list[Trial], rows: dict[str, Any]) -> tuple[list[Trial], dict[str, Any]]:
        """Runs trials to the rung; returns the best, and the rows with how all did there."""
        scores = {}
        for trial in trials:
            rung = max(1, round(RUNG * trial.total))
            scores[trial.strategy] = self.journal.noted(f"rung of {trial.strategy}", trial.reaching(rung))
            self.tell(f"{trial.strategy} after {rung} of {trial.total} steps: {in_words(scores[trial.strategy])}")
        best = max(trials, key=lambda trial: rank(scores[trial.strategy], self.selection))
        steps = [max(1, round(RUNG * trial.total)) for trial in trials]
        found = {t.strategy: _row(t.history, scores[t.strategy], at) for t, at in zip(trials, steps, strict=True)}
        for trial in trials:
            if trial is not best:
                self.journal.drop(trial)
        self.tell(f"{best.strategy} goes on")
        return [best], {**rows, **found}

    def finish(self, trial: Trial) -> Trained:
        """Returns what a trial has learned, its adapters merged."""
        strategy = STRATEGIES[trial.strategy]
        if strategy.adapts:
            merge_adapters(trial.network)
        widen(trial.network)
        probe = self.heads.probe.to_json() if strategy.probes else None
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
    told = {"name": name, "what": what, "validation": measured(scores), "seconds": scores["seconds"]}
    return {**told, "kept": kept, "note": note}


def _row(history: History, scores: Mapping[str, float], steps: int | None = None) -> dict[str, Any]:
    kept = measured(scores)
    done = history.epochs[-1]["step"] if steps is None else steps
    return {**kept, "steps": done, "seconds": history.seconds}
