"""The three artifacts that an evaluation reads, checked to be one line of descent."""

from dataclasses import dataclass
from pathlib import Path

from components.shared.artifacts.artifact import Artifact, open_artifact
from components.shared.artifacts.snapshot import CROSSED, SPLITS, TRAINED_ON
from components.shared.errors import InputError, quote_all


@dataclass(frozen=True)
class Sources:
    """A model, the features it was trained on, and the snapshot that these were made from."""

    snapshot: Artifact
    features: Artifact
    model: Artifact

    @property
    def crossed(self) -> bool:
        """Whether the model was measured by cross-validation, and learned from all examples."""
        return CROSSED in self.model.files

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose examples the model is scored on."""
        return SPLITS if self.crossed else ("test",)


def open_sources(snapshot: Path, features: Path, model: Path) -> Sources:
    """Opens the three artifacts.

    Raises:
        InputError: One is damaged, or they do not belong together.
    """
    sources = Sources(
        open_artifact(snapshot, "snapshot"), open_artifact(features, "features"), open_artifact(model, "model")
    )
    _check_descent(sources.features, sources.snapshot)
    _check_descent(sources.model, sources.snapshot)
    _check_descent(sources.model, sources.features)
    learned = sources.model.read_json("model.json").get(TRAINED_ON, ["train"])
    if ("test" in learned) != sources.crossed:
        raise InputError(
            f"The model at {model} learned from {quote_all(learned)}, but "
            f"{'has' if sources.crossed else 'lacks'} {CROSSED}, what models of the other folds make of each example: "
            "it cannot be scored. Run finetune again."
        )
    return sources


def _check_descent(child: Artifact, parent: Artifact) -> None:
    made_from = child.inputs.get(parent.kind, "nothing")
    if made_from != parent.digest:
        raise InputError(
            f"The {child.kind} at {child.path} was made from {parent.kind} {made_from[:12]}, but the {parent.kind} at "
            f"{parent.path} is {parent.digest[:12]}. Name the {parent.kind} that it was made from, or make the "
            f"{child.kind} again from this one."
        )
