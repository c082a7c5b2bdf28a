"""A pipeline's parameters: the fields of its steps' settings, each with its type, its default and what it means."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import dsl

Given = dict[str, Any]
"""The values of a pipeline's parameters, by name: within a definition they are kfp's stand-ins."""


def pipeline(
    name: str, description: str, *settings: type[Any], without: Sequence[str] = (), outputs: Any = None
) -> Callable[[Callable[[Given], Any]], Any]:
    """Returns a decorator that makes a KFP pipeline of a function.

    Each field of the settings is a parameter; the first class that has a field decides.

    Args:
        name: Of the pipeline.
        description: What people read about it on Kubeflow's page.
        settings: Dataclasses whose fields have their help, as `components.shared.process.step.option` gives it.
        without: Fields that the pipeline sets itself.
        outputs: A NamedTuple of artifacts that the function returns.
    """
    fields = {name: field for name, field in _fields(settings).items() if name not in without}

    def decorate(chain: Callable[[Given], Any]) -> Any:
        def define(*values: Any) -> Any:
            return chain(dict(zip(fields, values, strict=True)))

        parameters = [_parameter(*field) for field in fields.values()]
        signature = inspect.Signature(parameters, return_annotation=outputs or inspect.Signature.empty)
        define.__signature__ = signature  # type: ignore[attr-defined]
        define.__doc__ = _docstring(description, fields)
        return dsl.pipeline(name=name, description=description)(define)

    return decorate


def chosen(component: Any, given: Mapping[str, Any]) -> Given:
    """Returns those of a pipeline's parameters that a component takes, by name."""
    return {name: given[name] for name in component.component_spec.inputs if name in given}


_Fields = dict[str, tuple[dataclasses.Field[Any], Any]]


def _fields(settings: tuple[type[Any], ...]) -> _Fields:
    """Returns fields with their types, those without default first, as in any signature."""
    found: _Fields = {}
    for kind in settings:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            found.setdefault(field.name, (field, hints[field.name]))
    return dict(sorted(found.items(), key=lambda item: _default(item[1][0]) is not inspect.Parameter.empty))


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(field.name, kind, default=_default(field), annotation=hint)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty


def _docstring(description: str, fields: _Fields) -> str:
    """Returns what kfp reads the parameters' descriptions from."""
    lines = [f"    {name}: {_sentence(field.metadata['help'])}" for name, (field, _) in fields.items()]
    return "\n".join([description, "", "Args:", *lines])


def _sentence(text: str) -> str:
    end = "" if text.endswith(("?", "…")) else "."
    return f"{text[0].upper()}{text[1:]}{end}"
