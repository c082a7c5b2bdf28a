"""Backbones: where a name leads to. One file a family says how its networks are loaded, fed and saved.

Nothing here imports torch; the family's file does, and only finetune, evaluate and prediction import that.
"""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from components.shared.artifacts.artifact import MANIFEST, open_artifact
from components.shared.backbones.inspection import INDEX, check
from components.shared.errors import InputError, ServiceError, did_you_mean
from components.shared.storage import storage

if TYPE_CHECKING:
    from torch import Tensor

    from components.shared.backbones.network import MakeHead, Network

RANDOM, TIMM, REGISTRY = "random:", "timm/", "models:/"
_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_SMALL_FILES = [
    "config.json", "tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "spiece.model", "*.model",
    "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
    "preprocessor_config.json", "preprocessing.json", "model.json",
]  # fmt: skip
_WEIGHTS = ["lexical.json", "gradients.json", "model.safetensors", "model-*.safetensors", INDEX]
_WORDS, _TOKENS, _EDGES = "lexical/vectorizer.py", "lexical/tokens.py", "gradients/look.py"
_LIGHT = ("mlflow", "numpy", "pandas", "safetensors", "scipy")
_REQUIREMENTS = (*_LIGHT, "pillow", "tokenizers", "torch", "transformers")
LEXICAL, GRADIENTS = "lexical", "gradients"
"""The families of models that know the words of texts, or the gradients of pictures, alone: without a backbone."""
WITHOUT_BACKBONE = (LEXICAL, GRADIENTS)


@dataclass(frozen=True)
class Needs:
    """What a model of a family needs to predict, without graft.

    Attributes:
        files: From `components/shared` on, the family's own first: `register` puts copies of them, and of what they
            import, beside the weights.
        requirements: The distributions, which are pinned to the versions that trained the model.
    """

    files: tuple[str, ...]
    requirements: tuple[str, ...]


FAMILIES = {
    "transformers": Needs(("backbones/transformers.py", _WORDS, _TOKENS, _EDGES), _REQUIREMENTS),
    "timm": Needs(("backbones/timm.py", _WORDS, _EDGES), (*_REQUIREMENTS, "timm", "torchvision")),
    LEXICAL: Needs(("backbones/lexical.py", _WORDS), _LIGHT),
    GRADIENTS: Needs(("backbones/gradients.py", _EDGES), (*_LIGHT, "pillow")),
}


@dataclass(frozen=True)
class Backbone:
    """A backbone that was brought onto this machine.

    Attributes:
        name: As the job calls it.
        folder: Holds `config.json`, and where they are needed tokenizer, preprocessing and safetensors.
        family: A file in this folder: "transformers" or "timm".
        pretrained: Whether its weights are to be loaded; not for `random:…`.
        args: What to build it with (`img_size`, `depth`, …), on top of its configuration.
    """

    name: str
    folder: Path
    family: str
    pretrained: bool = True
    args: Mapping[str, Any] = field(default_factory=dict)

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the content of one of its JSON files; {} where there is no such file."""
        file = self.folder / name
        content: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        return content

    @property
    def is_model(self) -> bool:
        """Whether it is a model that graft trained, with a head and labels of its own."""
        return (self.folder / "model.json").exists()


class Family(Protocol):
    """What a family's file offers."""

    def from_backbone(self, backbone: Backbone, pooling: str, head: "MakeHead") -> "Network":
        """Returns a backbone's network with a head.

        The head is new (drawn from torch's global generator), but for what the backbone's own head, that of a model of
        ours of the same task, knows already.
        """

    def from_model(self, folder: Path, head: "MakeHead | None" = None) -> "Network":
        """Returns the trained network of a model's folder, in evaluation mode, on the CPU."""

    def collate(self, columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> "dict[str, Tensor]":
        """Makes a batch out of features."""

    def padding_of(self, folder: Path) -> int:
        """Returns what `collate` pads with."""

    def predict(
        self, network: "Network", columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int
    ) -> np.ndarray:
        """Returns probabilities [examples, classes], float32, of a network whose examples have one class each."""

    def outputs_of(
        self, network: "Network", columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int
    ) -> dict[str, list[np.ndarray]]:
        """Returns the head's outputs, float32, of each row an array; `Head.decode` makes predictions of them."""


def family(name: str) -> Family:
    """Returns the file of a family of backbones ("transformers", "timm"). Imports torch."""
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))


def fetch(backbone: str, scratch: Path, weights: bool = True, args: Mapping[str, Any] | None = None) -> Backbone:
    """Brings a backbone onto this machine.

    Args:
        backbone: A path (also of a model artifact), `s3://bucket/prefix`, a name on the Hugging Face hub, `timm/NAME`
            (with or without its tag), `models:/NAME@alias`, or `random:` and any of these. A model of words or
            gradients alone stands for the backbone that its job named.
        scratch: A folder to download to, where that is needed (the hub has a cache of its own).
        weights: Whether the weights are needed, or only configuration and preprocessing.
        args: What to build it with, on top of its configuration.

    Raises:
        InputError: There is no such backbone, or it has no safetensors.
        ServiceError: The hub, the store or the registry did not answer.
    """
    pretrained = not backbone.startswith(RANDOM)
    name = backbone.removeprefix(RANDOM)
    weights = weights and pretrained
    patterns = wanted(weights)
    path = Path(name).expanduser()
    if storage.is_s3(name):
        storage.download_folder(name, scratch, patterns)
        folder = scratch
    elif name.startswith(REGISTRY):
        from components.shared.registry import registry

        folder = registry.download(name, scratch, patterns)
    elif path.is_dir():
        folder = path
        if (path / MANIFEST).exists():
            open_artifact(path, "model")
    elif name.startswith((".", "/", "~")) or not _HUB_NAME.match(name):
        raise InputError(f"There is no backbone at {name!r} (looked from {Path.cwd()}). Check the path.")
    elif name.startswith(TIMM):
        folder = _fetch_timm(name, scratch, patterns, pretrained)
    else:
        folder = _fetch_from_hub(name, patterns)
    if (below := _remembered(folder)) is not None:
        return _fetch_below(backbone, below, scratch / "below", weights, args)
    check(name, folder, weights)
    return Backbone(backbone, folder, _family_of(folder), pretrained, args or {})


def wanted(weights: bool) -> list[str]:
    """Returns patterns of the names of a backbone's files, without or with its weights."""
    return _SMALL_FILES + (_WEIGHTS if weights else [])


def _remembered(folder: Path) -> str | None:
    """Returns the backbone that a model without one would have had; None of anything else."""
    file = folder / "model.json"
    try:
        told = json.loads(file.read_text("utf-8")) if file.exists() else {}
    except ValueError:
        return None  # what is wrong with it, `check` says
    return str(told["backbone"]) if isinstance(told, dict) and told.get("family") in WITHOUT_BACKBONE else None


def below(backbone: str, scratch: Path) -> str:
    """Returns the backbone that a name leads to: of a model without one that which its job named.

    Args:
        backbone: As `fetch` takes it; only a version of the registry or a folder can be such a model.
        scratch: A folder to download to.

    Raises:
        InputError: There is no such version.
        ServiceError: The registry did not answer.
    """
    name, folder = backbone.removeprefix(RANDOM), Path(backbone.removeprefix(RANDOM)).expanduser()
    if name.startswith(REGISTRY):
        from components.shared.registry import registry

        folder = registry.download(name, scratch, ["model.json"])
    elif storage.is_s3(name):
        storage.download_folder(name, scratch, ["model.json"])
        folder = scratch
    return _remembered(folder) or backbone


def _fetch_below(model: str, below: str, scratch: Path, weights: bool, args: Mapping[str, Any] | None) -> Backbone:
    """Brings the backbone here that a model without one remembers."""
    start = RANDOM if model.startswith(RANDOM) else ""
    try:
        return fetch(start + below.removeprefix(start), scratch, weights, args)
    except InputError as error:
        raise InputError(
            f"{model!r} is a linear model without a backbone; it remembers that its job named {below!r}. {error}"
        ) from error


def pinned(backbone: str) -> str:
    """Returns a backbone of the registry by its version: all steps take the same, even if the alias moves meanwhile.

    Raises:
        InputError: There is no such model, alias or version.
        ServiceError: The registry did not answer.
    """
    start = RANDOM if backbone.startswith(RANDOM) else ""
    name = backbone.removeprefix(RANDOM)
    if not name.startswith(REGISTRY):
        return backbone
    from components.shared.registry import registry

    return start + registry.resolve(name)


def pooling_of(folder: Path) -> str | None:
    """Returns how the backbone was trained to sum up its input ("mean", "first" token, "last"), where it says so.

    Sentence encoders say it in `1_Pooling/config.json` (sentence-transformers), our own models in `model.json`,
    ModernBERT in its configuration.
    """
    own, pooling, config = (
        json.loads((folder / name).read_text("utf-8")) if (folder / name).exists() else {}
        for name in ("model.json", "1_Pooling/config.json", "config.json")
    )
    if told := own.get("pooling"):
        return str(told)
    if pooling:
        is_mean = pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean"
        is_last = pooling.get("pooling_mode_lasttoken") or pooling.get("pooling_mode") == "lasttoken"
        return "mean" if is_mean else "last" if is_last else "first"
    return {"mean": "mean", "cls": "first"}.get(config.get("classifier_pooling", ""))


def timm_names() -> dict[str, str | None]:
    """Returns timm's architectures, each with the hub repository of its default weights (None: it has none)."""
    names: dict[str, str | None] = json.loads(Path(__file__).with_name("timm_names.json").read_text("utf-8"))
    return names


def _fetch_timm(name: str, scratch: Path, patterns: list[str], pretrained: bool) -> Path:
    """The architecture alone needs no hub: timm knows how it is built."""
    architecture, dot, _ = name.removeprefix(TIMM).partition(".")
    known = timm_names()
    if architecture not in known:
        raise InputError(f"timm has no architecture {architecture!r}.{did_you_mean(architecture, known)}")
    if not pretrained:
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "config.json").write_text(json.dumps({"architecture": architecture}), "utf-8")
        return scratch
    repository = name if dot else known[architecture]
    if repository is None:
        raise InputError(f"timm has no weights for {architecture!r}. Train it from scratch as {RANDOM}{name}.")
    return _fetch_from_hub(repository, patterns)


def _family_of(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return "timm" if "architecture" in config else "transformers"


def _fetch_from_hub(name: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError  # type: ignore[attr-defined]

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except GatedRepoError as error:
        raise InputError(
            f"The hub lets only some users read {name!r}: accept its terms there, and set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"There is no backbone {name!r}: no folder of that name (looked from {Path.cwd()}), and no such "
            "repository on the hub (a private one needs HF_TOKEN). Check the name."
        ) from error
    except (HTTPError, OSError) as error:
        raise ServiceError(
            f"The hub did not answer for {name!r}, and it is not in the local cache. Check the network (HF_ENDPOINT, "
            "proxy), or give the backbone as a path or s3:// address."
        ) from error
