"""Tiny backbones in the layout of the hub, with random weights, made on the spot."""

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from components.shared import tasks

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_bert(folder: Path, positions: int = 64) -> Path:
    """Writes a BERT of 2 layers and 32 dimensions with its tokenizer; returns the folder."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.1,
    )
    BertModel(config).save_pretrained(folder)
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
