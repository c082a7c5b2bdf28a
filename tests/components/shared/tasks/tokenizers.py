"""Folders of backbones with nothing but a tokenizer: word pieces, and bytes."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from tests.backbones import SPECIAL, make_tokenizer

KINDS = ("pieces", "bytes")

# What people write, and what breaks offsets: an emoji of several characters with joiners, combining marks, Thai without
# blanks, Arabic from right to left, line ends of Windows, characters beyond 16 bits, blanks that are none in ASCII.
ALPHABET = [
    *("a", "B", "the", "harbour", "of", "São", "Zoë", "cafe\u0301", "don't", "3.5", "e-mail", "!", "(", ")", ","),
    *("👩\u200d🔬", "🇩🇪", "👍🏽", "𝒳", "กรุงเทพ", "سلام", "שלום", "東京", "ﬁn", "\u200b", "\u00ad"),
    *("\r\n", "\n", "\t", " ", "\u00a0", "\u3000", "x" * 200),
]


def folder_of(kind: str, path: Path, types: int = 2) -> Path:
    """Writes a backbone's folder with a tokenizer of some kind."""
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer() if kind == "pieces" else _bytes()
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"model_type": "bert", "max_position_embeddings": 64, "type_vocab_size": types}
    (path / "config.json").write_text(json.dumps(config))
    return path


def _bytes() -> Tokenizer:
    """Returns a tokenizer of bytes, as GPT-2 and RoBERTa have, that has learned no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer
