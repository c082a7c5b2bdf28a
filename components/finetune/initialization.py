"""What training starts from, and on which of the examples that the champion knows already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from components.finetune.learning import parallel
from components.finetune.learning.history import measured
from components.finetune.settings import FinetuneSettings
from components.finetune.study import Study, Trained
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.inventory import open_inventory
from components.shared.artifacts.snapshot import spec_of
from components.shared.backbones import Backbone
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.modalities import Encoding
from components.shared.registry import registry
from components.shared.selection import rank
from components.shared.tasks.objective import Objective, Picking


def better_of(runs: Mapping[str, tuple[Study, Trained]]) -> tuple[Study, Trained]:
    """Returns the run that does best on validation, with how all did.

    Args:
        runs: By what they started from.
    """
    best = max(runs, key=lambda name: rank(runs[name][1].history.best, runs[name][0].selection))
    study, trained = runs[best]
    if len(runs) > 1:
        scores = {name: measured(run.history.best) for name, (_, run) in runs.items()}
        trained.starts = [{"start": name, **scores[name], "kept": name == best} for name in runs]
    return study, trained


def check_reads_alike(backbone: Backbone, features: Artifact, scratch: Path) -> None:
    """Makes sure that a backbone would have made the same features: that it encodes inputs just so.

    Raises:
        InputError: It reads them otherwise.
    """
    told, settings = features.read_json("features.json"), features.settings
    count, total = len(told["inputs"]), sum(told["rows"].values())
    encoding = Encoding(count, total, settings["max_length"], settings["pixel_gib"], spec_of(told))
    scratch.mkdir()
    tasks.get(told["task"], told.get("task_args")).encoder(backbone, encoding).save(scratch)
    for file in scratch.iterdir():
        if file.name not in features.files or file.read_bytes() != features.file(file.name).read_bytes():
            raise InputError(
                f"retrain.start_from is 'better', but the champion and {backbone.name!r} do not read inputs the same "
                f"way ({file.name} differs), so that they cannot learn from the same features. Set it to 'champion' or "
                "'backbone'."
            )


def numbers_of(
    features: Artifact, settings: FinetuneSettings, scratch: Path, objective: Objective | None = None
) -> np.ndarray:
    """Returns which training examples are trained on, int64 [examples], ascending."""
    split = FeatureSplit(features, "train")
    worth = objective.picked(split.targets, settings.seed) if isinstance(objective, Picking) else True
    if not settings.known or settings.replay == 1:
        numbers = np.arange(len(split))
    else:
        folder = scratch / f"known-{parallel.group().rank}"
        numbers = replayed(split, settings.known, settings.replay, settings.seed, folder)
    kept: np.ndarray = numbers[np.broadcast_to(worth, len(split))[numbers]]
    return kept


def replayed(split: FeatureSplit, known: str, fraction: float, seed: int, scratch: Path) -> np.ndarray:
    """Returns which training examples are trained on: all new ones, and of each class a part of the old ones.

    Rows of one example (windows of a long text, the two texts of a pair) stay together.

    Rehearsal of old examples keeps a network from forgetting them (Robins 1995, "Catastrophic forgetting, rehearsal
    and pseudorehearsal").

    Args:
        split: The training examples.
        known: The version, "models:/NAME/3", that the old ones are known to.
        fraction: The part of the old ones, rounded up in each class.
        seed: Of the draw.
        scratch: A folder that can be made.

    Returns:
        int64 [rows], ascending.

    Raises:
        InputError: Nothing is left, or that version does not tell what it was trained on.
    """
    old = _is_among(np.array(split.ids, dtype="S32"), _known_ids(known, scratch))
    draw, firsts = np.random.default_rng(seed), np.diff(split.examples, prepend=-1) > 0
    kept = [np.flatnonzero(~old & firsts)]
    for label in np.unique(split.labels):
        places = np.flatnonzero(old & firsts & (split.labels == label))
        kept.append(draw.permutation(places)[: int(np.ceil(fraction * len(places)))])
    numbers = np.flatnonzero(np.isin(split.examples, split.examples[np.concatenate(kept)]))
    if not len(numbers):
        raise InputError(
            f"No training example is new to {known}, and retrain.replay is {fraction:g}: there is nothing to train on. "
            "Set retrain.replay to 'all', or to more."
        )
    return numbers


def _known_ids(known: str, scratch: Path) -> np.ndarray:
    name, _, number = known.removeprefix("models:/").rpartition("/")
    version = next((found for found in registry.show_model(name) if found.version == number), None)
    folder = registry.download_inventory(version, scratch) if version else None
    if folder is None:
        raise InputError(
            f"retrain.replay needs to know which examples are old, but {known} does not tell what it was trained on. "
            "Set retrain.replay to 'all'."
        )
    return open_inventory(folder).ids()


def _is_among(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns which ids are among sorted ones, bool [ids]."""
    if not len(known):
        return np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    found: np.ndarray = known[places] == ids
    return found


def words_of(starts: Sequence[Mapping[str, Any]] | None) -> str:
    """Returns which start was kept, as part of a line; "" where there was one."""
    return next((f" from the {row['start']}" for row in starts or () if row["kept"]), "")


def check_vocabulary(source: Artifact, backbone: Backbone, network: Network) -> None:
    """Refuses a tokenizer that knows more tokens than the backbone has embeddings."""
    if "tokenizer.json" not in source.files:
        return
    highest = max(Tokenizer.from_file(str(source.file("tokenizer.json"))).get_vocab().values(), default=0)
    encoder: Any = network.encoder
    if highest >= (rows := encoder.get_input_embeddings().weight.shape[0]):
        raise InputError(
            f"The tokenizer of {backbone.name!r} gives tokens up to number {highest:,}, but the backbone has "
            f"embeddings for {rows:,} tokens (0 to {rows - 1:,}). Fetch both from the same place, or resize the "
            "embeddings (resize_token_embeddings) and save them."
        )
