"""Rows of a dataset on the Hugging Face hub (`hf://owner/name` or `hf://owner/name/config`), streamed."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.shared.errors import InputError, ServiceError, quote_all
from components.shared.sources.columns import check_columns, class_name
from components.shared.sources.rows import Row
from components.shared.sources.splits import given_split
from components.shared.sources.trees import MOST

PREFIX = "hf://"

_OWN = r"((zip|gzip|xz|bz2|zstd|tar)://[^:]*::)*hf://datasets/{}(@[^/]*)?/(?!.*\.\./).*"
"""A file of a dataset's repository, or in an archive there."""


def read_hub(source: str, columns: Sequence[str], labels: Sequence[str], splits: dict[str, str]) -> Iterator[Row]:
    """Streams the rows of a hub dataset; its splits are given splits.

    Args:
        source: `hf://owner/name`, with `/config` where the dataset has several.
        columns: The columns that are needed; empty: all.
        labels: Those of them that hold labels; class numbers become class names.
        splits: Which of the dataset's splits becomes which (`{"train": "train", "validation": "test"}`); splits that
            it does not name are left out. Empty: train, validation and test as they are called.

    Raises:
        InputError: There is no such dataset, split or column.
        ServiceError: The hub did not answer.
    """
    yield from rows_of(_load(source), source, columns, labels, splits)


def revision(source: str) -> str:
    """Returns the commit that a hub dataset is at; "" where the hub does not tell."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return str(HfApi().dataset_info("/".join(_parts(source)[:2])).sha or "")
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return ""  # whoever reads the dataset is told what is wrong


def rows_of(
    dataset: Mapping[str, Any], source: str, columns: Sequence[str], labels: Sequence[str], splits: dict[str, str]
) -> Iterator[Row]:
    """Yields the rows of a loaded dataset: for each split, an iterable of rows with `features`."""
    chosen = splits or {name: split for name in dataset if (split := given_split(name))}
    for name in chosen:
        if name not in dataset:
            raise InputError(f"{source} has no split {name!r}; it has {quote_all(dataset)}. Set data.splits.")
    if not chosen:
        raise InputError(f"{source} has the splits {quote_all(dataset)}; say in data.splits which is to be which.")
    own = re.compile(_OWN.format(re.escape("/".join(_parts(source)[:2]))), re.DOTALL)
    for name, split in chosen.items():
        features = dataset[name].features or {}
        names = {label: _names_of(features.get(label)) for label in labels}
        for number, values in enumerate(_undecoded(dataset[name]), 1):
            check_columns(source, list(values), columns)
            wanted = {column: _content(values[column], own) for column in columns or values}
            for label, own_names in names.items():
                if own_names is not None:
                    value = wanted[label]
                    several = isinstance(value, list)
                    told = [class_name(one, own_names) for one in value] if several else class_name(value, own_names)
                    wanted[label] = told
            fault = next((value.reason for value in wanted.values() if isinstance(value, _Unread)), None)
            given = {column: None if isinstance(value, _Unread) else value for column, value in wanted.items()}
            yield Row(f"{source} {name}:{number}", source, split, given, fault)


def _names_of(feature: Any) -> Any:
    """Returns the names of a column's classes, or of those in its lists; None where it has none."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _undecoded(split: Any) -> Any:
    """Returns a split whose images come as the bytes of their files, not decoded."""
    for column, feature in (split.features or {}).items():
        if getattr(feature, "decode", False):
            split = split.cast_column(column, dataclasses.replace(feature, decode=False))
    return split


@dataclasses.dataclass(frozen=True)
class _Unread:
    """A file that is not opened, and why."""

    reason: str


def _content(value: Any, own: re.Pattern[str]) -> Any:
    """Returns the bytes of a file that datasets give as bytes, or as the address in its repository.

    A row may hold any path or address: what is not in this dataset, or in an archive of it, is this machine's, its
    network's or another dataset's, perhaps a private one, and is not opened.
    """
    if not isinstance(value, dict) or value.keys() != {"bytes", "path"}:
        return value
    if value["bytes"] is None and value["path"]:
        if not own.fullmatch(str(value["path"])):
            return _Unread("file outside of the dataset")
        from datasets.utils.file_utils import xopen

        with xopen(value["path"], "rb") as file:
            data = file.read(MOST + 1)
        return data if len(data) <= MOST else _Unread(f"file larger than {MOST:,} bytes")
    return value["bytes"]


def _parts(source: str) -> list[str]:
    return source.removeprefix(PREFIX).strip("/").split("/")


def _load(source: str) -> Mapping[str, Any]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    parts = _parts(source)
    name, config = "/".join(parts[:2]), parts[2] if len(parts) > 2 else None
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(name, config, streaming=True)  # type: ignore[no-any-return]
    except DatasetNotFoundError as error:
        raise InputError(
            f"The hub has no dataset {name!r} that can be read without more rights ({error}). Check the name; a "
            "private one needs HF_TOKEN."
        ) from error
    except ValueError as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    except OSError as error:  # ConnectionError too
        raise ServiceError(f"The hub did not answer for {source}: {error}. Check the network (HF_ENDPOINT).") from error
