"""Backbones of the `transformers` library: encoders and decoders of text, and vision models.

Like `network.py` it needs nothing else of graft.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModel
from transformers.utils.logging import disable_progress_bar

from .network import MakeHead, Network, Normalize, collate, head_of, outputs_of, predict
from .predictor import RawPredictor, padding_of
from .preprocessing import Preprocessing, preprocessing_of
from .segments import SEGMENTS

if TYPE_CHECKING:
    from . import Backbone

_NO_CONFIGURATION = re.compile(r".*_implementation(_internal)?|quantization_config|auto_map|transformers_weights")
"""What would have a library fetch code (attention out of a hub's kernels), run it, or open other files."""
_MISSING = 0.05  # the part of the weights that may be: they would be drawn at random

__all__ = [
    "Predictor",
    "TransformersNetwork",
    "collate",
    "from_backbone",
    "from_model",
    "outputs_of",
    "padding_of",
    "predict",
]


class TransformersNetwork(Network):
    """A model of transformers without its own head; of its outputs one vector an example.

    `pooling` is "first" (the first token, through the model's own pooler where it is pretrained), "last" (the last
    real token, as for decoders: no earlier one has seen the whole text), "mean" (of the real tokens) or "max" (the
    largest value of each dimension).
    """

    def __init__(self, encoder: Any, pooling: str, head: MakeHead, normalize: Normalize | None) -> None:
        config = encoder.config
        if config.is_encoder_decoder:
            raise ValueError(f"{config.model_type} is an encoder-decoder; an encoder or a decoder was expected")
        super().__init__(encoder, _width(config), head, 0.0 if normalize else _dropout(config))
        if (pooling != "first" or self.head.level != "pooled") and _has_pooler(encoder):
            encoder.pooler = None  # would be saved and never used
        self.pooling, self.normalize = pooling, normalize
        config.use_cache = False

    def pooled(self, **batch: Tensor) -> Tensor:
        """Takes `input_ids` and `attention_mask` [batch, tokens], or `pixels` [batch, side, side, 3]."""
        return _summary(self._encoded(batch), self.pooling, batch.get("attention_mask"))

    def tokens(self, **batch: Tensor) -> tuple[Tensor, Tensor]:
        """Takes `input_ids` and `attention_mask` [batch, tokens]."""
        if self.normalize is not None:
            return super().tokens(**batch)
        return self._encoded(batch).last_hidden_state, batch["attention_mask"].bool()

    def summaries(self, **batch: Tensor) -> dict[str, Tensor]:
        """Returns the vectors of its own pooling, and of those that ask for no weights of their own."""
        encoded, mask = self._encoded(batch), batch.get("attention_mask")
        found = {self.pooling: _summary(encoded, self.pooling, mask)}
        if encoded.last_hidden_state.ndim == 3:
            found |= {name: _summary(encoded, name, mask) for name in ("mean", "max") if name not in found}
        return found

    def choose(self, pooling: str, normalized: bool) -> None:
        """Sets how an example becomes one vector; a pooler that is not used is gone."""
        super().choose(pooling, normalized)
        if pooling != "first" and _has_pooler(self.encoder):
            encoder: Any = self.encoder
            encoder.pooler = None

    def _encoded(self, batch: Mapping[str, Tensor]) -> Any:
        if self.normalize is not None:
            return self.encoder(pixel_values=self.normalize(batch["pixels"]))
        return self.encoder(**{name: tensor for name, tensor in batch.items() if name != SEGMENTS})

    def save_configuration(self, folder: Path) -> None:
        """Writes `config.json` in transformers' layout."""
        encoder: Any = self.encoder
        encoder.config.save_pretrained(folder)

    def describe(self) -> dict[str, Any]:
        """Returns pooling, and whether the model's own pooler is part of it."""
        return {**super().describe(), "pooling": self.pooling, "pooler": _has_pooler(self.encoder)}


class Predictor(RawPredictor):
    """Predicts from raw texts or images."""

    @staticmethod
    def from_model(folder: Path, head: MakeHead | None = None) -> Network:
        """Returns the trained network of a model's folder."""
        return from_model(folder, head)


def from_backbone(backbone: "Backbone", pooling: str, head: MakeHead) -> TransformersNetwork:
    """Returns a backbone's network; see `Family`.

    Args:
        backbone: Where it lies; `args` override its configuration.
        pooling: "first", "last", "mean", or "auto": "last" for a decoder, else "first".
        head: Makes the new head.

    Raises:
        ValueError: It is neither an encoder nor a decoder.
        OSError: Its files cannot be read.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    told = backbone.read_json("model.json")
    overrides = {name: value for name, value in backbone.args.items() if name != "img_size"}
    if size := backbone.args.get("img_size"):
        overrides["image_size"] = size
    config = _configuration(backbone.folder)
    normalize = _normalize(backbone)
    if normalize is not None:
        config = getattr(config, "vision_config", config)  # of CLIP and its like, the part that sees
    config.update(overrides)
    if normalize is not None and (channels := getattr(config, "num_channels", 3)) != 3:
        raise ValueError(f"it takes pictures of {channels} channels; 3 (colours) were expected")
    weights = load_file(backbone.folder / "model.safetensors") if told and backbone.pretrained else {}
    if weights or not backbone.pretrained:
        encoder = _empty(config, told.get("pooler", True) if weights else bool(told.get("pooler")))
        if weights:
            _load(encoder, weights)
    else:
        encoder = _pretrained(backbone.folder, config)
    if pooling == "auto":
        pooling = backbone_pooling(encoder)
    network = TransformersNetwork(encoder, pooling, head, normalize)
    if weights:
        network.resemble(backbone.folder)
        network.adopt(weights, told)
    return network


def from_model(folder: Path, head: MakeHead | None = None) -> TransformersNetwork:
    """Returns the trained network of a model's folder, in evaluation mode, on the CPU.

    Args:
        folder: Of the model.
        head: Makes its head; None: the one that `model.json` names, in the folders of tasks beside this one.
    """
    told = json.loads((folder / "model.json").read_text("utf-8"))
    config = _configuration(folder)
    file = folder / "preprocessing.json"
    normalize = Normalize(Preprocessing.from_json(json.loads(file.read_text("utf-8")))) if file.exists() else None
    network = TransformersNetwork(_empty(config, told["pooler"]), told["pooling"], head or head_of(told), normalize)
    network.load(folder)
    return network.eval()


def backbone_pooling(encoder: Any) -> str:
    """Returns "last" for a decoder, whose first token sees no other one, else "first".

    It is tried, not looked up: the last of four tokens is changed, and the first one's output looked at.
    """
    if encoder.main_input_name != "input_ids":
        return "first"
    ids = torch.tensor([[3, 4, 5, 6], [3, 4, 5, 7]]) % encoder.config.vocab_size
    was_training = encoder.training
    with torch.inference_mode():
        first, second = encoder.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    encoder.train(was_training)
    return "last" if torch.equal(first, second) else "first"


def _summary(encoded: Any, pooling: str, mask: Tensor | None) -> Tensor:
    hidden: Tensor = encoded.last_hidden_state
    if hidden.ndim == 4:  # a convolutional network: [batch, width, height, width]
        pooled = getattr(encoded, "pooler_output", None)
        return hidden.mean((2, 3)) if pooled is None else pooled
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2])
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)
    if pooling == "max":
        return hidden.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(1)
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.long().sum(1) - 1]
    pooled = getattr(encoded, "pooler_output", None)
    return hidden[:, 0] if pooled is None else pooled


def _pretrained(folder: Path, config: Any) -> Any:
    encoder, loading = AutoModel.from_pretrained(
        folder, config=config, dtype=torch.float32, use_safetensors=True, trust_remote_code=False,
        local_files_only=True, output_loading_info=True,
    )  # fmt: skip
    sizes = {name: tensor.numel() for name, tensor in encoder.state_dict().items()}
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith("pooler."))
    if sum(sizes.get(key, 0) for key in missing) > _MISSING * sum(sizes.values()):
        raise ValueError(f"its weights do not fit its configuration: {len(missing)} are missing, such as {missing[0]}")
    if any(key.startswith("pooler.") for key in loading["missing_keys"]):
        encoder.pooler = None  # not pretrained: the first token itself is the better summary
    return encoder


def _configuration(folder: Path) -> Any:
    """Returns the configuration of a folder: what describes the network, and nothing that names code or other files.

    Raises:
        ValueError: transformers itself knows no such network.
    """
    told = _described(json.loads((folder / "config.json").read_text("utf-8")))
    if (kind := told.get("model_type")) not in CONFIG_MAPPING:
        raise ValueError(
            f"transformers knows no architecture {kind!r} (model_type of its config.json); code that comes with a "
            "model is not run"
        )
    return CONFIG_MAPPING[kind].from_dict(told)


def _described(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    return {name: _described(value) for name, value in told.items() if not _NO_CONFIGURATION.fullmatch(name)}


def _empty(config: Any, pooler: bool) -> Any:
    encoder = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-untyped-call]
    if not pooler and _has_pooler(encoder):
        encoder.pooler = None
    return encoder


def _load(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads a model's own weights; what this configuration (other `args`) has no place for is an error."""
    encoder.load_state_dict(
        {name.removeprefix("encoder."): tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    )


def _normalize(backbone: "Backbone") -> Normalize | None:
    """A vision backbone is told by its files: it has no tokenizer, but a preprocessing."""
    processor, own = backbone.read_json("preprocessor_config.json"), backbone.read_json("preprocessing.json")
    if not processor and not own:
        return None
    return Normalize(preprocessing_of(backbone.read_json("config.json"), processor, own, backbone.args))


def _has_pooler(encoder: Any) -> bool:
    """Whether a model has a pooler with weights of its own (one without is part of how the model sums up)."""
    pooler = getattr(encoder, "pooler", None)
    return pooler is not None and any(True for _ in pooler.parameters())


def _width(config: Any) -> int:
    return int(getattr(config, "hidden_size", None) or config.hidden_sizes[-1])


def _dropout(config: Any) -> float:
    told = getattr(config, "classifier_dropout", None)
    return float(getattr(config, "hidden_dropout_prob", 0.1) if told is None else told)
