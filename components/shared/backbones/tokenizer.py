"""The tokenizer of a backbone's folder, without torch (transformers' own loader imports it)."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from components.shared.backbones.panic import told_of_panic
from components.shared.errors import InputError

DEFAULT_MAX_LENGTH = 512
_VOCABULARIES = ("vocab.txt", "vocab.json")
_LARGEST = 512 << 20  # bytes of a tokenizer.json: the longest known have some thirty million
_NO_LIMIT = 1_000_000  # tokenizer_config.json says 1e30 where there is no limit


def load_tokenizer(folder: Path) -> Tokenizer:
    """Loads the fast tokenizer: `tokenizer.json`, or converted by transformers from an older vocabulary file.

    Raises:
        InputError: The folder holds no tokenizer that can be read.
    """
    file = folder / "tokenizer.json"
    try:
        if file.exists():
            if (size := file.stat().st_size) > _LARGEST:
                raise ValueError(f"tokenizer.json has {size:,} bytes")
            with told_of_panic():
                return Tokenizer.from_file(str(file))
        if not any((folder / name).exists() for name in _VOCABULARIES) and not list(folder.glob("*.model")):
            raise FileNotFoundError("neither a tokenizer.json nor a vocabulary is there")  # transformers makes one up
        from transformers import AutoTokenizer

        converted = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
        return Tokenizer.from_str(converted.backend_tokenizer.to_str())
    except Exception as error:  # the tokenizers library raises bare Exception
        raise InputError(
            f"The backbone at {folder} has no tokenizer that can be read ({error}). "
            "A text task needs a backbone with a tokenizer.json, or vocabulary files that transformers converts."
        ) from error


def max_length_of(folder: Path, wanted: int) -> int:
    """Returns how many tokens an example may have: what is wanted, or for 0 what the backbone takes, 512 at most.

    Raises:
        InputError: More is wanted than the backbone has positions for.
    """
    limit = position_limit(folder)
    if wanted == 0:
        trained = _read(folder, "sentence_bert_config.json").get("max_seq_length") or limit
        return int(min(trained, limit, DEFAULT_MAX_LENGTH))
    if wanted > limit:
        raise InputError(
            f"training.max_length is {wanted}, but the backbone has positions for {limit} tokens. "
            f"Set it to {limit} or less."
        )
    return wanted


def position_limit(folder: Path) -> int:
    """Returns the most tokens that a backbone takes, special tokens included."""
    config = _read(folder, "config.json")
    positions = config.get("max_position_embeddings") or config.get("n_positions") or _NO_LIMIT
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet"):
        positions -= config.get("pad_token_id", 1) + 1  # these count positions from the padding id onwards
    told = _read(folder, "tokenizer_config.json").get("model_max_length") or _NO_LIMIT
    return int(min(positions, told if told < _NO_LIMIT else _NO_LIMIT))


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    content: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return content
