"""Puts a job on a schedule, as often as you like: what the job says is made to be, and nothing else is touched.

Kubeflow cannot change a recurring run, and lets several have one name. So each that Graft makes tells in its
description whose it is and what it runs, by a digest; another digest is another recurring run. It is made disabled;
then the old one is disabled, the new one enabled, the old one deleted. Wherever that is cut short, what is there tells
the next `apply` how to go on.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.errors import InputError
from pipelines.cluster.deployment import Deployment
from pipelines.cluster.kubeflow import NoAnswerError, RefusalError, create, every, experiment_id
from pipelines.cluster.submit import upload
from pipelines.jobs.cron import ClusterCron, on_cluster
from pipelines.jobs.job import Job

_MARK = "graft schedule "
_NAME = 60  # characters: older servers keep 191 of a description
_ENABLED = "ENABLED"


@dataclass(frozen=True)
class Recurring:
    """A recurring run that Graft made.

    Attributes:
        job: Name of the job's model.
        content: Digest of what it runs, and when.
        generation: Larger than that of the one it replaced.
        paused: Whether it was made to wait for `resume`: the one it replaced was paused.
        cron: Six fields, in the cluster's zone.
    """

    id: str
    name: str
    job: str
    content: str
    generation: int
    paused: bool
    enabled: bool
    cron: str
    created: str

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts the newest last."""
        return self.generation, self.created, self.id


@dataclass(frozen=True)
class Applied:
    """What `apply` did.

    Attributes:
        action: "created", "replaced", "unchanged", or "mended": an earlier `apply` was cut short.
        enabled: Whether it runs; if not, it is paused.
        cron: As the cluster has it.
    """

    action: str
    name: str
    enabled: bool
    cron: ClusterCron


def apply(client: Any, deployment: Deployment, job: Job) -> Applied:
    """Makes a job's schedule on the cluster what the job says.

    A paused schedule stays paused.

    Raises:
        InputError: The job has no schedule, or one that the cluster cannot keep.
        GraftError: Kubeflow does not answer, or does not take it. Apply again: it goes on from there.
    """
    if job.schedule is None:
        raise InputError(
            f"The job {job.model!r} has no schedule: add one, such as schedule: {{cron: '0 3 * * MON', timezone: "
            "Europe/Berlin}. (graft schedule delete takes one off the cluster.)"
        )
    cron = on_cluster(job.schedule.cron, job.schedule.timezone, deployment.kubeflow.timezone)
    body = _body(client, deployment, job, cron)
    content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    before = _owned(client, deployment, job.model)
    run = _meant_to_run(before)
    target, after = _pick(before, content), before
    if target is None:
        _make(client, deployment, job, body, content, before)
        # Listed anew: somebody else may have applied at the same time.
        after = _owned(client, deployment, job.model)
        target = _pick(after, content)
    if target is None:
        raise NoAnswerError(f"The new schedule of {job.model!r} is gone again: somebody else changes it. Apply again.")
    _settle(client, after, target, run)
    return Applied(_action(before, target, run), target.name, run, cron)


def pause(client: Any, deployment: Deployment, model: str) -> list[str]:
    """Disables a job's schedule until `resume`; returns its name, in a list."""
    owned = _some(client, deployment, model)
    _settle(client, owned, owned[-1], run=False)
    return [owned[-1].name]


def resume(client: Any, deployment: Deployment, model: str) -> list[str]:
    """Enables a job's schedule; returns its name, in a list."""
    owned = _some(client, deployment, model)
    _settle(client, owned, owned[-1], run=True)
    return [owned[-1].name]


def delete(client: Any, deployment: Deployment, model: str) -> list[str]:
    """Takes a job's schedule off the cluster; returns the names of what is gone. Runs that are under way go on."""
    owned = _some(client, deployment, model)
    for recurring in owned:
        _delete(client, recurring)
    return [recurring.name for recurring in owned]


def list_schedules(client: Any, deployment: Deployment) -> list[Recurring]:
    """Returns the schedules in the deployment's namespace that Graft made, by job."""
    listed = every(client.list_recurring_runs, "recurring_runs", namespace=deployment.kubeflow.namespace)
    made = [recurring for item in listed if (recurring := _read(item)) is not None]
    return sorted(made, key=lambda recurring: (recurring.job, recurring.order))


def _owned(client: Any, deployment: Deployment, model: str) -> list[Recurring]:
    """Returns those of a job, the newest last: one, or several where an `apply` was cut short."""
    return [recurring for recurring in list_schedules(client, deployment) if recurring.job == _identity(model)]


def _some(client: Any, deployment: Deployment, model: str) -> list[Recurring]:
    owned = _owned(client, deployment, model)
    if not owned:
        raise InputError(
            f"Graft has made no schedule for {model!r} in the namespace {deployment.kubeflow.namespace!r}: "
            "graft schedule apply makes one, graft schedule list shows them all."
        )
    return owned


def _identity(model: str) -> str:
    digest = hashlib.sha256(model.encode()).hexdigest()[:12]
    return model if len(model) <= _NAME else f"{model[: _NAME - 13]}-{digest}"


def _read(item: Any) -> Recurring | None:
    """Returns a recurring run as Graft made it; None if it did not."""
    found = re.fullmatch(re.escape(_MARK) + r"(\{.*\})", item.description or "")
    try:
        mark = json.loads(found[1]) if found else {}
        job, told = mark["job"], (str(mark["content"]), int(mark["generation"]), bool(mark["paused"]))
    except (ValueError, KeyError, TypeError):
        return None
    if not item.display_name.startswith(f"graft-{job}-"):
        return None
    schedule = item.trigger and item.trigger.cron_schedule
    enabled, created = item.status == _ENABLED, str(item.created_at)
    return Recurring(
        item.recurring_run_id, item.display_name, job, *told, enabled, (schedule and schedule.cron) or "", created
    )


def _body(client: Any, deployment: Deployment, job: Job, cron: ClusterCron) -> dict[str, Any]:
    """Returns what a schedule consists of: the arguments of the client's call that makes it."""
    assert job.schedule is not None
    version = upload(client, deployment, job, job.schedule.pipeline)
    return {
        "experiment_id": experiment_id(client, deployment),
        "cron_expression": cron.cron,
        "max_concurrency": job.schedule.max_concurrency,
        "no_catchup": not job.schedule.catchup,
        "params": job.arguments(job.schedule.pipeline),
        "pipeline_id": version.pipeline_id,
        "version_id": version.version_id,
        "pipeline_root": deployment.pipeline_root,
        "service_account": deployment.kubeflow.service_account,
    }


def _make(
    client: Any, deployment: Deployment, job: Job, body: dict[str, Any], content: str, before: Sequence[Recurring]
) -> None:
    """Makes a recurring run: enabled if it is the job's first, else disabled until it takes over."""
    identity = _identity(job.model)
    mark = {
        "job": identity,
        "content": content,
        "generation": before[-1].generation + 1 if before else 1,
        "paused": not _meant_to_run(before),
    }
    create(
        lambda: client.create_recurring_run(
            job_name=f"graft-{identity}-{content[:8]}",
            description=_MARK + json.dumps(mark, separators=(",", ":")),
            enabled=not before,
            **body,
        ),
        lambda: _pick(_owned(client, deployment, job.model), content),
    )


def _pick(owned: Sequence[Recurring], content: str) -> Recurring | None:
    """Returns the one with a content. Of several (two have applied at once) it is the same for all who look."""
    same = [recurring for recurring in owned if recurring.content == content]
    return min(same, key=lambda recurring: (not recurring.enabled, recurring.created, recurring.id), default=None)


def _meant_to_run(owned: Sequence[Recurring]) -> bool:
    """Returns whether a job's schedule is to be enabled; not if it was paused.

    One alone that is disabled was paused. Several, all disabled, are a replacement that was cut short in between: the
    newest tells what it was made for.
    """
    if not owned or any(recurring.enabled for recurring in owned):
        return True
    return len(owned) > 1 and not owned[-1].paused


def _settle(client: Any, owned: Sequence[Recurring], target: Recurring, run: bool) -> None:
    """Leaves one recurring run of a job, enabled or not; at no time are two enabled."""
    others = [recurring for recurring in owned if recurring.id != target.id]
    for recurring in [*others, *([] if run else [target])]:
        if recurring.enabled:
            _unless_gone(client.disable_recurring_run, recurring)
    if run and not target.enabled:
        client.enable_recurring_run(target.id)
    for recurring in others:
        _delete(client, recurring)


def _delete(client: Any, recurring: Recurring) -> None:
    # ORPHAN: Kubernetes would delete the runs that it has started, too, and those may be under way.
    delete_one = client._recurring_run_api.recurring_run_service_delete_recurring_run
    _unless_gone(lambda id_: delete_one(id_, propagation_policy="ORPHAN"), recurring)


def _unless_gone(act: Any, recurring: Recurring) -> None:
    try:
        act(recurring.id)
    except RefusalError as error:
        if error.status != 404:
            raise


def _action(before: Sequence[Recurring], target: Recurring, run: bool) -> str:
    if not before:
        return "created"
    if target.id not in {recurring.id for recurring in before}:
        return "replaced"
    return "unchanged" if len(before) == 1 and target.enabled == run else "mended"
