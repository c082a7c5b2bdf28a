"""`graft profile`: what is in the data, before anything is trained on it, as a page of a terminal."""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.shared import tasks
from components.shared.profile.profile import profile
from components.shared.profile.ruler import ruler_of
from components.shared.profile.table import task_of
from components.shared.sources.listing import sources_of
from components.shared.sources.source import SourceSettings
from pipelines.jobs.job import Job, load_job

_BAR = 28  # characters
_CLASSES = 20  # that are drawn
_SHOWN_CLASSES = 8
_COLUMNS = 40  # that are shown
_MODES = {"L": "grey", "1": "black and white", "P": "palette", "LA": "grey with alpha", "RGBA": "RGB with alpha"}


def tell(arguments: argparse.Namespace) -> None:
    """Looks at data and tells what it found."""
    job = load_job(Path(arguments.source)) if arguments.source.endswith((".yaml", ".yml")) else None
    backbone = arguments.backbone or (job.backbone if job else "")
    max_length = job.training.max_length if job else 0
    with busy(Console(file=sys.stderr)):
        settings = settings_of(job, arguments)
        found = profile(settings, ruler_of(backbone, max_length), arguments.rows)
        args = tasks.get(settings.task, settings.task_args).target.args_for(found) if job is None else {}
        if args:
            settings = dataclasses.replace(settings, task_args={**settings.task_args, **args})
            found = profile(settings, ruler_of(backbone, max_length), arguments.rows)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    draw(found, Console())


def settings_of(job: Job | None, arguments: argparse.Namespace) -> SourceSettings:
    """Returns how data is read: as a job says, or as the command does."""
    if job is not None:
        known = SourceSettings.__dataclass_fields__
        fields = {name: value for name, value in job.data.model_dump().items() if name in known}
        return SourceSettings(**fields, task=job.task, task_args=job.task_args)
    settings = SourceSettings(arguments.source, arguments.inputs, arguments.label)
    return SourceSettings(arguments.source, arguments.inputs, arguments.label, arguments.task or task_of(settings))


def draw(found: Mapping[str, Any], console: Console) -> None:
    """Prints a profile."""
    _head(found, console)
    _classes(found, console)
    if "lengths" in found:
        _lengths(found, console)
    if "pictures" in found:
        _pictures(found["pictures"], console)
    _columns(found, console)
    _examples(found, console)
    _again(found, console)
    _warnings(found, console)


@contextlib.contextmanager
def busy(console: Console) -> Iterator[None]:
    """Shows people at a terminal that something is going on."""
    if console.is_terminal:
        with console.status("looking at the data"):
            yield
    else:
        yield


def _title(text: str, note: str = "") -> Text:
    return Text.assemble("\n", (text, "bold"), (f"  {note}" if note else "", "dim"))


def _head(found: Mapping[str, Any], console: Console) -> None:
    total = sum(found["splits"].values())
    size = (
        f", {found['files']:,} file{'s' if found['files'] != 1 else ''}, {_size(found['bytes'])}"
        if found["files"]
        else ""
    )
    line = Text.assemble((found["source"], "bold"), (f"  {found['task']}{size}", "dim"))
    console.print(line, soft_wrap=True)
    looked = f"of {found['read']:,} rows" if found["whole"] else f"· {found['read']:,} rows were looked at"
    words = f"input {' and '.join(found['inputs'])} · label {found['label']} · {total:,} examples {looked}"
    console.print(words, highlight=False, markup=False, soft_wrap=True)
    if not found["whole"]:
        console.print("(a part of each file, by its size; --rows looks at more)", style="dim", highlight=False)
    given = {split: count for split, count in found["splits"].items() if split}
    if given:
        told = " · ".join(f"{split} {count:,}" for split, count in given.items())
        console.print(f"given splits: {told}", highlight=False)
    else:
        console.print("no given splits: a test and a validation split will be taken out", highlight=False)


def _classes(found: Mapping[str, Any], console: Console) -> None:
    classes = [(label, sum(counts.values())) for label, counts in found["classes"]]
    shown = classes if len(classes) <= _CLASSES else [*classes[: _CLASSES - 5], *classes[-5:]]
    kind, kinds = tasks.get(found["task"], found["task_args"]).target.kinds
    if numbers := found.get("numbers"):
        _numbers(numbers, console)
    if not kind:
        return
    console.print(_title(f"{found['class_count']:,} {kinds}"))
    most, total = max((count for _, count in classes), default=1), sum(found["splits"].values()) or 1
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for number, (label, count) in enumerate(shown):
        if len(shown) < len(classes) and number == _CLASSES - 5:
            table.add_row(Text(f"… {found['class_count'] - len(shown):,} more", "dim"))
        table.add_row(_shorten(label, 32), f"{count:,}", Text(f"{count / total:.1%}", "dim"), _bar(count / most))
    table.columns[1].justify = table.columns[2].justify = "right"
    console.print(table)


def _numbers(told: Mapping[str, Any], console: Console) -> None:
    console.print(_title("Numbers", f"{told['different']:,} different ones in the sample"))
    if told["different"]:
        quartiles = " · ".join(f"{told[name]:.6g}" for name in ("first_quartile", "median", "third_quartile"))
        words = f"from {told['low']:.6g} to {told['high']:.6g} · quartiles {quartiles} · mean {told['mean']:.6g}"
        console.print(f"{words}, deviation {told['deviation']:.4g}", highlight=False)


def _bar(share: float) -> Text:
    eighths = max(1, round(share * _BAR * 8))
    return Text("█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8], "blue")


def _lengths(found: Mapping[str, Any], console: Console) -> None:
    told = found["lengths"]
    how = f"counted by {told['source']}" if told["source"] else "estimated: 1.3 for each word"
    console.print(_title("Lengths in tokens", f"{how}, of {told['examples']:,} examples"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    most, low = max((count for _, count in told["bins"]), default=1), 0
    for high, count in told["bins"]:
        name = f"{low + 1}–{high}" if high else f"over {low}"
        if count:
            table.add_row(name, f"{count:,}", _bar(count / most))
        low = high
    table.columns[0].justify = table.columns[1].justify = "right" if table.columns else "left"
    console.print(table)
    cut = (
        f"{told['cut']:.1%} longer than {told['max_length']}, which would be cut"
        if told["cut"]
        else f"none longer than {told['max_length']}"
    )
    console.print(
        f"median {told['median']:,} · 95% up to {told['p95']:,} · longest {told['max']:,} · {cut}", highlight=False
    )
    scripts = ", ".join(f"{name} {share:.0%}" for name, share in found["scripts"].items() if share >= 0.005)
    console.print(f"script {scripts}", highlight=False)


def _pictures(told: Mapping[str, Any], console: Console) -> None:
    console.print(_title("Pictures", f"{told['examples']:,} looked at"))
    side = told["short_side"]
    shorter = f"shorter side {side['min']} to {side['max']} pixels, median {side['median']}"
    common = ", ".join(f"{size} ({count:,})" for size, count in list(told["sizes"].items())[:3])
    console.print(f"{shorter} · {told['different_sizes']:,} sizes: {common}", highlight=False, soft_wrap=True)
    modes = ", ".join(f"{_MODES.get(mode, mode)} {count:,}" for mode, count in told["modes"].items())
    formats = ", ".join(f"{name} {count:,}" for name, count in told["formats"].items())
    console.print(f"{modes} · {formats}", highlight=False)


def _columns(found: Mapping[str, Any], console: Console) -> None:
    if not found["columns"]:
        return
    console.print(_title("Columns", f"{found['columns'][0]['rows']:,} rows looked at"))
    table = Table("", "kind", "different", "missing", "such as", box=None, header_style="dim", padding=(0, 2, 0, 0))
    odd = {one["column"]: one["what"] for one in found["odd"]}
    labels = sources_of(found["label"])
    roles = {*found["inputs"], *labels}
    shown = [c for n, c in enumerate(found["columns"]) if n < _COLUMNS or c["name"] in roles]
    for column in shown:
        name = column["name"]
        role = "input" if name in found["inputs"] else "label" if name in labels else ""
        missing = f"{column['missing']:,}" if column["missing"] else ""
        values = Text(", ".join(column["examples"]), no_wrap=True, overflow="ellipsis")
        marked = Text.assemble((_shorten(name, 24), "bold" if role else ""), (f" {role}" if role else "", "green"))
        table.add_row(marked, column["kind"], f"{column['distinct']:,}", missing, values)
        if name in odd:
            table.add_row("", "", "", "", Text(f"↑ {odd[name]}", "yellow", no_wrap=True, overflow="ellipsis"))
    if len(shown) < len(found["columns"]):
        table.add_row(Text(f"… {len(found['columns']) - len(shown):,} more", "dim"))
    for number in (2, 3):
        table.columns[number].justify = "right"
    console.print(table)


def _examples(found: Mapping[str, Any], console: Console) -> None:
    shown = list(found["examples"].items())[:_SHOWN_CLASSES]
    if not shown:
        return
    kinds = tasks.get(found["task"], found["task_args"]).target.kinds[1]
    note = f"of the {len(shown)} largest {kinds}" if len(shown) < found["class_count"] else ""
    console.print(_title("Examples", note))
    for label, texts in shown:
        console.print(Text(_shorten(label, 60), "bold"))
        for text in texts:
            console.print(Text(f"  {text}"), no_wrap=True, overflow="ellipsis")


def _again(found: Mapping[str, Any], console: Console) -> None:
    told = found["duplicates"]
    names = {
        "exact": "exact duplicates",
        "contradictions": "with another label",
        "leaks": "in another split, too",
        "near": "alike but for case, digits and punctuation",
        "near_leaks": "alike, in another split",
    }
    parts = [f"{told[name]:,} {words}" for name, words in names.items() if told[name]]
    console.print(_title("More than once"))
    console.print(" · ".join(parts) if parts else "nothing", highlight=False, soft_wrap=True)


def _warnings(found: Mapping[str, Any], console: Console) -> None:
    warnings = found["warnings"]
    console.print(_title("What to look at" if warnings else "Nothing to mend was found"))
    for warning in warnings:
        color = "red" if warning["level"] == "problem" else "yellow"
        console.print(Text.assemble(("● ", color), warning["what"]), soft_wrap=True)
        console.print(Text.assemble("  → ", (warning["mend"], "cyan")), soft_wrap=True)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _size(count: int) -> str:
    power = 0
    while count >= 1000 * 1024**power and power < 4:
        power += 1
    return f"{count / 1024**power:,.{0 if power == 0 else 1}f} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
