"""The mark of a run that found nothing to learn: a tag of the newest version.

Kubeflow's state of such a run is the same as that of one whose pod was killed: by the mark a notice tells them apart.
"""

from collections.abc import Mapping

from components.shared import tracking
from components.shared.registry import Version

_TAG = "unchanged_run"


def mark(version: Version, pipeline_run: str) -> None:
    """Writes down that a run of the pipeline found nothing that a version does not know.

    Raises:
        InputError: MLflow refused it.
        ServiceError: MLflow did not answer.
    """
    client = tracking.client()
    with tracking.explained(f"marking version {version.version} of {version.model!r} as up to date"):
        client.set_model_version_tag(version.model, version.version, _TAG, pipeline_run)


def is_marked(tags: Mapping[str, str], pipeline_run: str) -> bool:
    """Tells whether the tags of a version say so of a run."""
    return tags.get(_TAG) == pipeline_run
