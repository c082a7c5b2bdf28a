"""The KFP component of `detect`."""

from typing import Any, NamedTuple

from kfp import dsl

from components.shared.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def detect(
    changes: dsl.Output[dsl.Artifact],
    source: str,
    inputs: list[str],
    label: str,
    task: str,
    task_args: dict[str, Any],
    labels: list[str],
    label_codes: dict[str, str],
    normalize_labels: bool,
    splits: dict[str, str],
    group: str,
    time: str,
    slices: list[str],
    encoding: str,
    delimiter: str,
    sheet: str,
    class_level: int,
    query: str,
    max_characters: int,
    max_pixels: int,
    model: str,
    backbone: str,
    start_from: str,
    force: bool,
    pipeline_run: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", [("changed", bool), ("backbone", str), ("alternative", str), ("known", str), ("summary", dict[str, Any])]
):
    """Has the data changed since the champion was trained, and what does training start from?"""
    given = dict(locals())
    from pathlib import Path

    from components.detect import detect as step
    from components.shared.process.step import run_step

    target = Path(given.pop("changes").path)
    report = run_step(lambda: step.detect(target, step.DetectSettings(**given)), "detect")
    changes.metadata.update(digest=report.digest, changed=report.changed, reason=report.summary["sentence"])
    return report.changed, report.backbone, report.alternative, report.known, report.summary
