"""Columns of Arrow as plain values: texts, numbers, bytes of files, names of classes, fields within structs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.shared.sources.columns import Batch, check_columns, class_name


def nested(name: str, schema: pa.Schema, columns: Sequence[str]) -> dict[str, str]:
    """Returns for each column that is needed the column of the file that holds it; "a.b" may be field b of a.

    Raises:
        InputError: There is none, or there are two.
    """
    known = list(schema.names)
    roots = {column: column for column in columns or known}
    for column in roots:
        root, dot, rest = column.partition(".")
        if column not in known and dot and _leads(schema, root, rest):
            roots[column] = root
    dotted = [f"{field.name}.{part.name}" for field in schema if pa.types.is_struct(field.type) for part in field.type]
    check_columns(name, [*known, *(d for d in dotted if not _is_file(schema, d))], _unless_nested(roots))
    check_columns(name, known, list(roots.values()))
    return roots


def _unless_nested(roots: Mapping[str, str]) -> list[str]:
    return [column for column, root in roots.items() if column == root]


def _leads(schema: pa.Schema, root: str, rest: str) -> bool:
    if root not in schema.names:
        return False
    kind = schema.field(root).type
    for part in rest.split("."):
        if not pa.types.is_struct(kind) or part not in [field.name for field in kind]:
            return False
        kind = kind.field(part).type
    return True


def _is_file(schema: pa.Schema, dotted: str) -> bool:
    return _holds_files(schema.field(dotted.partition(".")[0]).type)


def _holds_files(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def class_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Returns the names of class numbers, by column, of a file that Hugging Face's datasets wrote."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = told["info"]["features"].items()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # somebody else's, or damaged
    return {
        column: feature["names"]
        for column, told in features
        if isinstance(feature := _innermost(told), dict)
        and feature.get("_type") == "ClassLabel"
        and _are_names(feature.get("names"))
    }


def _innermost(feature: object) -> object:
    """Returns what lists of a feature hold, such as the tags of words."""
    while isinstance(feature, list) or (isinstance(feature, dict) and isinstance(feature.get("feature"), dict | list)):
        inner = feature["feature"] if isinstance(feature, dict) else feature
        feature = inner[0] if isinstance(inner, list) and inner else None if isinstance(inner, list) else inner
    return feature


def _are_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def batch_of(batch: pa.RecordBatch, roots: Mapping[str, str], names: Mapping[str, Sequence[str]], before: int) -> Batch:
    """Returns rows as plain values.

    Args:
        batch: The rows.
        roots: From `nested`.
        names: From `class_names`.
        before: How many rows the file has before these.
    """
    found: dict[str, Sequence[Any]] = {}
    for column, root in roots.items():
        array = batch.column(batch.schema.names.index(root))
        if column != root:
            for part in column.partition(".")[2].split("."):
                array = pc.struct_field(array, part)
        found[column] = _values(array, names.get(column))
    return Batch(range(before + 1, before + 1 + batch.num_rows), found, {})


def _values(array: pa.Array, names: Sequence[str] | None) -> list[Any] | pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _holds_files(array.type):
        array = pc.struct_field(array, "bytes")  # a file, as Hugging Face's datasets write it
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return _texts(array)
    values: list[Any] = array.to_pylist()
    if names and pa.types.is_integer(array.type):
        return [class_name(value, names) for value in values]
    if names and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        return [None if value is None else [class_name(one, names) for one in value] for value in values]
    return values


def _texts(array: pa.Array) -> list[str | None] | pa.Array:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:  # no UTF-8
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    return array if pa.types.is_string(array.type) else array.cast(pa.string())
