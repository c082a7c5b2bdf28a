"""What Kubeflow Pipelines makes of a step's parameters on their way, and back."""

from collections.abc import Mapping
from typing import Any


def restore(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a step's parameters as the job had them: whole numbers within lists and dictionaries are ints again.

    KFP sends those through protobuf, whose numbers are all floats and whose mappings have no order: `{"img_size": 32}`
    arrives as `{"img_size": 32.0}`. What a job writes as 32.0 becomes 32, too; keys are sorted.
    """
    return {name: _whole(value) if isinstance(value, list | dict) else value for name, value in given.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in sorted(value.items())}
    return int(value) if isinstance(value, float) and value.is_integer() else value
