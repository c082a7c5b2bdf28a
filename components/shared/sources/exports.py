"""Rows as tools for labelling export them: label-studio, doccano, Prodigy, … Their labels become plain columns."""

from collections.abc import Sequence
from typing import Any

from components.shared.sources.styles import COLUMN

_LABELS = ("label", "labels")


def by_place(values: Sequence[Any]) -> dict[str, Any]:
    """Returns a row that was written as an array: its columns by their places, or spaCy's `[text, {"cats": …}]`."""
    if len(values) == 2 and isinstance(values[0], str) and isinstance(values[1], dict):
        return {"text": values[0], **values[1]}
    return {COLUMN.format(place): value for place, value in enumerate(values, 1)}


def flatten(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of JSON with the label that a tool nested in it as a column of its own; other rows as they are.

    - label-studio (`data`, `annotations`; `task`, `result` where each annotation is a file): the fields of `data`, and
      what was chosen by its name in the configuration (`sentiment`); as `label`, too, where it is one thing. Annotators
      that disagree leave a list.
    - doccano (`label: ["spam"]`): a list of one is that one.
    - Prodigy (`accept` of `options`, `answer`): what was accepted as `label`; None where the answer is no "accept".
    - spaCy (`cats: {"a": 1.0, "b": 0.0}`): what is true.
    - Vertex AI (`classificationAnnotation`): its name as `label`.
    """
    if "result" in row and isinstance(row.get("task"), dict):
        row = {**row["task"], "annotations": [row]}
    if ("annotations" in row or "completions" in row) and isinstance(row.get("data"), dict):
        return _label_studio(row)
    if ("answer" in row and "_task_hash" in row) or ("accept" in row and "options" in row):
        return _prodigy(row)
    if (
        isinstance(told := row.get("annotations"), list) and "text" in row and "label" not in row
    ):  # doccano's first years
        row = {**row, "label": [one["label"] for one in told if isinstance(one, dict) and "label" in one]}
    if isinstance(cats := row.get("cats"), dict) and "label" not in row:
        row = {**row, "label": [name for name, value in cats.items() if _is_true(value)]}
    if isinstance(told := row.get("classificationAnnotation"), dict) and "label" not in row:
        row = {**row, "label": told.get("displayName")}
    for name in _LABELS:
        if isinstance(row.get(name), list) and len(row[name]) < 2:
            row = {**row, name: row[name][0] if row[name] else None}
    return row


def _is_true(value: object) -> bool:
    return isinstance(value, bool | int | float) and value > 0.5


def _label_studio(row: dict[str, Any]) -> dict[str, Any]:
    given = row.get("annotations") or row.get("completions") or []
    annotations = [one for one in given if isinstance(one, dict) and not one.get("was_cancelled")]
    true = [one for one in annotations if one.get("ground_truth")]
    found: dict[str, list[Any]] = {}
    for annotation in true or annotations:
        for result in annotation.get("result") or []:
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                held = found.setdefault(str(result.get("from_name", "label")), [])
                held += [choice for choice in _chosen(result) if choice not in held]
    labels = {name: choices[0] if len(choices) == 1 else choices for name, choices in found.items() if choices}
    first = labels if len(labels) > 1 else next(iter(labels.values()), None)
    return {**row, **{"label": first}, **labels, **row["data"]}


def _chosen(result: dict[str, Any]) -> list[Any]:
    """Returns what an annotator chose: among choices, in a tree of them (all the way down), or as a number of stars."""
    kind, value = result.get("type"), result["value"]
    if kind == "choices":
        return list(value.get("choices") or [])
    if kind == "taxonomy":
        return ["/".join(map(str, path)) for path in value.get("taxonomy") or []]
    return [value["rating"]] if kind == "rating" and "rating" in value else []


def _prodigy(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("answer", "accept") != "accept":
        return {**row, "label": None}
    if "accept" in row:
        accepted = row["accept"] or []
        return {**row, "label": accepted[0] if len(accepted) == 1 else accepted or None}
    return row
