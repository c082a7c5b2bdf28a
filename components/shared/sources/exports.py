"""Rows as tools for labelling export them: label-studio, doccano, Prodigy. Their labels become plain columns."""

from typing import Any

_LABELS = ("label", "labels")


def flatten(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of JSON with the label that a tool nested in it as a column of its own; other rows as they are.

    - label-studio (`data`, `annotations`): the fields of `data`, and each choice by its name in the configuration
      (`sentiment`), the first of them as `label`, too. Annotators that disagree leave a list.
    - doccano (`label: ["spam"]`): a list of one is that one.
    - Prodigy (`accept` of `options`, `answer`): what was accepted as `label`; None where the answer is no "accept".
    """
    if "annotations" in row and isinstance(row.get("data"), dict):
        return _label_studio(row)
    if ("answer" in row and "_task_hash" in row) or ("accept" in row and "options" in row):
        return _prodigy(row)
    for name in _LABELS:
        if isinstance(row.get(name), list) and len(row[name]) < 2:
            row = {**row, name: row[name][0] if row[name] else None}
    return row


def _label_studio(row: dict[str, Any]) -> dict[str, Any]:
    annotations = [one for one in row["annotations"] or [] if isinstance(one, dict) and not one.get("was_cancelled")]
    true = [one for one in annotations if one.get("ground_truth")]
    found: dict[str, list[str]] = {}
    for annotation in true or annotations:
        for result in annotation.get("result") or []:
            if isinstance(result, dict) and result.get("type") == "choices" and isinstance(result.get("value"), dict):
                chosen = result["value"].get("choices") or []
                held = found.setdefault(str(result.get("from_name", "label")), [])
                held += [choice for choice in chosen if choice not in held]
    labels = {name: choices[0] if len(choices) == 1 else choices for name, choices in found.items()}
    first = next(iter(labels.values()), None)
    return {**row, **{"label": first}, **labels, **row["data"]}


def _prodigy(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("answer", "accept") != "accept":
        return {**row, "label": None}
    if "accept" in row:
        accepted = row["accept"] or []
        return {**row, "label": accepted[0] if len(accepted) == 1 else accepted or None}
    return row
