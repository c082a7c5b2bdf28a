"""The page of an evaluation: one self-contained HTML file, the verdict first. It asks the network for nothing."""

import csv
import functools
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

from components.evaluate.comparison import ranked
from components.evaluate.examples import has_pictures
from components.evaluate.members import rows_of
from components.evaluate.page import figures
from components.evaluate.page.marks import pieces_of
from components.evaluate.page.pictures import example_grid, pictures_of
from components.evaluate.page.profile import profile_of
from components.evaluate.page.promotion import Promotion, changes, promotion
from components.evaluate.page.search import chosen_by, cost, search, words
from components.evaluate.predictions import Predictions, Shown
from components.evaluate.sources import Sources
from components.evaluate.transfer import p_value_of
from components.shared.artifacts.artifact import Artifact, git_commit
from components.shared.artifacts.snapshot import SPLITS
from components.shared.charts import interval
from components.shared.gate import WORDS_SUFFICE
from components.shared.statistics import Metric
from components.shared.tasks import Task, metric_of
from components.shared.tasks.scoring import Part, Section
from components.shared.tasks.task import Composite

DATA_CLASSES = 30
TEXT_CHARACTERS = 500
_SAID_CHARACTERS, _PART_CHARACTERS = 80, 40
REJECTED_ROWS = 10
_FEW_EXAMPLES = 200  # below this many, the page warns that figures are rough

HEADLINES = {
    "better": "Better than every baseline",
    "worse": "Worse than {name}: don’t use this model",
    "not shown": "No gain shown over {name}",
    "the backbone adds nothing": "The backbone adds nothing here: the {alone} alone are as good",
    "nothing was learned": "Nothing was learned: don’t use this model",
}
_ALONE = "The {alone} alone: as good as any baseline"
"""Where no backbone was tried beside them."""

TONES = {
    "better": "better",
    "worse": "worse",
    "not shown": "open",
    "the backbone adds nothing": "better",
    "nothing was learned": "worse",
}


def write_page(
    file: Path,
    title: str,
    sources: Sources,
    task: Task,
    content: Mapping[str, Any],
    predictions: Predictions,
    timing: Mapping[str, Any],
    settings: Mapping[str, Any],
    decided: Promotion | None = None,
) -> None:
    """Writes the page.

    Args:
        file: The HTML file.
        title: What the model is called.
        sources: What was evaluated.
        task: What was learned.
        content: What `evaluation.json` holds.
        predictions: The model's, with its worst mistakes.
        timing: How long prediction took, and on what.
        settings: Of the evaluation.
        decided: Whether the model is to become champion, where there is one to become.
    """
    folds, counts = "folds" in content["measured"], sources.snapshot.read_json("snapshot.json")["classes"]["train"]
    page = _environment(task).get_template("report.html.j2")
    context = {
        "title": title,
        "date": datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
        "headline": _headline(content),
        "members": rows_of(content, task),
        "tone": TONES[content["verdict"]],
        "metric_name": _metric(task, content).heading,
        "metric": _metric(task, content),
        "primary": task.metrics[0],
        "kind": task.target.kinds[0],
        "kinds": task.target.kinds[1],
        "columns": _columns(task),
        "directions": _directions(_columns(task)),
        "evaluation": content,
        "promotion": decided and promotion(decided, content, timing, sources.model.digest),
        "changes": changes(content["changes"]),
        "measured": {"folds": 0, "examples": 0, "reason": "", **content["measured"]},
        "scored": "examples" if folds else "test examples",
        "few": content["difference"]["examples"] < _FEW_EXAMPLES,
        "rivals": _rivals(content, timing, sources.model, task),
        "search": search(sources.model, task),
        "carried": words(sources.model, task.metrics[0], task.part[0]),
        **_figures(sources.model, content, timing, task),
        "examples": example_grid(sources.snapshot) if has_pictures(sources.snapshot) and task.target.exclusive else [],
        "sections": _grouped(task.scoring.sections(content, folds)),
        "inputs": sources.snapshot.read_json("snapshot.json")["inputs"],
        "mistakes": _mistakes(predictions, task, folds),
        "data": _data(sources.snapshot),
        "unevenness": task.scoring.unevenness(counts, chosen_by(sources.model)),
        "profile": profile_of(sources),
        "timing": timing,
        "settings": _settings(sources, settings),
        "lineage": _lineage(sources),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.render(context), "utf-8")


def _headline(content: Mapping[str, Any]) -> str:
    untried = content["verdict"] == WORDS_SUFFICE and not content.get("backbone_tried", True)
    headline = _ALONE if untried else HEADLINES[content["verdict"]]
    return headline.format(name=content["best_baseline"], alone=content["alone"])


def _figures(model: Artifact, content: Mapping[str, Any], timing: Mapping[str, Any], task: Task) -> dict[str, Any]:
    return {
        "strip": interval(*(content["difference"][name] for name in ("low", "value", "high"))),
        "transfer": figures.transfer(content, timing.get("arms", {}), task.metrics[0]),
        "learning_curve": figures.learning_curve(content, task.metrics[0]),
        "training": figures.training(model, task),
    }


def _metric(task: Task, content: Mapping[str, Any]) -> Metric:
    return metric_of(task, content["difference"]["metric"])


def _columns(task: Task) -> list[dict[str, Any]]:
    """Returns the metrics of a table: those with a heading, of which what decides is drawn where it has bounds."""
    return [
        {
            "name": metric.name,
            "heading": metric.heading,
            "title": metric.title,
            "unit": metric.unit,
            "direction": metric.direction,
            "bar": metric.decides and metric.bounds == (0.0, 1.0),
        }
        for metric in task.metrics
        if metric.heading
    ]


def _directions(columns: Sequence[Mapping[str, Any]]) -> str:
    """Returns which way is better, as a sentence."""
    told: list[str] = []
    for word, sign in (("higher", 1), ("lower", -1)):
        names = [f"{c['title']} ({c['unit']})" if c["unit"] else c["title"] for c in columns if c["direction"] == sign]
        if names:
            told.append(f"{word}{'' if told else ' is better'} for {_listed(names)}")
    sentence = ", ".join(told)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _grouped(sections: Sequence[Section]) -> list[list[dict[str, Any]]]:
    """Returns the task's sections, those that stand beside one another together."""
    groups: list[list[dict[str, Any]]] = []
    for section, before in zip(sections, (None, *sections), strict=False):
        told = {"template": f"task/{section.template}", "context": section.context}
        if section.beside and before is not None and before.beside:
            groups[-1].append(told)
        else:
            groups.append([told])
    return groups


def _mistakes(predictions: Predictions, task: Task, folds: bool) -> dict[str, Any]:
    """Returns the worst mistakes, with what is said of them."""
    title, some, none = task.scoring.mistakes
    wrong, total = int((~np.isnan(task.scoring.worst(predictions.statistics))).sum()), len(predictions.statistics)
    one = "example" if folds else "test example"
    said = {"wrong": wrong, "all": total, "what": f"{one}s", "one": one, "shown": len(predictions.mistakes)}
    rows = [_mistake(shown) for shown in predictions.mistakes]
    return {"title": title, "note": (some if rows else none).format(**said), "rows": rows}


def _environment(task: Task) -> Environment:
    whole = [task, *(part.task for part in (task.members if isinstance(task, Composite) else ()))]
    # A task may build on another's sections.
    kinds = [kind for one in whole for kind in type(one).__mro__ if hasattr(kind, "package")]
    return _environment_of(tuple(dict.fromkeys(Path(inspect.getfile(kind)).parent for kind in kinds)))


@functools.cache
def _environment_of(folders: tuple[Path, ...]) -> Environment:
    """Returns where sections come from: it keeps those that it has compiled, which takes longer than to fill them."""
    here, theirs = FileSystemLoader(Path(__file__).parent), FileSystemLoader(folders)
    environment = Environment(
        loader=ChoiceLoader([here, PrefixLoader({"task": theirs})]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": _number, "signed": _signed, "short": _short, "tick": _tick}
    environment.filters |= {"p_value": p_value_of, "size": _size, "duration": _duration}
    environment.filters |= {"thousands": _thousands, "span": _span}
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 3) -> str:
    written = f"{value:+.{digits}f}"
    return written.replace("-", "−") if float(written) else written[1:]


def _tick(value: float) -> str:
    return f"{value:g}".replace("e-0", "e-").replace("-", "−")


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else _tick(value)


def _size(count: float) -> str:
    power = min(int(math.log10(max(count, 1)) // 3), 3)
    scaled = count / 1000**power
    return f"{scaled:,.{0 if power == 0 or scaled >= 100 else 1}f} {('bytes', 'kB', 'MB', 'GB')[power]}"


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.2f} s"
    return f"{1000 * seconds:.{0 if seconds >= 0.1 else 1}f} ms"


def _span(seconds: float) -> str:
    """Returns a length of time as one would say it: 0.4 s, 12 s, 3 min 20 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s" if minutes else f"{rest} s"


def _short(text: object, characters: int) -> str:
    whole = str(text)
    return whole if len(whole) <= characters else whole[: characters - 1].rstrip() + "…"


def _rivals(content: Mapping[str, Any], timing: Mapping[str, Any], model: Artifact, task: Task) -> list[dict[str, Any]]:
    """Returns the rows of the first table: the model, then the baselines, best first, with what each takes."""
    metric, told = _metric(task, content), content["baselines_told"]
    baselines = sorted(content["baselines"].items(), key=lambda item: -ranked(metric, item[1]))
    rows = [{"name": "This model", "what": "", "model": True, **content["metrics"], **cost(model)}]
    for name, metrics in baselines:
        row = {"name": name, "what": _what(told.get(name, {}), content), "model": False, **metrics}
        seconds = timing.get("baselines", {}).get(name)
        rows.append({**row, "seconds": seconds, "bytes": told.get(name, {}).get("bytes")})
    return rows


def _what(told: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """Returns what a baseline is, and how many examples it learned from where these were not all."""
    examples, what = told.get("examples"), str(told.get("what", ""))
    if not what or not examples or examples >= content["baselines_train_examples"]:
        return what
    return f"{what}; from the first {examples:,} training examples"


def _mistake(shown: Shown) -> dict[str, Any]:
    """Returns a mistake with its texts and its pictures apart."""
    marks = shown.mistake.marks
    texts = [
        pieces_of(value, [(part, kind) for place, part, kind in marks if place == number], TEXT_CHARACTERS)
        for number, value in enumerate(shown.inputs)
        if isinstance(value, str)
    ]
    pictures = pictures_of(shown.inputs, f"{shown.id}: {shown.mistake.title}")
    said = [(word, _said(value, shown.inputs)) for word, value in shown.mistake.said]
    return {"badge": shown.mistake.badge, "said": said, "texts": texts, "pictures": pictures}


def _said(value: str | Sequence[Part], inputs: Sequence[Any]) -> str:
    """Returns parts of texts by what they say."""
    if isinstance(value, str):
        return _short(value, _SAID_CHARACTERS)
    texts = ((part.name, str(inputs[part.input])[part.start : part.end]) for part in value)
    told = [f"{name} “{_short(' '.join(text.split()), _PART_CHARACTERS)}”" for name, text in texts]
    return _short(", ".join(told), 3 * _SAID_CHARACTERS) or "nothing"


def _data(snapshot: Artifact) -> dict[str, Any]:
    """Returns what the snapshot holds, and what was left out of it."""
    told = snapshot.read_json("snapshot.json")
    counts = {label: {split: told["classes"][split].get(label, 0) for split in SPLITS} for label in told["labels"]}
    largest = sorted(counts, key=lambda label: -sum(counts[label].values()))
    notes = snapshot.read_json("notes/counts.json") if "notes/counts.json" in snapshot.files else {}
    rejects = []
    if "notes/rejects.csv" in snapshot.files:
        with snapshot.file("notes/rejects.csv").open(encoding="utf-8-sig", newline="") as lines:
            rejects = [_reject(row) for row in islice(csv.reader(lines), 1, REJECTED_ROWS + 1)]
    return {
        "rows": {split: told["rows"][split] for split in SPLITS},
        "classes": [(label, counts[label]) for label in largest[:DATA_CLASSES]],
        "all": len(counts),
        "source": snapshot.settings.get("source", ""),
        "read": notes.get("read"),
        "kept": sum(told["rows"].values()),
        "duplicates": notes.get("duplicates", 0),
        "unlabelled": notes.get("unlabelled", 0),
        "near": told.get("near_duplicates", {}).get("examples", 0),
        "warnings": notes.get("warnings", []),
        "rejected": sorted(notes.get("rejected", {}).items(), key=lambda item: -item[1]),
        "rejects": rejects,
    }


def _reject(row: Sequence[str]) -> dict[str, Any]:
    """Returns a row of `rejects.csv`: file, line, reason, inputs, label."""
    file, line, reason, *inputs, label = row
    return {"place": f"{file}:{line}" if line else file, "reason": reason, "inputs": inputs, "label": label}


def _settings(sources: Sources, evaluation: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    steps = {
        "ingest": sources.snapshot.settings,
        "transform": sources.features.settings,
        "finetune": sources.model.settings,
        "evaluate": {name: value for name, value in evaluation.items() if name != "changes"},  # a section of its own
    }
    return [(step, [(name, _plain(value)) for name, value in told.items()]) for step, told in steps.items()]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lineage(sources: Sources) -> list[tuple[str, str]]:
    producer = sources.model.producer
    rows = [(artifact.kind, artifact.digest) for artifact in (sources.snapshot, sources.features, sources.model)]
    rows.append(("graft", f"{producer.get('graft', '?')}, trained at commit {producer.get('git_commit') or 'unknown'}"))
    rows.append(("evaluated at commit", git_commit() or "unknown"))
    if run := producer.get("mlflow_run_id"):
        rows.append(("MLflow run", run))
    return rows
