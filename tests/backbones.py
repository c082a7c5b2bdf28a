"""Tiny backbones in the layout of the hub, with random weights, made on the spot."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from components.shared import tasks

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_SMALL |= {"max_position_embeddings": 64, "initializer_range": 0.1, "pad_token_id": 0}
_DECODER: dict[str, Any] = {"num_key_value_heads": 1, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}

TEXT: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 66},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16,
                   "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, **_DECODER},
    "qwen2": _DECODER,
    "llama": _DECODER,
}  # fmt: skip
"""Tiny configurations of text architectures, encoders first, by transformers' name."""

_PAIR = {
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
                      "image_size": 32, "patch_size": 8},
    "text_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                    "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2},
}  # fmt: skip

VISION: dict[str, dict[str, Any]] = {
    "vit": {**_SMALL, "image_size": 32, "patch_size": 8},
    "dinov2": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
    "convnext": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "image_size": 32},
    "clip": _PAIR,
    "siglip": _PAIR,
}
"""Tiny configurations of vision architectures, by transformers' name."""

TIMM: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2},
    "resnet10t": {"channels": [8, 8, 16, 32], "stem_width": 8},
    "convnext_atto": {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    "mobilenetv3_small_050": {},
}
"""Small models of timm, by its name for the architecture, and what to make them with."""

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_bert(folder: Path, positions: int = 64) -> Path:
    """Writes a BERT of 2 layers and 32 dimensions with its tokenizer; returns the folder."""
    return make_text_backbone("bert", folder, max_position_embeddings=positions)


def make_text_backbone(kind: str, folder: Path, **options: Any) -> Path:
    """Writes a tiny text model of an architecture (a key of `TEXT`) with its tokenizer; returns the folder."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = make_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    size = {"vocab_size": tokenizer.get_vocab_size(), **_SMALL, **TEXT[kind], **options}
    AutoModel.from_config(AutoConfig.for_model(kind, **size)).save_pretrained(folder)
    return folder


def forget_dropout(network: Any) -> None:
    """Lets a network drop nothing, wherever its architecture keeps the rate."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def make_vision_backbone(kind: str, folder: Path) -> Path:
    """Writes a tiny vision model of transformers (a key of `VISION`) for 32 x 32 pixels; returns the folder."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **VISION[kind])).save_pretrained(folder)
    square = {"height": 32, "width": 32}
    told = {"size": square, "do_resize": True, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def make_timm_backbone(kind: str, folder: Path) -> Path:
    """Writes a tiny model of timm (a key of `TIMM`) for 32 x 32 pixels in the hub's layout; returns the folder."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model(kind, num_classes=5, **TIMM[kind])
    told = {name: network.pretrained_cfg[name] for name in ("classifier", "first_conv")}
    told |= {"input_size": [3, 32, 32], "num_classes": 5, "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0}
    told |= {"interpolation": "bicubic", "crop_mode": "center"}
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architecture": kind, "num_classes": 5, "model_args": TIMM[kind], "pretrained_cfg": told}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder


def make_tokenizer() -> Tokenizer:
    """Returns a WordPiece tokenizer of all characters and words in the text task's sample rows, the same every time."""
    words = {word for row in tasks.get("text-classification").sample(400, seed=1) for word in row["input_1"].split()}
    letters = sorted({character for word in words for character in word})
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    tokenizer = Tokenizer(WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def make_broken_bert(folder: Path) -> Path:
    """Writes such a BERT with a weight that is no number; returns the folder."""
    import torch
    from safetensors.torch import load_file, save_file

    make_bert(folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
