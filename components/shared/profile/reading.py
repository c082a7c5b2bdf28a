"""Which columns are input and label, where a job leaves them out: the one plausible reading, or none.

Whoever guesses wrong trains on the wrong column without a word. So names that everybody uses decide, then kinds; where
two readings are left, the columns are shown, and somebody says which is meant.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from components.shared import tasks
from components.shared.errors import InputError, quote_all
from components.shared.process.step import tell
from components.shared.profile.columns import Column, as_text, listing
from components.shared.profile.table import Table, is_tree, look, look_beside
from components.shared.sources.hub import PREFIX
from components.shared.sources.images import PATHS, image_files
from components.shared.sources.listing import sources_of
from components.shared.sources.source import SourceSettings
from components.shared.sources.sql import is_sql
from components.shared.sources.texts import COLUMNS as TREE
from components.shared.tasks import Task

LABELS = (
    "label", "labels", "class", "classes", "category", "categories", "target", "intent", "topic", "sentiment", "tag",
    "gold_label", "label_text", "label_name", "class_name", "category_name", "y",
)  # fmt: skip
TEXTS = (
    "text", "texts", "sentence", "content", "review", "body", "description", "document", "message", "comment",
    "tweet", "utterance", "query", "abstract", "documentation", "post", "email", "question", "article", "headline",
    "title", "subject", "summary",
)  # fmt: skip
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"), ("premise", "hypothesis"),
    ("question1", "question2"), ("question", "answer"), ("question", "sentence"), ("text1", "text2"),
    ("text_1", "text_2"), ("text_a", "text_b"), ("query", "passage"), ("query", "document"), ("claim", "evidence"),
    ("anchor", "positive"), ("query", "positive"), ("query", "answer"), ("question", "passage"),
)  # fmt: skip
LABEL = "label"
"""What the column of answers is called that is read out of an archive of images."""
_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}
_ADVICE = "Set data.inputs and data.label in the job."


@dataclass(frozen=True)
class Reading:
    """Which columns are taken for what, and why, in words."""

    inputs: list[str]
    label: str
    why: str = ""


Settings = TypeVar("Settings", bound=SourceSettings)


def resolve(settings: Settings) -> Settings:
    """Fills in the columns that a job leaves out, and tells what it took.

    Raises:
        InputError: No reading is plausible, or more than one.
        ServiceError: The store or the hub did not answer.
    """
    if settings.inputs and settings.label:
        return settings
    reading = read(settings)
    label = repr(reading.label) if reading.label else "nothing"
    tell(f"{' and '.join(map(repr, reading.inputs))} taken for the input, {label} for the label{reading.why}")
    return dataclasses.replace(settings, inputs=reading.inputs, label=reading.label)


def read(settings: SourceSettings, table: Table | None = None) -> Reading:
    """Returns the one plausible reading of a source's columns; what the settings name is kept.

    Args:
        settings: Where the data is, and the task.
        table: Its columns, where they were looked at already.

    Raises:
        InputError: There is none, or more than one: with the columns, their kinds and two values of each.
        ServiceError: The store or the hub did not answer.
    """
    task = tasks.get(settings.task, settings.task_args)
    is_pictures = task.input_type == pa.binary()
    if is_pictures and _is_tree(settings, task):
        columns = {"label": LABEL, **task.columns}
        beside = None if settings.label or task.target.exclusive else look_beside(settings)
        label = settings.label or (_label_of(task, beside, PATHS) if beside else str(columns["label"]))
        return Reading(settings.inputs or list(columns["inputs"]), label)
    table = table or look(settings, is_pictures)
    if table.is_tree and not is_pictures:
        return Reading(
            settings.inputs or [TREE[0]], settings.label or TREE[1], " (texts in the folders of their classes)"
        )
    label = settings.label or _label_of(task, table, settings.inputs)
    inputs = settings.inputs or _usual(task, table, label)
    inputs = inputs or (_picture(table, label) if is_pictures else _texts(table, label, task.input_counts))
    return Reading(inputs, label, f" (of {quote_all(column.name for column in table.columns)})")


def _is_tree(settings: SourceSettings, task: Task) -> bool:
    """Tells whether images are files of a tree, or of an archive."""
    if settings.source.startswith(PREFIX) or is_sql(settings.source):
        return False
    files = image_files(settings.source, settings.class_level, settings.splits, task.target.exclusive)
    return is_tree(files)


@contextlib.contextmanager
def explained(settings: SourceSettings) -> Iterator[None]:
    """Adds the columns that there are, with their kinds and two values of each, where one is missing.

    Raises:
        InputError: What was raised in the block, with that.
    """
    try:
        yield
    except InputError as error:
        if not any(hasattr(told, "column") for told in (error, error.__cause__)):
            raise
        try:
            columns = look(settings).columns
        except InputError:
            raise error from None
        raise InputError(f"{error}\nIts columns, with two values of each:\n{listing(columns)}") from error


def _label_of(task: Task, table: Table, inputs: Sequence[str]) -> str:
    """Returns the column of answers: of classes by their values, of others as their target tells."""
    if task.target.exclusive:
        return _label(table, inputs, task.input_type)
    others = [column for column in table.columns if column.name not in inputs]
    found = task.target.columns_in(others)
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(table, "label", [column for column in others if column.name in found])
    if several := task.target.together(others):
        return json.dumps(several, ensure_ascii=False)
    if task.target.optional:
        return ""
    raise InputError(
        f"{table.name} has no column that can be the label of {task.name}. {_ADVICE}\n{listing(table.columns)}"
    )


def _usual(task: Task, table: Table, label: str) -> list[str]:
    """Returns the input columns that data for a task usually has, where a table has them all."""
    names = [str(name) for name in task.columns.get("inputs", [])]
    return names if names and label not in names and all(table.column(name) for name in names) else []


def _label(table: Table, inputs: Sequence[str], input_type: pa.DataType) -> str:
    """Returns the column of classes: one with a known name, else the only one that can be."""
    others = [column for column in table.columns if column.name not in inputs]
    named = [column for column in others if column.name.strip().lower() in LABELS]
    fitting = _merged(table, [column for column in named if column.is_classes or column.is_constant])
    if len(fitting) == 1:
        return fitting[0].name
    if named and not fitting:
        raise InputError(f"{table.name}: {unfit(named[0], input_type)} {_ADVICE}\n{listing(table.columns)}")
    if fitting:
        raise _ambiguous(table, "label", fitting)
    candidates = [column for column in others if column.is_classes and not _tells_split(table, column)]
    if len(candidates) == 1:
        return candidates[0].name
    if candidates:
        raise _ambiguous(table, "label", candidates)
    raise InputError(
        f"{table.name} has no column that can be the label: one with few different values was expected. "
        f"{_hint(others, input_type)}{_ADVICE}\n{listing(table.columns)}"
    )


def unfit(column: Column, input_type: pa.DataType) -> str:
    """Returns why a column cannot hold classes, as a sentence that ends in what is to be done.

    Args:
        column: The one.
        input_type: What is beside it: other tasks of such inputs may take it.
    """
    name, shown = repr(column.name), " and ".join(column.examples)
    others = _for_others(column, input_type)
    if column.kind == "list":
        return f"{name} holds lists such as {shown}, and no classes{others}."
    if column.kind == "number":
        return (
            f"{name} holds {column.distinct:,} different numbers such as {shown}, and no classes{others}; "
            "or make classes of ranges, such as low and high."
        )
    if column.kind == "date":
        return f"{name} holds dates such as {shown}, and no classes."
    if column.kind == "empty":
        return (
            f"{name} is empty in all {column.rows:,} rows that were looked at. Without labels nothing can be learned."
        )
    kind = "an id, no class" if column.is_id else "too many for classes"
    if column.is_id or column.kind != "whole number":
        others = ""
    return f"{name} has {column.distinct:,} different values in {column.filled:,} rows such as {shown}: {kind}{others}."


def _for_others(column: Column, input_type: pa.DataType) -> str:
    """Returns which tasks of such inputs take a column, as a sentence goes on."""
    fitting = [task for task in map(tasks.get, tasks.names()) if task.input_type == input_type]
    names = [task.name for task in fitting if column.name in task.target.columns_in([column])]
    return f": with task: {' or '.join(names)} they are learned as they are" if names else ""


def _hint(columns: Sequence[Column], input_type: pa.DataType) -> str:
    kinds = ("list", "number", "whole number")
    odd = next((column for kind in kinds for column in columns if column.kind == kind and not column.is_classes), None)
    return f"{unfit(odd, input_type)} " if odd else ""


def _merged(table: Table, columns: Sequence[Column]) -> list[Column]:
    """Leaves of columns that are one another's translation (`label` and `label_text`) the one that has names."""
    if len(columns) != 2:
        return list(columns)
    first, second = columns
    pairs = {(as_text(row.get(first.name)), as_text(row.get(second.name))) for row in table.rows}
    if not len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
        return list(columns)
    return [next((column for column in columns if column.kind == "words"), first)]


def _tells_split(table: Table, column: Column) -> bool:
    values = {str(row.get(column.name)).strip().lower() for row in table.rows}
    return values <= _SPLITS


def _texts(table: Table, label: str, counts: Sequence[int]) -> list[str]:
    """Returns the columns of texts: a known pair, one with a known name, or any, if no other column can be read."""
    labels = sources_of(label)
    others = {column.name.strip().lower(): column for column in table.columns if column.name not in labels}
    readable = {name: column for name, column in others.items() if column.kind in ("text", "words")}
    pairs = [pair for pair in PAIRS if all(name in readable for name in pair)] if 2 in counts else []
    in_pairs = {name for pair in pairs for name in pair}
    singles = [name for name in TEXTS if name in readable and name not in in_pairs and not _is_few(readable[name])]
    free = [name for name, column in readable.items() if column.is_free]
    for known in (*pairs, *((name,) for name in singles if 1 in counts)):
        if set(known) >= set(free):  # nothing beside it that a model could read, too
            return [readable[name].name for name in known]
    candidates = [name for name in readable if name in {*in_pairs, *singles, *free}]
    if len(candidates) == 1 and 1 in counts:
        return [readable[candidates[0]].name]
    if len(candidates) > 1:
        raise _ambiguous(table, "input", [readable[name] for name in candidates])
    what = "column that holds texts" if 1 in counts else "two columns that hold texts"
    raise InputError(f"{table.name} has no {what}. {_ADVICE}\n{listing(table.columns)}")


def _is_few(column: Column) -> bool:
    return column.is_classes or column.is_constant


def _picture(table: Table, label: str) -> list[str]:
    others = [column for column in table.columns if column.name not in sources_of(label)]
    found = [column for column in others if column.kind == "picture"]
    found = found or [column for name in PATHS for column in others if column.name.strip().lower() == name][:1]
    if len(found) == 1:
        return [found[0].name]
    if found:
        raise _ambiguous(table, "input", found)
    raise InputError(f"{table.name} has no column that holds pictures. {_ADVICE}\n{listing(table.columns)}")


def _ambiguous(table: Table, role: str, columns: Sequence[Column]) -> InputError:
    names = list(dict.fromkeys(column.name for column in columns))
    field = "data.label: one of them" if role == "label" else "data.inputs: one of them, or two as a pair"
    return InputError(
        f"{table.name} has {len(names)} columns that can be the {role}: {quote_all(names)}. Say which is meant "
        f"({field}). Its columns, with two values of each:\n{listing(table.columns)}"
    )
