"""The KFP component of `transform`."""

from typing import Any, NamedTuple

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def transform(
    snapshot: dsl.Input[dsl.Dataset],
    features: dsl.Output[dsl.Dataset],
    backbone: str,
    backbone_args: dict[str, Any],
    max_length: int,
    pixel_gib: float,
) -> NamedTuple("Outputs", [("pinned", str)]):  # type: ignore[valid-type]
    """A snapshot into features: what the backbone eats."""
    given = dict(locals())
    from pathlib import Path

    from components.shared.parameters import restore
    from components.shared.step import run_step
    from components.transform import transform as step

    source, target = (Path(given.pop(name).path) for name in ("snapshot", "features"))
    report = run_step(lambda: step.transform(source, target, step.TransformSettings(**restore(given))), "transform")
    features.metadata.update(digest=report.digest, rows=report.rows, mean_length=report.mean_length)
    features.metadata.update(at_max_length=report.at_max_length)
    return (report.backbone,)
