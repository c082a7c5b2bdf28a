"""The tokenizer that counts an example's length, where one of the backbone lies on this machine."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.shared import backbones
from components.shared.backbones import RANDOM, REGISTRY, TIMM
from components.shared.backbones.panic import TokenizerError, told_of_panic
from components.shared.errors import GraftError, InputError
from components.shared.profile.texts import Ruler
from components.shared.storage.storage import is_s3


def ruler_of(backbone: str, max_length: int = 0) -> Ruler:
    """Returns what counts tokens as a backbone does: without the network, words are counted instead.

    Args:
        backbone: As in a job; "" where there is none yet.
        max_length: As in a job; 0: what the backbone takes, at most 512.
    """
    name = backbone.removeprefix(RANDOM)
    estimate = Ruler(max_length or Ruler.max_length)
    if not name or not (Path(name).expanduser().is_dir() or _is_cached(name)):
        return estimate
    from components.shared.backbones.tokenizer import load_tokenizer, max_length_of, position_limit

    try:
        with tempfile.TemporaryDirectory(prefix="graft-profile-") as scratch:
            folder = backbones.fetch(backbone, Path(scratch), weights=False).folder
            limit = position_limit(folder)
            tokenizer, most = load_tokenizer(folder), max_length_of(folder, min(max_length, limit))
    except GraftError:
        return estimate
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def count(examples: Sequence[tuple[str, ...]]) -> list[int]:
        batch = [texts[0] if len(texts) == 1 else texts for texts in examples]
        try:
            with told_of_panic():
                return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(batch)]
        except TokenizerError as error:
            raise InputError(f"{backbone!r}: {error}. Name another backbone.") from error

    return Ruler(most, limit if limit < 1_000_000 else 0, f"the tokenizer of {backbone}", count)


def _is_cached(name: str) -> bool:
    if name.startswith((TIMM, REGISTRY)) or is_s3(name) or name.count("/") != 1:
        return False
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "tokenizer.json"))
