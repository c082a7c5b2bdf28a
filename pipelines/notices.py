"""A notice at the end of a pipeline, however the pipeline ends."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from components.notify.component import notify
from components.notify.outcome import EVENTS
from components.notify.template import DEFAULT


def with_notice(
    pipeline: Any, template: Mapping[str, Any] = DEFAULT, events: Sequence[str] = EVENTS, page: str = ""
) -> Any:
    """Returns a pipeline with a step at its end that tells a webhook what the run came to.

    It has the same name and parameters, and no outputs: kfp lets none leave an exit handler. A failure of the last step
    would be one of the run: `notify` knows none.

    Args:
        pipeline: A pipeline with a parameter `model`.
        template: The JSON that is posted, with placeholders.
        events: What is told.
        page: What is put before the id of a run for the address of its page; "" where runs have none.
    """
    function = pipeline.pipeline_func
    signature = inspect.signature(function).replace(return_annotation=inspect.Signature.empty)

    @functools.wraps(function)
    def define(*parameters: Any) -> None:
        given = dict(zip(signature.parameters, parameters, strict=True))
        last = notify(
            name=given["model"],
            pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            events=list(events),
            template=dict(template),
            page=page,
        )
        last.set_caching_options(False)
        with dsl.ExitHandler(last):
            function(*parameters)

    define.__signature__ = signature  # type: ignore[attr-defined]
    return dsl.pipeline(name=pipeline.name, description=pipeline.description)(define)
