"""A backbone's files looked at before any library reads them: they come from strangers, or over a broken line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.shared.errors import InputError

INDEX = "model.safetensors.index.json"

_SHARD = re.compile(r"model[\w.-]*\.safetensors")
_ARCHITECTURE = re.compile(r"\w+")  # timm reads "hf-hub:…" and "local-dir:…" as places to fetch from
_LARGEST_JSON = 64 << 20  # bytes; tokenizers, whose vocabularies are long, have a reader of their own
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it
_JSON_FILES = ("config.json", "model.json", "preprocessing.json", "preprocessor_config.json", "tokenizer_config.json",
               "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", INDEX)  # fmt: skip


def check(backbone: str, folder: Path, weights: bool) -> None:
    """Makes sure that a folder is a backbone whose files can be read, and that none leads elsewhere or is a pickle.

    Args:
        backbone: As the job calls it.
        folder: Where its files lie.
        weights: Whether its weights will be read.

    Raises:
        InputError: It is none, or a file is damaged, is no safetensors, or names one that is not in the folder.
    """
    if not (folder / "config.json").exists():
        raise InputError(
            f"{backbone!r} is no backbone: it has no config.json. Give a folder in transformers' or timm's layout."
        )
    for name in _JSON_FILES:
        if (folder / name).exists():
            _check_json(backbone, folder, name)
    architecture = _read(folder / "config.json").get("architecture", "timm")
    if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
        raise InputError(
            f"{backbone!r} names {architecture!r} as its architecture; a name that timm knows was expected."
        )
    if weights:
        _check_weights(backbone, folder)


def _check_json(backbone: str, folder: Path, name: str) -> None:
    size = (folder / name).stat().st_size
    if size > _LARGEST_JSON:
        raise _damaged(backbone, name, f"it has {size:,} bytes, where a few thousand were expected")
    try:
        content = _read(folder / name)
    except (ValueError, RecursionError) as error:
        raise _damaged(backbone, name, "it is no JSON") from error
    if not isinstance(content, dict) and name != "modules.json":
        raise _damaged(backbone, name, "it is no JSON object")


def _check_weights(backbone: str, folder: Path) -> None:
    if not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{backbone!r} has no safetensors. Older formats are pickles, which graft does not open: convert it with "
            "save_pretrained(), or name another backbone."
        )
    for name in sorted(_named(backbone, folder)):
        if not (folder / name).is_file():
            raise InputError(f"{backbone!r} has no file {name}, which its {INDEX} names. Fetch it again.")
    for file in sorted(folder.glob("*.safetensors")):
        if fault := _fault(file):
            raise _damaged(backbone, file.name, fault)


def _named(backbone: str, folder: Path) -> Iterator[str]:
    """Yields the files that the index of weights in several files names: transformers opens whatever stands there."""
    if not (folder / INDEX).exists():
        return
    told = _read(folder / INDEX).get("weight_map")
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told.values()):
        raise _damaged(backbone, INDEX, "it has no weight_map that tells the file of each weight")
    for name in set(told.values()):
        if not _SHARD.fullmatch(name):
            raise InputError(
                f"{INDEX} of {backbone!r} names {name!r} as a file of weights; safetensors beside it, such as "
                "model-00001-of-00002.safetensors, were expected. Nothing else is opened."
            )
        yield name


def _fault(file: Path) -> str:
    """Returns what is wrong with the header of a file of safetensors; "" where nothing is."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(size - 8, _LONGEST_HEADER):
            return (
                f"its header has {length:,} bytes by its first eight, and the file {size:,}; it was cut off, or is none"
            )
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            end = 8 + length + max(map(int, ends), default=0)
        except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
            return "its header cannot be read"
    return "" if end == size else f"it has {size:,} bytes, and by its header {end:,}"


def _damaged(backbone: str, name: str, fault: str) -> InputError:
    return InputError(f"{name} of {backbone!r} is damaged: {fault}. Fetch or save it again.")


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))
