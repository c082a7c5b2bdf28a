"""What would fail, before it does: a job, a deployment, the services and this machine, looked at side by side."""

import contextlib
import functools
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from components.shared.errors import GraftError, ServiceError
from components.shared.registry import tracking
from components.shared.storage.storage import is_s3
from pipelines.checks import store
from pipelines.checks.backbone import check_backbone
from pipelines.checks.data import check_data
from pipelines.checks.finding import FAILED, PASSED, WARNING, Check, Finding, failed, passed, warning
from pipelines.checks.image import check_image
from pipelines.checks.kubeflow import check_kubeflow
from pipelines.checks.machine import check_folder, check_processor, disk
from pipelines.checks.mlflow import ADDRESS, FAST, check_mlflow
from pipelines.checks.notify import check_notify
from pipelines.cluster.deployment import load_deployment
from pipelines.jobs.job import load_job

if TYPE_CHECKING:
    from pipelines.cluster.deployment import Deployment
    from pipelines.jobs.job import Job

_PATIENCE = 8.0  # seconds for all checks together
_LEADING = ("AWS_", "MLFLOW_", "HF_")  # what a deployment sets for the clients that are asked here, too
_WIDTH = 14  # of the longest subject
_COLORS = {PASSED: "green", WARNING: "yellow", FAILED: "red"}


def examine(
    job_file: Path | None, deployment_file: Path | None, root: Path, changes: Sequence[str] = ()
) -> Iterator[Finding]:
    """Looks at all that a run needs; yields what it found, in the order of the checks.

    Without a deployment it is this machine that would run; with one, the cluster. Nothing stays behind.

    Args:
        job_file: The job; None: only what every job needs.
        deployment_file: The deployment, where there is one.
        root: Where runs here are kept.
        changes: Values to set on top of the job's.
    """
    job = deployment = None
    if job_file:
        try:
            job = load_job(job_file, changes)
            yield passed("job", f"{job_file}: {job.task}, {job.strategy}, model {job.model}")
        except GraftError as error:
            yield failed("job", str(error))
    if deployment_file:
        try:
            deployment = load_deployment(deployment_file)
            yield passed("deployment", f"{deployment_file}: {deployment.kubeflow.endpoint}")
        except GraftError as error:
            yield failed("deployment", str(error))
            return  # whatever else is asked, it would be asked at the wrong address
    with _environment(deployment, root), _quiet():
        endpoint = store.prepare()
        here = None if deployment else root
        checks = {**_checks_of_place(deployment, endpoint, root), **_checks_of_job(job, endpoint, here)}
        yield from _run(checks, _PATIENCE)
    if job is None and deployment is None:
        yield disk(root, 0)


def tell(findings: Iterator[Finding], console: Console, output: Path | None = None) -> None:
    """Prints a line for each finding, then what to mend.

    Args:
        findings: From `examine`.
        console: Where to.
        output: A file to write them to as JSON, too.

    Raises:
        ServiceError: Something would fail.
    """
    seen = []
    for finding in findings:
        seen.append(finding)
        _print(finding, finding.found, console)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps([asdict(finding) for finding in seen], indent=1) + "\n", "utf-8")
    if any(finding.mend for finding in seen):
        console.print("\n[bold]To mend[/]")
        for finding in sorted(seen, key=lambda finding: finding.level != FAILED):
            if finding.mend:
                _print(finding, finding.mend, console)
    if count := sum(finding.level == FAILED for finding in seen):
        raise ServiceError(
            f"{count} of {len(seen)} checks failed: mend {'it' if count == 1 else 'them'} as said above."
        )


def _print(finding: Finding, text: str, console: Console) -> None:
    told = text.replace("\n", "\n" + " " * (_WIDTH + 3))
    line = Text.assemble((finding.level, _COLORS[finding.level]), f" {finding.subject:<{_WIDTH}} {told}")
    console.print(line, soft_wrap=True)


def _checks_of_place(deployment: "Deployment | None", endpoint: str, root: Path) -> dict[str, Check]:
    """Returns what is to be looked at whatever the job is: this machine, or the cluster."""
    if deployment is None:
        return {
            "root": functools.partial(check_folder, "root", root, "--root"),
            "processor": check_processor,
            "notify": functools.partial(check_notify, None),
        }
    pipeline_root = deployment.pipeline_root
    return {
        "kubeflow": functools.partial(check_kubeflow, deployment),
        "images.light": functools.partial(check_image, "images.light", deployment.images.light),
        "images.trainer": functools.partial(check_image, "images.trainer", deployment.images.trainer),
        "pipeline_root": functools.partial(store.check_writable, "pipeline_root", pipeline_root, endpoint),
        "notify": functools.partial(check_notify, deployment),
    }


def _checks_of_job(job: "Job | None", endpoint: str, root: Path | None) -> dict[str, Check]:
    checks: dict[str, Check] = {"mlflow": functools.partial(check_mlflow, job.model if job else None)}
    if job is None:
        return checks
    if job.checkpoint.uri:
        checks["checkpoint"] = functools.partial(_check_checkpoints, job.checkpoint.uri, endpoint, root is not None)
    return {
        **checks,
        "data": functools.partial(check_data, job, endpoint, root),
        "backbone": functools.partial(check_backbone, job.backbone, endpoint, root is not None),
    }


def _check_checkpoints(uri: str, endpoint: str, here: bool) -> Iterator[Finding]:
    """Looks whether checkpoints could be written, long before the first one is due."""
    if here and not is_s3(uri):
        return check_folder("checkpoint", Path(uri).expanduser(), "checkpoint.uri")
    return store.check_writable("checkpoint", uri, endpoint)


class _Running(threading.Thread):
    """A check at work. As a daemon it holds nobody up: what does not answer in time is left behind."""

    def __init__(self, subject: str, check: Check) -> None:
        super().__init__(daemon=True)
        self.subject, self.check = subject, check
        self.findings: list[Finding] = []

    def run(self) -> None:
        try:
            for finding in self.check():
                self.findings.append(finding)
        except GraftError as error:
            self.findings.append(failed(self.subject, str(error)))
        except Exception as error:  # a check that breaks hides no other one
            self.findings.append(failed(self.subject, f"{type(error).__name__}: {error}"))


def _run(checks: Mapping[str, Check], seconds: float) -> Iterator[Finding]:
    """Runs checks side by side; yields their findings in the order of the checks, as soon as they are there."""
    end = time.monotonic() + seconds
    running = [_Running(subject, check) for subject, check in checks.items()]
    for check in running:
        check.start()
    for check in running:
        check.join(max(0.0, end - time.monotonic()))
        late = check.is_alive()
        yield from list(check.findings)
        if late:
            yield warning(
                check.subject,
                f"not known after {seconds:.0f} s. It may be slow, or have very many files: try it alone.",
            )


@contextlib.contextmanager
def _environment(deployment: "Deployment | None", root: Path) -> Iterator[None]:
    """Leads all clients where the steps' would be led, and makes them give up in seconds."""
    before = dict(os.environ)
    if deployment:
        leading = {name: value for name, value in deployment.environment.items() if name.startswith(_LEADING)}
        os.environ.update({**leading, ADDRESS: deployment.mlflow})
    os.environ.update(FAST)
    tracking.use_embedded(root)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what libraries log of their retries from coming between the lines."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
