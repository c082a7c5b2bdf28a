"""YAML files with a schema, such as the job file: read, validated, all their faults told at once."""

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.redaction import redact

Document = TypeVar("Document", bound=BaseModel)

_SAID_IN_FULL = ("name", "secret")
"""Kinds of faults whose message needs no value beside it, or must not have it."""


def load(
    path: Path,
    schema: type[Document],
    kind: str,
    changes: Sequence[str] = (),
    private: Sequence[str] = (),
    fill: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> Document:
    """Reads and validates a file. The validators find its whole content in their context.

    Args:
        path: The YAML file.
        schema: What it holds.
        kind: What to call it: "job".
        changes: Values to set on top, such as "training.epochs=1"; the value is YAML.
        private: Top-level sections whose values are never shown: somebody may have put a secret there.
        fill: Adds to its content what follows from other fields.

    Raises:
        InputError: The file cannot be read, or has faults: all of them, each with its field's path.
    """
    content = _read(path, kind)
    if not isinstance(content, dict):
        first = next(iter(schema.model_fields))
        raise InputError(f"{path} holds no {kind}: fields were expected, the first of them {first!r}.")
    for change in changes:
        _apply(content, change)
    content = fill(content)
    try:
        return schema.model_validate(content, context=content)
    except ValidationError as error:
        faults = [f"  {line}" for line in _explain(error.errors(), schema, private)]
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InputError("\n".join([f"{path} has {count}:", *faults])) from None


def _read(path: Path, kind: str) -> Any:
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)  # a SafeLoader
    except FileNotFoundError as error:
        raise InputError(f"There is no {kind} file {str(path)!r} (looked from {Path.cwd()}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The {kind} file {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no valid YAML: {error}") from error


def _apply(content: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise InputError(f"--set {change!r}: FIELD=VALUE was expected, such as training.epochs=1.")
    *sections, field = path.split(".")
    for name in sections:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {change!r}: {name!r} is no section with fields.")
    try:
        content[field] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change!r}: the value is no valid YAML: {error}") from error


def _explain(errors: Sequence[ErrorDetails], schema: type[BaseModel], private: Sequence[str]) -> Iterator[str]:
    for error in errors:
        path = ".".join(str(part) for part in error["loc"] if part != "[key]")  # pydantic's, of a mapping's key
        found = "" if error["loc"][:1] and error["loc"][0] in private else f"found {_shorten(error['input'])}; "
        if error["type"] in _SAID_IN_FULL:
            yield f"{path}: {error['msg']}"
        elif error["type"] == "extra_forbidden":
            *parents, name = error["loc"]
            known = _fields(schema, parents)
            yield f"{path}: there is no such field; allowed: {quote_all(known, 20)}.{did_you_mean(str(name), known)}"
        elif error["type"] == "missing":
            yield f"{path}: is missing"
        elif error["type"] == "one_of":
            yield f"{path}: {found}{error['msg']}"
        else:
            yield f"{path}: {found}{error['msg'][:1].lower()}{error['msg'][1:]}"


def _fields(model: type[BaseModel], parents: Sequence[Any]) -> list[str]:
    """Returns the fields of the section at a path; positions in a list, keys of a mapping are no sections."""
    for parent in parents:
        if parent in model.model_fields:
            model = next(_sections(model.model_fields[parent].annotation), model)
    return list(model.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the sections in a type such as `Section`, `Section | None`, `list[Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _sections(part)


def _shorten(value: object) -> str:
    text = redact(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a field given twice."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Mapping[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the field {key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
