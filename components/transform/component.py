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

    from components.shared.artifacts import cache
    from components.shared.process.parameters import restore
    from components.shared.process.step import run_step
    from components.transform import transform as step

    def encode() -> tuple[step.TransformReport, dict[str, str]]:
        source, target = (Path(given.pop(name).path) for name in ("snapshot", "features"))
        settings = step.TransformSettings(**restore(given))
        ways = ({"snapshot": source}, ("features", target), features.uri)
        work = cache.Work("transform", *ways, settings, weights=False, report=step.TransformReport)
        return cache.through(work, lambda: step.transform(source, target, settings))

    report, taken = run_step(encode, "transform")
    features.metadata.update(digest=report.digest, rows=report.rows, mean_length=report.mean_length)
    features.metadata.update(at_max_length=report.at_max_length, **taken)
    return (report.backbone,)
