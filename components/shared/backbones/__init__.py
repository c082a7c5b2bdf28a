"""Backbones: where a name leads to. One file a family says how its networks are loaded, fed and saved.

Nothing here imports torch; the family's file does, and only finetune, evaluate and prediction import that.
"""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from components.shared import storage
from components.shared.errors import InputError, ServiceError

if TYPE_CHECKING:
    from torch import Tensor, nn

_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_SMALL_FILES = [
    "config.json", "tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model",
    "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
]  # fmt: skip
_WEIGHTS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]


class Family(Protocol):
    """What a family's file offers."""

    def from_backbone(self, folder: Path, pooling: str, outputs: int) -> Any:
        """Returns the pretrained network of a backbone's folder, with a new head of so many outputs.

        It is an `nn.Module` with two methods more: `save(folder)` writes weights and configuration, and `describe()`
        returns what `model.json` must tell beside, so that `from_model` can make it again.
        """

    def from_model(self, folder: Path) -> Any:
        """Returns the trained network of a model's folder."""

    def collate(self, columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> "dict[str, Tensor]":
        """Makes a batch out of features."""

    def padding_of(self, folder: Path) -> int:
        """Returns what `collate` pads with."""

    def predict(
        self, network: "nn.Module", columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int
    ) -> np.ndarray:
        """Returns probabilities [examples, classes], float32."""


def family(name: str) -> Family:
    """Returns the file of a family of backbones ("transformers"). Imports torch."""
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))


def fetch(backbone: str, scratch: Path, weights: bool = True) -> Path:
    """Brings a backbone onto this machine.

    Args:
        backbone: A path, `s3://bucket/prefix`, or a name on the Hugging Face hub.
        scratch: A folder to download to, where that is needed (the hub has a cache of its own).
        weights: Whether the weights are needed, or only configuration and tokenizer.

    Returns:
        A folder with `config.json`, the tokenizer's files and, on request, safetensors.

    Raises:
        InputError: There is no such backbone, or it has no safetensors.
        ServiceError: The hub or the store did not answer.
    """
    patterns = _SMALL_FILES + (_WEIGHTS if weights else [])
    if storage.is_s3(backbone):
        storage.download_folder(backbone, scratch, patterns)
        folder = scratch
    elif (path := Path(backbone).expanduser()).is_dir():
        folder = path
    elif backbone.startswith((".", "/", "~")) or not _HUB_NAME.match(backbone):
        raise InputError(f"There is no backbone at {backbone!r} (looked from {Path.cwd()}). Check the path.")
    else:
        folder = _fetch_from_hub(backbone, patterns)
    _check(backbone, folder, weights)
    return folder


def pooling_of(folder: Path) -> str:
    """Returns how the backbone was trained to sum up a text: "mean" or "first" (token).

    Sentence encoders say it in `1_Pooling/config.json` (sentence-transformers); others were trained on the first.
    """
    file = folder / "1_Pooling" / "config.json"
    told = json.loads(file.read_text("utf-8")) if file.exists() else {}
    is_mean = told.get("pooling_mode_mean_tokens") or told.get("pooling_mode") == "mean"
    return "mean" if is_mean else "first"


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


def _check(backbone: str, folder: Path, weights: bool) -> None:
    if not (folder / "config.json").exists():
        raise InputError(f"{backbone!r} is no backbone: it has no config.json. Give a folder in transformers' layout.")
    if weights and not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{backbone!r} has no safetensors. Older formats are pickles, which graft does not open: convert it with "
            "save_pretrained(), or name another backbone."
        )
