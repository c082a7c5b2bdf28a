"""Backbones of the `timm` library: vision networks of any architecture that it knows.

Like `network.py` it needs nothing else of graft.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
from safetensors.torch import load_file
from torch import Tensor, nn

from .network import MakeHead, Network, Normalize, collate, head_of, outputs_of, predict
from .predictor import RawPredictor, padding_of
from .preprocessing import Preprocessing, preprocessing_of

if TYPE_CHECKING:
    from . import Backbone

_ELSEWHERE = {"checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
_LUMA = (0.299, 0.587, 0.114)  # what red, green and blue add to the grey of a picture (ITU-R BT.601)
_LOADED = 0.8  # the part of the matrices that must come from the file

__all__ = ["Predictor", "TimmNetwork", "collate", "from_backbone", "from_model", "outputs_of", "padding_of", "predict"]


class TimmNetwork(Network):
    """A model of timm without its classifier: its own pooling, then a new head."""

    def __init__(self, encoder: Any, config: Mapping[str, Any], head: MakeHead, normalize: Normalize) -> None:
        super().__init__(encoder, encoder.head_hidden_size, head, 0.0)
        self.config, self.normalize = dict(config), normalize
        self.channels = int(self.config.get("model_args", {}).get("in_chans", 3))
        if self.channels not in (1, 3):
            raise ValueError(f"it takes pictures of {self.channels} channels; 3 (colours) or 1 (grey) were expected")

    def pooled(self, **batch: Tensor) -> Tensor:
        """Takes `pixels` [batch, side, side, 3], 0 to 255."""
        pixels = self.normalize(batch["pixels"])
        if self.channels == 1:
            pixels = (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        vectors: Tensor = self.encoder(pixels)  # it has no classifier: `num_classes=0`
        return vectors

    def save_configuration(self, folder: Path) -> None:
        """Writes `config.json` in timm's layout: architecture and arguments."""
        (folder / "config.json").write_text(json.dumps(self.config, indent=1, sort_keys=True) + "\n", "utf-8")

    def describe(self) -> dict[str, Any]:
        """Returns the pooling, which is the architecture's own."""
        return {**super().describe(), "pooling": "auto"}


class Predictor(RawPredictor):
    """Predicts from raw images."""

    @staticmethod
    def from_model(folder: Path, head: MakeHead | None = None) -> Network:
        """Returns the trained network of a model's folder."""
        return from_model(folder, head)


def from_backbone(backbone: "Backbone", pooling: str, head: MakeHead) -> TimmNetwork:
    """Returns a backbone's network; see `Family`. The pooling is the architecture's own, whatever is asked for.

    Weights for another input size are fitted by timm (positions interpolated).

    Raises:
        RuntimeError: There is no such architecture, or the weights do not fit it.
        TypeError: The architecture does not take one of the arguments.
    """
    config, own = backbone.read_json("config.json"), backbone.read_json("model.json")
    preprocessing = preprocessing_of(
        config, backbone.read_json("preprocessor_config.json"), backbone.read_json("preprocessing.json"), backbone.args
    )
    arguments = {**config.get("model_args", {}), **backbone.args, "img_size": preprocessing.size}
    weights = load_file(backbone.folder / "model.safetensors") if backbone.pretrained else {}
    told = {name: config[name] for name in ("pretrained_cfg",) if name in config}
    encoder, arguments = _create(config["architecture"], arguments, _overlay(weights, config, own))
    if weights:
        _check(encoder, weights)
    kept = {"architecture": config["architecture"], "model_args": arguments, **told}
    network = TimmNetwork(encoder, kept, head, Normalize(preprocessing))
    if own and weights:
        network.resemble(backbone.folder)
        network.adopt(weights, own)
    return network


def from_model(folder: Path, head: MakeHead | None = None) -> TimmNetwork:
    """Returns the trained network of a model's folder, in evaluation mode, on the CPU.

    Args:
        folder: Of the model.
        head: Makes its head; None: the one that `model.json` names, in the folders of tasks beside this one.
    """
    told, config, preprocessing = (
        json.loads((folder / name).read_text("utf-8")) for name in ("model.json", "config.json", "preprocessing.json")
    )
    encoder, _ = _create(config["architecture"], config["model_args"], {})
    network = TimmNetwork(encoder, config, head or head_of(told), Normalize(Preprocessing.from_json(preprocessing)))
    network.load(folder)
    return network.eval()


def _overlay(weights: Mapping[str, Tensor], config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what timm must know to load weights that were read here: it opens no file, and asks no hub."""
    if not weights:
        return {}
    if own:
        kept = {
            name.removeprefix("encoder."): tensor for name, tensor in weights.items() if name.startswith("encoder.")
        }
        return {"state_dict": kept, "num_classes": 0, "custom_load": False}
    told = {name: config["pretrained_cfg"][name] for name in ("num_classes", "classifier", "first_conv")
            if name in config.get("pretrained_cfg", {})}  # fmt: skip
    return {**told, "state_dict": dict(weights), "custom_load": False}


def _check(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuses weights of something else: timm says nothing where it finds no place for them.

    A few matrices may be others than in the file, such as positions fitted to another size.
    """
    known = {(tensor.shape, float(tensor.double().sum())) for tensor in weights.values()}
    matrices = [parameter.detach() for parameter in encoder.parameters() if parameter.ndim > 1]
    found = sum((matrix.shape, float(matrix.double().sum())) in known for matrix in matrices)
    if found < _LOADED * len(matrices):
        raise ValueError(f"its weights do not fit its architecture: {found} of {len(matrices)} matrices are there")


def _create(architecture: str, arguments: Mapping[str, Any], overlay: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns a model, and the arguments that made it: an architecture that takes any size takes no `img_size`.

    Raises:
        ValueError: An argument is none of the architecture, but has timm open files.
    """
    if wrong := _ELSEWHERE & set(arguments):
        raise ValueError(f"{', '.join(sorted(wrong))} would have timm open other files: no argument of the network")
    if not timm.is_model(architecture):
        raise ValueError(f"timm knows no architecture {architecture!r}")
    chosen = dict(arguments)
    options: dict[str, Any] = {"pretrained": bool(overlay), "pretrained_cfg_overlay": overlay} if overlay else {}
    try:
        return timm.create_model(architecture, num_classes=0, **options, **chosen), chosen
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    del chosen["img_size"]
    return timm.create_model(architecture, num_classes=0, **options, **chosen), chosen
