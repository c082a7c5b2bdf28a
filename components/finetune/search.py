"""`strategy: auto`: the best model on validation that a budget of minutes allows.

One pass of the frozen backbone gives all probes. Then, while there is time and validation could still gain, the network
is trained from the best of them (a head fitted first keeps features from being distorted: LP-FT, Kumar et al. 2022,
2202.10054), at the best of three learning rates (successive halving, Jamieson and Talwalkar 2015, 1502.07943).
Everything is chosen on validation examples; the test split is not seen here.
"""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.finetune.account import RECIPE, learned_of
from components.finetune.budget import Budget, Plan, plan_for, rounded
from components.finetune.learning import parallel
from components.finetune.learning.history import in_words
from components.finetune.learning.training import Trial
from components.finetune.linear.heads import PROBE
from components.finetune.linear.probe import Probe
from components.finetune.settings import ALONE, NOUNS, FinetuneSettings
from components.finetune.study import Study, Trained, candidate
from components.shared import metrics
from components.shared.errors import InputError
from components.shared.selection import is_uneven, rank
from components.shared.tasks.objective import Objective, Outputs, Targets

RUNG = 0.15
"""Learning rates are compared after this part of the steps."""
_FACTORS = (1.0, 1 / 3, 3.0)  # of the learning rates that are compared
_AFTER_FAILURE = (0.1, 0.01)  # of those that are tried where nothing was learned
_HUGE = 1_000_000_000  # parameters: from here on one copy of a network is enough, and adapters learn
_LARGE = 200_000_000  # parameters: from here on learning rates are not compared
_SLICES = 40  # of a training: so often the clock is looked at
_MEASURED = 4  # steps
_SHOWN = 0.84  # of the samples: one standard error
_SAMPLES = 500  # of validation examples, to tell whether a difference holds
_LOOKED_AT, _ROWS = 5_000, 200_000  # examples in such a sample, and in all of them, of a task whose metric takes longer
_LEFT = 0.75  # of the minutes: so many must be left to fit one head of many tokens and their words
_PERFECT = 0.999  # of a metric whose best is 1: what leaves nothing to gain


class Search:
    """A search for the best model on validation.

    Attributes:
        candidates: What was tried so far, see `components.finetune.study.candidate`.
    """

    def __init__(
        self, study: Study, budget: Budget, pretrained: bool, open_rate: bool, recipe: Mapping[str, Any] | None = None
    ) -> None:
        """Prepares a search.

        Args:
            study: Of the backbone.
            budget: Of the whole search.
            pretrained: Whether the backbone has weights that a probe can look at.
            open_rate: Whether the learning rate may be looked for.
            recipe: How the champion that is started from was trained, see `components.finetune.account.recipe_of`.
        """
        self.study, self.budget, self.pretrained, self.open_rate = study, budget, pretrained, open_rate
        self.recipe = dict(recipe or {})
        self.settings = self._settings()
        self.candidates: list[dict[str, Any]] = []
        self._done: list[tuple[Trained, dict[str, Any]]] = []

    def run(self) -> Trained:
        """Searches; returns the best.

        Raises:
            InputError: Nothing gave a model: the reason of the last try.
        """
        self._fit_columns()
        if self.pretrained:
            self._fit_heads()
        reason = self._reason_to_stop()
        if reason:
            self._note("training", f"not tried: {reason}")
        else:
            self._train()
        best, line = self._choose()
        line["kept"] = True
        best.candidates = self.candidates
        self.study.note_carriers(best)
        return best

    def _choose(self) -> tuple[Trained, dict[str, Any]]:
        """Returns the best; or the words, or gradients, alone, where no backbone was shown to add anything to them."""
        selection = self.study.selection
        best = max(self._done, key=lambda item: rank(item[0].history.best, selection))
        small = next((item for item in self._done if item[0].strategy in ALONE), None)
        others = [item for item in self._done if item is not small]
        if small is None or not others or (small is not best and self._is_shown(best[0], small[0])):
            return best
        other, noun = max(others, key=lambda item: rank(item[0].history.best, selection)), NOUNS[small[0].strategy]
        small[1]["note"] = "kept: no backbone was shown to add anything"
        small[0].headline = (
            f"The backbone adds nothing here that validation can show: {other[1]['name']} has "
            f"{_score(other[0], selection)} there, the {noun} alone {_score(small[0], selection)}. What is delivered "
            f"is the small model of the {noun}."
        )
        self.study.tell(small[0].headline)
        return small

    def _is_shown(self, model: Trained, small: Trained) -> bool:
        """Whether a model with a backbone is better than one without, on the same validation examples."""
        assert self.study.heads.classical is not None, "there is one"
        sample = self.study.heads.classical[0]
        numbers = sample.validation_numbers
        if sample.answers is not None:
            small_outputs, targets = self.study.outputs(small)
            outputs = {name: values[numbers] for name, values in self.study.outputs(model)[0].items()}
            return answers_better(outputs, small_outputs, targets, sample.answers.objective, self.study.selection,
                                  self.settings.seed)  # fmt: skip
        logits, truth = self.study.logits(small)
        others, _ = self.study.logits(model)
        predicted = others.argmax(1)[numbers], logits.argmax(1)
        return is_better(*predicted, truth, self.study.selection, self.settings.seed)

    def _settings(self) -> FinetuneSettings:
        """Returns the study's settings, or those of the recipe where none was asked for."""
        settings = self.study.settings
        known = {name: self.recipe[name] for name in RECIPE if name in self.recipe}
        return dataclasses.replace(settings, **known) if self.recipe and self.open_rate else settings

    def _fit_columns(self) -> None:
        began, found = time.perf_counter(), self.study.heads.classical
        if found is not None and self.study.raw is not None and self.study.raw.stands_alone:
            kind, told = found[1].maker.kind, found[1].words
            self._add(kind, f"the {NOUNS[kind]} alone, no backbone: {told}", self.study.columns_alone(), began)

    def _fit_heads(self) -> None:
        began, heads = time.perf_counter(), self.study.heads
        self.study.prepare(["probe"])
        probed = self.study.probed(heads.probe)
        self._add(PROBE, f"frozen backbone, linear head: {heads.probe.what}", probed, began)
        if self.study.network.head.level == "tokens":  # many rows: what costs little comes first
            self._add_fused(PROBE, probed)
            if not self.study.journal.noted(
                "time for a joint head", lambda: self.budget.left > _LEFT * self.budget.whole
            ):
                self._note(
                    "one head of both", "not tried: a quarter of the minutes is gone, and training is worth more"
                )
                return
        began = time.perf_counter()
        if (head := heads.joint) is not None:
            self._add(head.name, f"frozen backbone, linear head: {head.what}", self.study.probed(head), began)

    def _reason_to_stop(self) -> str:
        """Returns why training cannot pay, or ""."""
        bounded = self.study.objective.bounded
        best = max((min(t.history.best[name] for name in bounded) for t, _ in self._done), default=0.0)
        if best >= _PERFECT:
            return "what was fitted leaves nothing to gain on validation"
        if self.recipe.get("strategy") == "probe" and not self._is_news():
            return "the champion is a probe, and the data is much what it was"
        return ""

    def _is_news(self) -> bool:
        """Whether the data differ from what the recipe was found on: other classes, or half as many examples more."""
        classes, examples = self.study.network.head.out_features, len(self.study.train)
        return self.recipe.get("classes") != classes or examples > 1.5 * self.recipe.get("examples", 0)

    def _train(self) -> None:
        told = self.study.journal.noted("plan", self._plan)
        plan, name = Plan(**told["plan"]) if told["plan"] else None, told["strategy"]
        if plan and not plan.whole:
            self.study.prepare(["partial"])
        if plan is None and not self._done:
            plan = Plan(1, races=False, whole=True)  # there is to be a model
        if plan is None:
            self._note("training", "not tried: not one epoch fits into the minutes that are left")
            return
        self.study.tell(f"training from here: {plan.words}; {self.budget.left / 60:.1f} minutes are left")
        settings = dataclasses.replace(
            self.settings, epochs=plan.epochs, logit_adjustment=self._adjustment(self.settings)
        )
        rates = [settings.learning_rate * factor for factor in (_FACTORS if plan.races else _FACTORS[:1])]
        waiting = [settings.learning_rate * factor for factor in _AFTER_FAILURE] if self.open_rate else []
        trained = self._race(name, settings, rates)
        while waiting and self._has_time() and (trained is None or not self._has_learned(trained)):
            self.study.tell(f"nothing was learned: once more, at a learning rate of {waiting[0]:g}")
            trained = self._race(name, settings, [waiting.pop(0)])
        if trained is None and not self._done:
            raise InputError(self.candidates[-1]["note"])

    def _has_time(self) -> bool:
        return bool(self.study.journal.noted("time for another rate", lambda: self.budget.left > 0))

    def _plan(self) -> dict[str, Any]:
        """Returns `plan`, what the time allows by the seconds that a few steps take (None: nothing), and `strategy`."""
        study, parameters = self.study, sum(parameter.numel() for parameter in self.study.network.parameters())
        name = self._strategy(parameters)
        epoch = self._measure(name)
        can_race = self.open_rate and parameters < _LARGE and not (self.recipe and not self._is_news())
        race = RUNG * (len(_FACTORS) - 1) if can_race else 0.0
        resumes = study.anatomy.resumable and not study.train.augment
        plan = plan_for(epoch, self.budget.left, self.settings.epochs, race, part=0.4 if resumes else 0.6)
        if plan is None:
            return {"plan": None, "strategy": name}
        races = plan.races and can_race
        told = {"plan": dataclasses.asdict(dataclasses.replace(plan, races=races))}
        return {**told, "strategy": name if plan.whole else "partial"}

    def _strategy(self, parameters: int) -> str:
        told = self.recipe.get("strategy", "")
        if told in ("full", "probe-then-full", "partial", "lora", "gradual"):
            return str(told)
        if parameters >= _HUGE:
            return "lora"
        return "probe-then-full" if self.pretrained else "full"

    def _measure(self, name: str) -> float:
        """Returns the seconds of an epoch and its validation, from a few steps of a trial that is thrown away."""
        trial = self.study.trial(name, self.settings, self.pretrained, attached=False)
        trial.listener = lambda *_: None
        steps = min(_MEASURED, trial.total)
        trial.run(min(1, steps))
        began = time.perf_counter()
        trial.run(steps)
        step = rounded((time.perf_counter() - began) / max(1, steps - 1))
        validation = len(self.study.validation) / max(1, len(self.study.train)) / 3
        return parallel.group().agree(step * trial.epoch_steps * (1 + validation))

    def _adjustment(self, settings: FinetuneSettings) -> float:
        """Returns how much the loss corrects for uneven classes: as the probe found it, wholly where there is none."""
        if settings.logit_adjustment or not self.study.network.head.exclusive:
            return settings.logit_adjustment
        if not is_uneven(np.bincount(self.study.train.labels)):
            return settings.logit_adjustment
        fitted = self.study.heads.probe.fitted if self.pretrained else None
        return float(fitted.balanced) if isinstance(fitted, Probe) else 1.0

    def _race(self, name: str, settings: FinetuneSettings, rates: list[float]) -> Trained | None:
        """Trains at several rates up to the rung, and at the best of them to the end; None where none could."""
        trials: list[tuple[float, Trial, dict[str, float]]] = []
        for rate in rates:
            began = time.perf_counter()
            trial = self.study.trial(name, dataclasses.replace(settings, learning_rate=rate), self.pretrained)
            rung = max(1, math.ceil(RUNG * trial.total)) if len(rates) > 1 else 0
            told = f"{_words(name, self.pretrained)}, learning rate {rate:g}, {settings.epochs} epochs"
            try:
                scores = self.study.journal.noted("rung", trial.reaching(rung)) if rung else {}
            except InputError as error:
                self._note(f"{name}, {rate:g}", str(error), told)
                self.study.journal.drop(trial)
                continue
            if rung:
                seconds = {**scores, "seconds": time.perf_counter() - began}
                line = candidate(f"{name}, {rate:g}", told, seconds, False, f"compared after {rung} steps")
                self.candidates.append(line)
            trials.append((rate, trial, scores))
        if not trials:
            return None
        selection = self.study.selection
        rate, trial, _ = trials[0] if len(trials) == 1 else max(trials, key=lambda item: rank(item[2], selection))
        for _, other, _ in trials:
            if other is not trial:
                self.study.journal.drop(other)
        return self._finish(name, rate, trial, settings)

    def _finish(self, name: str, rate: float, trial: Trial, settings: FinetuneSettings) -> Trained | None:
        """Trains to the end, or to that of the time."""
        told = f"{_words(name, self.pretrained)}, learning rate {rate:g}, {settings.epochs} epochs"
        title, began, before = f"{name}, {rate:g}", time.perf_counter(), trial.history.seconds
        self.candidates = [line for line in self.candidates if line["name"] != title]
        try:
            self._to_the_end(trial)
        except InputError as error:
            self._note(title, str(error), told)
            self.study.journal.drop(trial)
            return None
        trained = self.study.finish(trial)
        trained.from_probe = self.pretrained
        note = "ended when the time was up" if trial.cut else ""
        self._add(title, told, trained, began - before, note)
        self._add_fused(title, trained, note)
        return trained

    def _add_fused(self, title: str, trained: Trained, note: str = "") -> None:
        """Adds what was trained beside the words, or gradients, alone, where there are such."""
        began = time.perf_counter()
        if (fused := self.study.fused(trained)) is not None and fused.fusion is not None:
            assert self.study.raw is not None, "there is something beside"
            noun = self.study.raw.noun
            what = f"the same beside the {noun} alone: {fused.fusion.words}"
            self.study.tell(f"{title}, with {noun} ({fused.fusion.words}): {in_words(fused.history.best)}")
            self._add(f"{title}, with {noun}", what, fused, began, note)

    def _to_the_end(self, trial: Trial) -> None:
        length = max(1, math.ceil(trial.total / _SLICES))
        for until in range(trial.done + length, trial.total, length):
            trial.run(until)
            if self.budget.is_spent:
                trial.end()
                return
        trial.run()

    def _has_learned(self, trained: Trained) -> bool:
        return learned_of(trained, self.study, len(trained.history.epochs)).learned

    def _add(self, name: str, what: str, trained: Trained, began: float, note: str = "") -> None:
        line = candidate(name, what, {**trained.history.best, "seconds": time.perf_counter() - began}, False, note)
        self.candidates.append(line)
        self._done.append((trained, line))

    def _note(self, name: str, note: str, what: str = "") -> None:
        self.study.tell(f"{name}: {note}")
        self.candidates.append(
            {"name": name, "what": what or name, "validation": None, "seconds": 0.0, "kept": False, "note": note}
        )


def is_better(one: np.ndarray, other: np.ndarray, truth: np.ndarray, selection: str, seed: int) -> bool:
    """Whether predictions are better than others on the same examples, by more than one standard error.

    That is: in 84 of 100 samples of the examples drawn again (Breiman et al. 1984 choose a small model by that rule).

    Args:
        one: int [examples], classes that were predicted.
        other: Likewise.
        truth: int [examples].
        selection: "accuracy" or "macro_f1".
        seed: Of the samples.
    """
    draw, classes = np.random.default_rng(seed), int(max(one.max(), other.max(), truth.max())) + 1
    gains = 0
    for _ in range(_SAMPLES):
        chosen = draw.integers(0, len(truth), len(truth))
        scores = [_metric(predicted[chosen], truth[chosen], classes, selection) for predicted in (one, other)]
        gains += scores[0] > scores[1]
    return gains >= _SHOWN * _SAMPLES


def answers_better(
    one: Outputs, other: Outputs, targets: Targets, objective: Objective, selection: str, seed: int
) -> bool:
    """Whether answers of any task are better than others on the same examples, as `is_better` asks of classes.

    Args:
        one: What a head makes of the examples.
        other: Likewise.
        targets: Their target columns.
        objective: Of the task.
        selection: The metric; with "-" before it, it is best low.
        seed: Of the samples.
    """
    draw, count = np.random.default_rng(seed), len(next(iter(one.values())))
    looked = draw.permutation(count)[:_LOOKED_AT]
    gains, samples = 0, max(1, min(_SAMPLES, _ROWS // max(1, len(looked))))
    for _ in range(samples):
        chosen = draw.choice(looked, len(looked))
        truth = {name: [values[place] for place in chosen.tolist()] for name, values in targets.items()}
        scores = [
            objective.scores({name: values[chosen] for name, values in side.items()}, truth) for side in (one, other)
        ]
        gains += rank(scores[0], selection)[0] > rank(scores[1], selection)[0]
    return gains >= _SHOWN * samples


def _metric(predicted: np.ndarray, truth: np.ndarray, classes: int, selection: str) -> float:
    confusion = metrics.confusion_matrix(truth, predicted, classes)
    return metrics.accuracy(confusion) if selection == "accuracy" else metrics.macro_f1(confusion)


def _score(trained: Trained, selection: str) -> str:
    name = selection.removeprefix("-")
    return f"{name.replace('_', '-')} {trained.history.best[name]:.3f}"


def _words(name: str, from_probe: bool) -> str:
    what = {
        "partial": "the last third of the blocks",
        "lora": "adapters",
        "full": "every weight",
        "probe-then-full": "every weight",
        "gradual": "every weight, from the top down",
    }[name]
    return f"{what}, {'from the probe' if from_probe else 'from scratch'}"
