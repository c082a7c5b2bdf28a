"""Conditions in `kfp.local`: 2.17 looks for a task's output only under the name "Output", and takes others as false."""

import contextlib
from collections.abc import Iterator
from typing import Any

_PREFIX = "pipelinechannel--"


def mend() -> None:
    """Makes `dsl.If` hold here where it holds on a cluster: on any output of a task, and any parameter."""
    from kfp.local.orchestrator import enhanced_dag_orchestrator

    enhanced_dag_orchestrator.ConditionEvaluator._resolve_pipeline_channel = staticmethod(_resolve)


def _resolve(channel: str, store: Any) -> Any:
    """Returns what a channel such as "pipelinechannel--detect-changed" holds; None where there is no such."""
    name = channel.removeprefix(_PREFIX)
    for key in (channel, name):
        with contextlib.suppress(ValueError):
            return store.get_parent_input(key)
    for task, output in _splits(name):
        with contextlib.suppress(ValueError):
            return store.get_task_output(task, output)
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yields a name split at each of its dashes: a task's name may have some itself."""
    for place, character in enumerate(name):
        if character == "-":
            yield name[:place], name[place + 1 :]
