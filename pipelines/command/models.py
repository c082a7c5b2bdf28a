"""The verbs of `graft models`: the registry for people."""

import argparse

from rich.console import Console
from rich.table import Table

from components.shared.errors import InputError
from components.shared.gate import REFUSE
from components.shared.registry import promotions, registry, tracking
from components.shared.registry.promotions import Change
from components.shared.registry.promotions.log import DONE, UNDONE, Entry
from components.shared.registry.registry import CHALLENGER, Version
from pipelines.command.scores import score_column


def list_models(arguments: argparse.Namespace) -> None:
    """Lists the models of the registry; score and verdict are those of the champion, if there is one."""
    tracking.use_embedded(arguments.root)
    listed = registry.list_models()
    heading, scores = score_column([(model.task, model.metrics) for model in listed])
    table = Table("model", "versions", "aliases", heading, "verdict", "updated", box=None, header_style="bold")
    for model, score in zip(listed, scores, strict=True):
        aliases = ", ".join(f"{alias} → {version}" for alias, version in sorted(model.aliases.items()))
        table.add_row(model.name, str(model.versions), aliases, score, model.verdict, model.updated[:10])
    Console().print(table if table.row_count else "The registry holds no model yet; graft run registers one.")


def show_model(arguments: argparse.Namespace) -> None:
    """Shows the versions of a model, and how they became champion."""
    tracking.use_embedded(arguments.root)
    console = Console()
    for version in registry.show_model(arguments.model):
        aliases = f" @{' @'.join(version.aliases)}" if version.aliases else ""
        console.print(f"[bold]{version.model} {version.version}[/]{aliases}  {version.created}", highlight=False)
        for name, value in sorted(version.tags.items()):
            console.print(f"  {name:<20} {value}", highlight=False, soft_wrap=True, markup=False)
    changes = promotions.history(arguments.model)
    if changes:
        console.print("[bold]champions[/]")
    for entry in changes:
        console.print(f"  {_line(entry)}", highlight=False, soft_wrap=True, markup=False)


def promote(arguments: argparse.Namespace) -> None:
    """Makes a version champion because a person says so; the one that was becomes `previous`."""
    tracking.use_embedded(arguments.root)
    version, who = _version(arguments.model), promotions.actor()
    champion = promotions.settle(version.model)
    compared = champion if arguments.force else version.tags.get("compared_with", "")
    if version.tags.get("decision") == REFUSE and champion != version.version and not arguments.force:
        raise InputError(
            f"{version.model} {version.version} was refused: {version.tags.get('reasons', '')}\n"
            f"graft models promote {version.model}/{version.version} --force promotes it all the same."
        )
    why = arguments.reason or f"{who} promoted it."
    _tell(Change(version.model, version.version, compared, why, who, promotions.APPROVAL), champion)


def roll_back(arguments: argparse.Namespace) -> None:
    """Makes an earlier version champion again."""
    tracking.use_embedded(arguments.root)
    who = promotions.actor()
    change = promotions.way_back(arguments.model, arguments.to, arguments.reason or f"{who} rolled back.", who)
    _tell(change, change.compared)


def _version(model: str) -> Version:
    """Returns the version that is named: "NAME" is its challenger."""
    bare = not {"@", "/"} & set(model.removeprefix("models:/"))
    name, _, number = (
        registry.resolve(f"{model}@{CHALLENGER}" if bare else model).removeprefix("models:/").rpartition("/")
    )
    return next(version for version in registry.show_model(name) if version.version == number)


def _tell(change: Change, champion: str) -> None:
    """Makes a change and tells it.

    Raises:
        InputError: It was refused.
    """
    outcome = promotions.make(change)
    if outcome.verdict == promotions.REFUSED:
        raise InputError("\n".join(outcome.reasons))
    if outcome.verdict == promotions.ALREADY:
        print(outcome.reasons[0])
        return
    before = f"; it was {champion}, which is previous now" if champion else ""
    print(f"champion  {change.name} {change.version}{before}")


def _line(entry: Entry) -> str:
    """Returns an entry of the history as one line: when, who, from, to, why."""
    change = f"{entry.before or 'none'} → {entry.after or 'none'}"
    if entry.kind == promotions.BY_HAND:
        return f"{'?':<20}  {change}  by hand, in MLflow"
    state = {DONE: entry.kind, UNDONE: f"{entry.kind} undone"}.get(entry.state, "unfinished")
    return f"{entry.when}  {change}  {state} by {entry.who}: {entry.why}"
