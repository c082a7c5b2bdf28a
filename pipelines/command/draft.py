"""`graft init`: a job file for some data, that runs as it stands, with the reasons in its comments."""

import argparse
import dataclasses
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.profile.profile import profile
from components.shared.profile.ruler import ruler_of
from components.shared.registry.registry import check_name
from components.shared.sources.labels import LabelReader, check_classes
from components.shared.sources.listing import sources_of
from components.shared.tasks import Target
from components.shared.tasks.strata import NONE
from pipelines.command.available import Choice, choose
from pipelines.command.profile import busy, settings_of
from pipelines.jobs.job import Data, load_job

_WIDTH = 110  # of a comment
_COLUMN = 44  # where comments beside a field begin
_HEADROOM = 1.2  # of the rejects that are there today


def init(arguments: argparse.Namespace) -> None:
    """Looks at data, writes the job file, and tells what comes next.

    Raises:
        InputError: The file is there already, or the data cannot be trained on as it is.
    """
    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise InputError(f"{output} exists already, and is left as it is. Name another file with -o, or use --force.")
    with busy(Console(file=sys.stderr)):
        settings = settings_of(None, arguments)
        found = profile(settings)
        if args := _target(found).args_for(found):
            settings = dataclasses.replace(settings, task_args={**settings.task_args, **args})
            found = profile(settings)
        _refuse(found)
        backbone = choose(found["task"], found.get("scripts", {}), arguments.root)
        if "lengths" in found:  # once more, with the tokenizer that the job will use
            found = profile(settings, ruler_of(backbone.name))
    text = draft(found, backbone, arguments.name or name_of(arguments.source), output)
    _check(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, "utf-8")
    _tell(found, backbone, output)


def draft(found: Mapping[str, Any], backbone: Choice, name: str, output: Path) -> str:
    """Returns the job file for a profile.

    Args:
        found: The profile.
        backbone: What the job starts from.
        name: Of the model.
        output: What the file will be called.
    """
    total = sum(found["splits"].values())
    lines = [
        f"# Made by graft init: {total:,} examples of {_kinds(found)} in {_printable(found['source'])}.",
        "#",
        f"#   graft run {output}",
        "#",
        *_notes(found),
        _field("model", name, "its name in the registry"),
        _field("task", found["task"], _task_reason(found)),
        *(
            [_field("task_args", found["task_args"], "what the data ask for: docs/tasks.md")]
            if found["task_args"]
            else []
        ),
        "data:",
        *_data(found),
        *_beside(_field("backbone", backbone.name, ""), backbone.why),
        "# strategy:                                 what of the backbone learns: probe, partial, full, lora, …",
        *_training(found),
    ]
    for metric in tasks.get(found["task"]).metrics:
        if any(f"{{metric: {metric.name}}}" in warning["mend"] for warning in found["warnings"]):
            why = "classes differ much in size: each counts the same"
            lines.append(_field("promotion", {"metric": metric.name}, why))
    return "\n".join(lines) + "\n"


def name_of(source: str) -> str:
    """Returns a name for a model of a source's data: the last part of its path that tells something."""
    parts = [part for part in re.split(r"[/\\:]+", source) if part not in ("", ".", "..", "data", "s3", "hf")]
    stem = (parts or ["model"])[-1]
    while "." in stem[1:]:
        stem = stem.rpartition(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_").lower()
    if name in ("train", "test", "all") and len(parts) > 1:
        return name_of("/".join(parts[:-1]))
    try:
        check_name(name)
    except InputError:
        return "model"
    return name


def _field(name: str, value: Any, comment: str, indent: int = 0) -> str:
    written = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("...\n")
    line = f"{' ' * indent}{name}: {written.strip()}"
    return f"{line:<{_COLUMN}} # {_printable(comment)}".rstrip() if comment else line


def _printable(text: str) -> str:
    """Returns a text that can stand in a comment, whatever the data holds: one line of what can be seen."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _beside(line: str, comment: str) -> list[str]:
    """Returns a field with a long comment: above it."""
    return [*(f"# {part}" for part in textwrap.wrap(f"{comment[:1].upper()}{comment[1:]}.", _WIDTH)), line]


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields what should be looked at before the figures are trusted."""
    if not found["warnings"]:
        return
    yield "# To look at (graft profile shows more):"
    for warning in found["warnings"]:
        for number, line in enumerate(
            textwrap.wrap(_printable(f"{warning['what']} Mend: {warning['mend']}."), _WIDTH - 4)
        ):
            yield f"#   {'  ' if number else '- '}{line}"
    yield "#"


def _task_reason(found: Mapping[str, Any]) -> str:
    what = "a picture" if "pictures" in found else "a pair of texts" if len(found["inputs"]) == 2 else "a text"
    return f"{what} {_target(found).answers.format(count=f'{_names(found):,}')}"


def _target(found: Mapping[str, Any]) -> Target:
    return tasks.get(found["task"], found["task_args"]).target


def _names(found: Mapping[str, Any]) -> int:
    """Returns how many classes, labels, types were found; that there is none is no name."""
    return int(found["class_count"]) - any(name == NONE for name, _ in found["classes"])


def _kinds(found: Mapping[str, Any]) -> str:
    """Returns what answers are: "3 classes", "numbers from 0 to 5"."""
    kind, kinds = _target(found).kinds
    if numbers := found.get("numbers"):
        return f"{kinds} from {numbers['low']:g} to {numbers['high']:g}"
    return f"{_names(found):,} {kind if _names(found) == 1 else kinds}" if kind else kinds


def _data(found: Mapping[str, Any]) -> Iterator[str]:
    columns = {column["name"]: column for column in found["columns"]}
    total = sum(found["splits"].values())
    yield _field("source", found["source"], "", 2)
    yield _field("inputs", found["inputs"], _reason(found["inputs"], columns), 2)
    classes = ", ".join(label for label, _ in found["classes"][:4])
    more = ", …" if found["class_count"] > 4 else ""
    labels = sources_of(found["label"])
    shown = f"{' '.join(classes.split())[:60]}{more}" if classes else _reason(labels, columns)
    yield _field("label", labels[0] if len(labels) == 1 else labels, shown, 2)
    given = {split: count for split, count in found["splits"].items() if split}
    if given:
        counts = ", ".join(f"{split} {count:,}" for split, count in given.items())
        yield f"  # Splits are given by the files' names ({counts}), and kept."
    for split in ("validation", "test"):
        if split not in given:
            part = _fraction(total)
            yield _field(f"{split}_fraction", part, f"about {round(part * total):,} examples", 2)
    yield from _allowances(found)


def _fraction(total: int) -> float:
    """Returns which part of the examples is to be the test: of few ones a larger part."""
    return 0.1 if total >= 1000 else 0.15 if total >= 400 else 0.2


def _reason(inputs: list[str], columns: Mapping[str, Mapping[str, Any]]) -> str:
    shown = [columns[name]["examples"][0] for name in inputs if name in columns and columns[name]["examples"]]
    return f"such as {' and '.join(shown)}" if shown else ""


def _allowances(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields what lets the run begin with the data as it is: rows that cannot be used, labels, rare classes."""
    faults = {kind: count for kind, (count, _) in found["faults"].items()}
    if unlabelled := faults.pop("missing label", 0):
        other = f" ({target.if_empty})" if (target := _target(found)).if_empty else ""
        yield _field("unlabelled", "hold", f"{unlabelled:,} rows have no label: set aside, and no faults{other}", 2)
    unused = sum(faults.values())
    again = found["duplicates"]
    unused += 2 * again["contradictions"] + again["leaks"]
    if unused > Data.model_fields["max_rejects"].default * found["read"]:
        share = min(1.0, round(_HEADROOM * unused / found["read"] + 0.005, 2))
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in faults.items())
        yield _field(
            "max_rejects", share, f"{unused:,} of {found['read']:,} rows cannot be used: {kinds or 'see above'}", 2
        )
    asked = " ".join(warning["mend"] for warning in found["warnings"])
    if "data.normalize_labels" in asked and "normalize_labels" in Data.model_fields:
        yield _field("normalize_labels", True, "labels that differ in case or blanks are one", 2)
    if "data.rare_classes" in asked and "rare_classes" in Data.model_fields:
        yield _field("rare_classes", "drop", "classes with too few examples to learn from are left out", 2)


def _training(found: Mapping[str, Any]) -> Iterator[str]:
    told = found.get("lengths")
    if told:
        cut = f"{told['cut']:.1%} of the texts are longer" if told["cut"] else f"the longest has {told['max']:,}"
        yield f"# training: {{max_length: {told['max_length']}}}              tokens, the default here: {cut}"


def _refuse(found: Mapping[str, Any]) -> None:
    """Refuses what no task fits, or a run would refuse, with what was found."""
    target = _target(found)
    if why := target.why_unlearnable(found):
        raise InputError(
            f"{found['source']} cannot be trained on: its label column {found['label']!r} {why}. graft profile shows "
            "the columns; --label names another."
            + (" --label answer takes what Prodigy's annotators accepted and rejected." if _has_answers(found) else "")
        )
    if target.named:
        counts = {label: sum(by_split.values()) for label, by_split in found["classes"] if label != NONE}
        reader = LabelReader(found["label"], found["task"], normalize=True)
        check_classes(counts, found["read"], reader, several=not target.exclusive)


def _has_answers(found: Mapping[str, Any]) -> bool:
    return any(column["name"] == "answer" for column in found["columns"])


def _check(text: str) -> None:
    """Reads the file as `graft run` will: what this command writes is a job."""
    with tempfile.TemporaryDirectory(prefix="graft-init-") as folder:
        path = Path(folder) / "job.yaml"
        path.write_text(text, "utf-8")
        load_job(path)


def _tell(found: Mapping[str, Any], backbone: Choice, output: Path) -> None:
    console = Console()
    total = sum(found["splits"].values())
    columns = f"{' and '.join(found['inputs'])} into {_kinds(found)} ({found['label']})"
    told = f"{found['task']} of {columns}, {total:,} examples"
    console.print(f"wrote {output}: {told}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"backbone {backbone.name}: {backbone.why}", highlight=False, markup=False, soft_wrap=True)
    for warning in found["warnings"]:
        console.print(f"- {warning['what']} → {warning['mend']}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"next: graft run {output}", highlight=False, markup=False, soft_wrap=True)
