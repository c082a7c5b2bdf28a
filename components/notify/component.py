"""The KFP component of `notify`."""

from typing import Any

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def notify(
    status: dsl.PipelineTaskFinalStatus,
    name: str,
    pipeline_run: str,
    events: list[str],
    template: dict[str, Any],
    page: str,
) -> None:
    """What the run came to, told to a webhook; it never fails, for then the run would."""
    given = dict(locals())
    from components.notify import notify as step
    from components.shared.process.parameters import restore

    ended = given.pop("status")
    step.notify(step.NotifySettings(state=ended.state, **restore(given)))
