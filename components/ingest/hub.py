"""Rows of a dataset on the Hugging Face hub (`hf://owner/name` or `hf://owner/name/config`), streamed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.ingest.rows import Row, check_columns
from components.shared.errors import InputError, ServiceError, quote_all
from components.shared.snapshot import SPLITS

PREFIX = "hf://"


def read_hub(source: str, columns: Sequence[str], label: str, splits: dict[str, str]) -> Iterator[Row]:
    """Streams the rows of a hub dataset; its splits are given splits.

    Args:
        source: `hf://owner/name`, with `/config` where the dataset has several.
        columns: The columns that are needed.
        label: The one of them that holds the label; class numbers become class names.
        splits: Which of the dataset's splits becomes which (`{"train": "train", "validation": "test"}`); splits that
            it does not name are left out. Empty: train, validation and test as they are called.

    Raises:
        InputError: There is no such dataset, split or column.
        ServiceError: The hub did not answer.
    """
    yield from rows_of(_load(source), source, columns, label, splits)


def rows_of(
    dataset: Mapping[str, Any], source: str, columns: Sequence[str], label: str, splits: dict[str, str]
) -> Iterator[Row]:
    """Yields the rows of a loaded dataset: for each split, an iterable of rows with `features`."""
    chosen = splits or {name: name for name in SPLITS if name in dataset}
    for name in chosen:
        if name not in dataset:
            raise InputError(f"{source} has no split {name!r}; it has {quote_all(dataset)}. Set data.splits.")
    if not chosen:
        raise InputError(f"{source} has the splits {quote_all(dataset)}; say in data.splits which is to be which.")
    for name, split in chosen.items():
        features = dataset[name].features or {}
        class_names = getattr(features.get(label), "names", None)
        for number, values in enumerate(dataset[name], 1):
            check_columns(source, list(values), columns)
            wanted = {column: values[column] for column in columns}
            if class_names is not None and wanted[label] is not None:
                index = int(wanted[label])
                wanted[label] = class_names[index] if 0 <= index < len(class_names) else None  # -1: not labelled
            yield Row(f"{source} {name}:{number}", split, wanted)


def _load(source: str) -> Mapping[str, Any]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    parts = source.removeprefix(PREFIX).strip("/").split("/")
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
