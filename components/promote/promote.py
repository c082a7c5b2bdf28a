"""A version that evaluation found better into the champion; a refusal is an outcome, not a failure."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.artifacts.artifact import Artifact, open_artifact, write_artifact
from components.shared.errors import InputError
from components.shared.gate import AWAIT_APPROVAL, NOTE, PROMOTE, REFUSE
from components.shared.process.step import Progress, option, required
from components.shared.registry import promotions, records, tracking
from components.shared.registry.promotions import Change, Outcome
from components.shared.registry.promotions.champion import holder
from components.shared.registry.records import PipelineRun
from components.shared.registry.registry import CHAMPION, PREVIOUS, check_name, find_model


@dataclass(frozen=True)
class PromoteSettings:
    """Settings of `promote`."""

    name: str = required("the model's name in the registry")
    pipeline_run: str = option("", "the run of the pipeline, which is told as who promoted; empty: the user")


@dataclass(frozen=True)
class PromoteReport:
    """What `promote` did.

    Attributes:
        digest: Of the artifact that tells it.
        model: The registered model.
        version: The version that was to become champion.
        promoted: Whether this call made it champion.
        verdict: "promoted", "refused", "awaits approval" or "already champion".
        reasons: Why, in sentences.
        aliases: The version of each alias, afterwards.
        champion: The version that is champion afterwards, "" for none.
        previous: The version that was champion before that one, "" for none.
    """

    digest: str
    model: str
    version: str
    promoted: bool
    verdict: str
    reasons: list[str]
    aliases: dict[str, str]
    champion: str
    previous: str


def promote(version: Path, evaluation: Path, promotion: Path, settings: PromoteSettings) -> PromoteReport:
    """Makes a version champion, if evaluation decided so, and the champion is still the one that it was compared with.

    It can be run again: then the version is champion already. The artifact holds `promotion.json`.

    Args:
        version: The folder of the version to read.
        evaluation: The folder of its evaluation to read.
        promotion: The folder to write.
        settings: The model's name in the registry.

    Raises:
        InputError: The evaluation is of another version or tells no decision, or there is no such version.
        ServiceError: MLflow did not answer, or the disk is full.
    """
    check_name(settings.name)
    registered, scores = open_artifact(version, "version"), open_artifact(evaluation, "evaluation")
    decision, told = _check(registered, scores, settings.name), registered.read_json("version.json")
    stored, lineage = dataclasses.asdict(settings), {**scores.lineage(), **registered.lineage()}
    with write_artifact(promotion, "promotion", stored, lineage) as draft:
        outcome = _act(told["version"], decision, settings)
        found = {"model": settings.name, "version": told["version"], **_told(outcome, settings.name)}
        draft.write_json("promotion.json", found)
    told = {**found, "reasons": " ".join(found["reasons"]), "before": decision["champion"]}
    records.leave(PipelineRun(settings.name, settings.pipeline_run), "promote", told)
    return PromoteReport(digest=draft.digest, **found)


def _check(version: Artifact, evaluation: Artifact, name: str) -> dict[str, Any]:
    """Returns the decision; raises where the artifacts do not belong together."""
    found = version.inputs.get("evaluation", "none")
    if found != evaluation.digest:
        raise InputError(
            f"The version at {version.path} was registered with another evaluation (digest {found[:12]}) than the one "
            f"at {evaluation.path} ({evaluation.digest[:12]}). Register it with this evaluation."
        )
    model = version.read_json("version.json")["model"]
    if model != name:
        raise InputError(f"The version at {version.path} is one of {model!r}; one of {name!r} was expected.")
    if NOTE not in evaluation.files:
        raise InputError(
            f"The evaluation at {evaluation.path} tells no decision ({NOTE} is missing): an older graft made it. "
            "Run evaluate and register again."
        )
    decision: dict[str, Any] = evaluation.read_json(NOTE)
    return decision


def _act(version: str, decision: dict[str, Any], settings: PromoteSettings) -> Outcome:
    """Does what others see; it can be done again."""
    progress, name, reasons = Progress("promote", 1), settings.name, tuple(decision["reasons"])
    if decision["verdict"] == PROMOTE:
        who = promotions.actor(settings.pipeline_run)
        outcome = promotions.make(Change(name, version, decision["champion"], " ".join(reasons), who))
        if outcome.verdict == promotions.PROMOTED:
            outcome = Outcome(outcome.verdict, reasons)
    elif promotions.settle(name) == version:
        outcome = Outcome(promotions.ALREADY, (f"Version {version} is champion already.",))
    else:
        verdicts = {REFUSE: promotions.REFUSED, AWAIT_APPROVAL: promotions.AWAITS}
        outcome = Outcome(verdicts[decision["verdict"]], reasons)
    for reason in outcome.reasons:
        progress.line(reason)
    progress.update(1, f"{name} version {version}: {outcome.verdict}")
    return outcome


def _told(outcome: Outcome, name: str) -> dict[str, Any]:
    client = tracking.client()
    with tracking.explained(f"reading the aliases of {name!r}"):
        holders = {alias: holder(client, name, alias) for alias in sorted(find_model(client, name).aliases)}
    aliases = {alias: str(found.version) for alias, found in holders.items() if found}
    return {
        "promoted": outcome.verdict == promotions.PROMOTED,
        "verdict": outcome.verdict,
        "reasons": list(outcome.reasons),
        "aliases": aliases,
        "champion": aliases.get(CHAMPION, ""),
        "previous": aliases.get(PREVIOUS, ""),
    }
