"""Tags of a version that tell what it was made from, and what was decided about it."""

from typing import Any

from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.inventory import FOLDER
from components.shared.artifacts.snapshot import accounting_of
from components.shared.gate import NOTE

_LONGEST = 5000  # characters of the reasons


def promotion_tags(evaluation: Artifact) -> dict[str, str]:
    """Returns the tags by name; "" for what an evaluation does not tell, or what does not apply."""
    told = evaluation.read_json("evaluation.json")
    return {**_decision(evaluation), **_data(evaluation, told), **_drift(told)}


def _decision(evaluation: Artifact) -> dict[str, str]:
    told = evaluation.read_json(NOTE) if NOTE in evaluation.files else {}
    reasons = " ".join(told.get("reasons", []))
    return {
        "decision": told.get("verdict", ""),
        "reasons": reasons if len(reasons) <= _LONGEST else reasons[: _LONGEST - 1] + "…",
        "compared_with": told.get("champion", ""),
    }


def _data(evaluation: Artifact, told: dict[str, Any]) -> dict[str, str]:
    inventory, rows = f"{FOLDER}/inventory.json", told.get("rows", {})
    digest = evaluation.read_json(inventory)["data_digest"] if inventory in evaluation.files else ""
    examples = {f"{split}_examples": str(rows.get(split, "")) for split in ("train", "test")}
    if "folds" in (told.get("measured") or {}):  # all were trained on, and measured on
        examples = {name: str(told["examples"]) for name in examples}
    accounting = {f"rows_{name}": str(count) for name, count in accounting_of(evaluation).items()}
    return {**examples, **accounting, "data_digest": digest}


def _drift(told: dict[str, Any]) -> dict[str, str]:
    drift = (told.get("changes") or {}).get("drift") or {}
    return {f"drift_{name}": f"{drift[name]:.6g}" if name in drift else "" for name in ("score", "p_value")}
