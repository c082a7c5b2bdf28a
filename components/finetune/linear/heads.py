"""What is fitted on a frozen backbone, and beside it: a linear head, words or gradients alone, one head of both."""

import copy
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.finetune.learning.history import History, in_words
from components.finetune.learning.learners import HeadOnly, outputs_of, predict
from components.finetune.linear import fitting
from components.finetune.linear.choice import fit_probe
from components.finetune.linear.classical import ClassicalFit, Sample
from components.finetune.linear.descent import Rows, StepsFit, fit_by_steps
from components.finetune.linear.fitting import HeadFit
from components.finetune.linear.joint import JointFit, fit_joint
from components.finetune.linear.parts import fit_parts
from components.finetune.linear.probe import Probe, Vectors, View
from components.finetune.linear.wide import JointHead
from components.shared.backbones.network import Network
from components.shared.selection import rank
from components.shared.tasks.classification.objective import scores_of
from components.shared.tasks.objective import Outputs, Targets

if TYPE_CHECKING:
    from components.finetune.study import Study

PROBE = "probe"


@dataclass(frozen=True)
class Head:
    """A head that was fitted on a frozen backbone.

    Attributes:
        name: "probe", "probe with words" or "probe with gradients".
        what: Was chosen, in words.
        fitted: The weights.
        view: Of the backbone's vectors that it was fitted on.
        history: One epoch without steps.
    """

    name: str
    what: str
    fitted: Probe | JointHead | HeadFit
    view: View
    history: History

    def load_into(self, network: Network) -> None:
        """Gives a network this head, with what it looks at."""
        network.narrow()
        network.choose(self.view.pooling, self.view.unit)
        self.fitted.load_into(network)

    def to_json(self) -> dict[str, Any] | None:
        """Returns what the history tells of a probe; None of one with a branch."""
        return None if isinstance(self.fitted, JointHead) else self.fitted.to_json()


class Heads:
    """The heads of one study; each is fitted once, when it is asked for."""

    def __init__(self, study: "Study", like: "Heads | None" = None) -> None:
        """Prepares them.

        Args:
            study: Whose examples they are fitted on.
            like: Those of another study, whose choices are repeated: then nothing is chosen.
        """
        self.study, self.like = study, like

    @functools.cached_property
    def classical(self) -> tuple[Sample, ClassicalFit] | None:
        """The raw examples, and the model of their words, or gradients, alone; None where there is nothing to see."""
        study = self.study
        if study.raw is None:
            return None
        sample, like = study.raw.sample(study.train.numbers), self.like and self.like.classical
        fit = study.raw.fit(sample, study.settings.seed, study.selection, like[1] if like else None)
        if fit is None:
            return None
        study.tell(f"{study.raw.noun} alone ({fit.words}): {in_words(fit.validation)}, in {fit.seconds:.1f} s")
        return sample, fit

    def answered(self) -> tuple[Outputs, Targets]:
        """Returns what the words, or gradients, alone answer of validation examples, and their targets."""
        assert self.classical is not None, "it was fitted"
        sample, fit = self.classical
        assert sample.answers is not None, "it has a head"
        return sample.answers.outputs(fit.linear.logits(fit.validation_columns)), sample.answers.held

    @functools.cached_property
    def probe(self) -> Head:
        """A head on the pooled vectors of the frozen backbone, once `Study.prepare` has computed them."""
        study, began = self.study, time.perf_counter()
        if not study.network.head.exclusive:
            return self._of_any_loss(began)
        like = self.like.probe.fitted if self.like else None
        assert like is None or isinstance(like, Probe), "it is a probe"
        classes = study.network.head.out_features

        def fit() -> Probe:
            vectors = [self._vectors(name) for name in ("train", "validation")]
            return fit_probe(vectors[0], vectors[1], classes, study.tell, self._views(), like)

        probe = study.journal.fitted(PROBE, Probe, fit, study.train.device)
        entry = {"train_loss": probe.train_loss, **probe.validation}
        return Head(PROBE, probe.words, probe, probe.view, self._history(entry, began))

    @functools.cached_property
    def joint(self) -> Head | None:
        """A head on the same vectors and on words, or gradients, beside them; None where there are none."""
        if self.classical is None or self.study.raw is None:
            return None
        (sample, fit), study, began = self.classical, self.study, time.perf_counter()
        name = f"probe with {self.study.raw.noun}"
        stage, chosen = study.anatomy.head, self.probe.view
        train, validation = (
            (states.rows(numbers) if study.network.head.level == "tokens" else states.read(numbers)[:, chosen.row])
            .float()
            .numpy()
            for states, numbers in (
                (study.states["train"][stage], sample.numbers),
                (study.states["validation"][stage], sample.validation_numbers),
            )
        )
        before = self.like and self.like.joint
        like = before.fitted.fit if before and isinstance(before.fitted, JointHead) else None
        rest = (train, validation, fit, sample, study.settings.seed, study.selection, like)
        joint = study.journal.fitted(name, JointFit, lambda: fit_joint(*rest), study.train.device)
        what = f"{chosen.pooling} pooling, vector times {joint.scale:g} beside {fit.reading}, {joint.linear.words}"
        study.tell(f"{name} ({what}): {in_words(joint.validation)}, in {joint.seconds:.1f} s")
        head = JointHead(fit.maker, joint)
        view = View(chosen.row, chosen.pooling, unit=True)
        unscored = Head(name, what, head, view, History())
        entry = {"train_loss": joint.train_loss, **self._scores(unscored)}
        return Head(name, what, head, view, self._history(entry, began))

    @functools.cached_property
    def best(self) -> Head:
        """The better of both on validation, as far as the settings leave it open."""
        if self.like is not None and self.like.best.name == PROBE:
            return self.probe
        joint = self.joint
        if self.like is not None:
            return joint or self.probe
        if joint is None or self.study.is_asked_for:
            return joint or self.probe
        return max((self.probe, joint), key=lambda head: rank(head.history.best, self.study.selection))

    def _of_any_loss(self, began: float) -> Head:
        """Returns a probe of a head whose examples have no one class of several."""
        study = self.study
        before = self.like.probe.fitted if self.like else None
        assert before is None or isinstance(before, HeadFit), "it is of the same task"

        def look(split: str, view: View, most: int | None) -> fitting.Vectors:
            examples = study.train if split == "train" else study.validation
            states = study.states[split][study.anatomy.head]
            return fitting.Vectors(states, examples, study.network.head, view, most, learned=split == "train")

        effort = fitting.effort_of(study.network.head, study.minutes)
        rest = (look, self._views(), study.selection, study.tell, before, effort)
        head, device = study.network.head, study.train.device

        def fitted() -> HeadFit:
            return self._by_steps() if head.segmented else fit_parts(head, study.objective, *rest)

        kind: type[HeadFit] = StepsFit if head.segmented else HeadFit
        fit = study.journal.fitted(PROBE, kind, fitted, device)
        entry = {"train_loss": fit.train_loss, **fit.validation}
        return Head(PROBE, fit.words, fit, fit.view, self._history(entry, began))

    def _by_steps(self) -> HeadFit:
        """Fits a head that takes rows whole."""
        study = self.study
        train, validation = (
            Rows(study.states[split][study.anatomy.head], examples)
            for split, examples in (("train", study.train), ("validation", study.validation))
        )
        head, rest = study.network.head, (study.selection, study.tell, study.settings.seed)
        return fit_by_steps(head, study.objective, train, validation, *rest)

    def _vectors(self, split: str) -> Vectors:
        study = self.study
        examples = study.train if split == "train" else study.validation
        return Vectors(study.states[split][study.anatomy.head], examples.numbers, examples.labels, examples.device)

    def _views(self) -> list[View]:
        """Returns the views that a probe can choose from: where no pooling is asked for, all that one pass gives."""
        names = self.study.poolings if self.study.settings.pooling == "auto" else self.study.poolings[:1]
        return [View(row, name, unit) for row, name in enumerate(names) for unit in (False, True)]

    def _scores(self, head: Head) -> dict[str, float]:
        study = self.study
        network = copy.deepcopy(study.network)
        head.load_into(network)
        examples = study.with_columns(study.validation, "validation", network)
        states, segmented = study.states["validation"][study.anatomy.head], study.network.head.segmented
        learner = HeadOnly(examples, states, head.view.row, segmented)
        if network.head.exclusive:
            return scores_of(predict(network, learner, 1024, study.autocast), study.validation.labels)
        return study.objective.scores(
            outputs_of(network, learner, 1024, study.autocast), study.validation.target_columns()
        )

    def _history(self, scores: dict[str, float], began: float) -> History:
        seconds = time.perf_counter() - began
        entry = {"epoch": 1, "step": 0, **scores, "seconds": seconds}
        rate = len(self.study.train) / max(seconds, 1e-9)
        return History(epochs=[entry], best_epoch=1, seconds=seconds, examples_per_second=rate)
