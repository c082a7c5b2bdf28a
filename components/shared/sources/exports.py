"""Rows as tools for labelling export them: label-studio, doccano, Prodigy. Their labels become plain columns."""

from typing import Any

_LABELS = ("label", "labels")


def flatten(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of JSON with the label that a tool nested in it as a column of its own; other rows as they are.

    - label-studio (`data`, `annotations`): the fields of `data`, and each choice by its name in the configuration
      (`sentiment`), the first of them as `label`, too. Annotators that disagree leave a list.
    - doccano (`label: ["spam"]`): a list of one is that one. Spans (`label: [[0, 5, "PER"]]`) are left as they are.
    - Prodigy (`accept` of `options`, `answer`): what was accepted as `label`; None where the answer is no "accept".
    """
    if "annotations" in row and isinstance(row.get("data"), dict):
        return _label_studio(row)
    if ("answer" in row and "_task_hash" in row) or ("accept" in row and "options" in row):
        return _prodigy(row)
    for name in _LABELS:
        if isinstance(row.get(name), list) and len(row[name]) == 1 and isinstance(row[name][0], str | int | float):
            row = {**row, name: row[name][0]}
    return row


def _label_studio(row: dict[str, Any]) -> dict[str, Any]:
    annotations = [one for one in row["annotations"] or [] if isinstance(one, dict) and not one.get("was_cancelled")]
    true = [one for one in annotations if one.get("ground_truth")]
    found: dict[str, list[Any]] = {}
    for annotation in true or annotations:
        for result in annotation.get("result") or []:
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                chosen = _chosen(result)
                if chosen is None:
                    continue
                held = found.setdefault(str(result.get("from_name", "label")), [])
                held += [choice for choice in chosen if choice not in held]
    labels = {name: choices[0] if len(choices) == 1 else choices for name, choices in found.items()}
    first = next(iter(labels.values()), [] if annotations else None)  # looked at, and nothing marked
    return {**row, **{"label": first}, **labels, **row["data"]}


def _chosen(result: dict[str, Any]) -> list[Any] | None:
    """Returns what an annotator chose, or the span that is marked; None for anything else."""
    kind, value = result.get("type"), result["value"]
    if kind == "choices":
        return list(value.get("choices") or [])
    return [value] if kind in ("labels", "hypertextlabels") else None


def _prodigy(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("answer", "accept") != "accept":
        return {**row, "label": None, **({"spans": None} if "spans" in row else {})}
    if "accept" in row:
        accepted = row["accept"] or []
        return {**row, "label": accepted[0] if len(accepted) == 1 else accepted}
    return row
