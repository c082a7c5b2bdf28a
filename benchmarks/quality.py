"""The default job against what a good engineer would do in an hour, on sets that are not the demo's.

Each side learns in a process of its own, one after the other, from the same training and validation examples, and
predicts the same test examples. Prints a table of accuracy, macro-F1, seconds that passed and that the processors
worked (what else the machine does counts less there), and of each rival the difference to it with a paired bootstrap
interval.

    python benchmarks/quality.py [--sets services,codes] [--rivals svm,graft] [--json FILE]

Where botocore or MiniLM's package is missing (a GPU machine), `--folder` names sets that were made before, and
`--encoder` the encoder's folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from quality_sets import NAMES, LabelledSet, make
from rivals import FOR_IMAGES, RIVALS

from components.shared import metrics

_RESAMPLES = 2000


def main(sets: list[str], rivals: list[str], out: Path | None, folder: Path | None, encoder: Path | None) -> None:
    """Compares all sides on all sets."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in sets:
            data = make(name, (folder or Path(scratch)).resolve() / name, encoder)
            counts = {split: len(data.rows(split)[1]) for split in ("train", "validation", "test")}
            classes = len(set(data.rows("train")[1]))
            print(f"\n### {name}: {classes} classes, {counts}\n", flush=True)
            sides = [rival for rival in rivals if not data.images or rival in FOR_IMAGES]
            found[name] = {side: _learn(side, data, Path(scratch)) for side in sides}
            if out:
                out.write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")
            _tell(found[name], data.rows("test")[1])


def _learn(rival: str, data: LabelledSet, scratch: Path) -> dict[str, Any]:
    description, result = scratch / "set.json", scratch / "result.json"
    description.write_text(json.dumps({**vars(data), "folder": str(data.folder)}), "utf-8")
    command = [sys.executable, str(Path(__file__).with_name("rivals.py")), rival, str(description), str(result)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        print(f"{rival} failed:\n{ended.stdout[-1500:]}{ended.stderr[-3000:]}", flush=True)
        return {}
    told: dict[str, Any] = json.loads(result.read_text("utf-8"))
    result.unlink()
    return told


def _tell(sides: dict[str, dict[str, Any]], truth: list[str]) -> None:
    """Prints a Markdown table of the sides."""
    names = sorted({*truth, *(label for told in sides.values() for label in told.get("predicted", []))})
    number = {label: place for place, label in enumerate(names)}
    answers = np.array([number[label] for label in truth])
    codes = {side: np.array([number[label] for label in told["predicted"]]) for side, told in sides.items() if told}
    print("| side | accuracy | macro-F1 | seconds | worked | graft minus it, 95 % | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for side, predicted in codes.items():
        confusion = metrics.confusion_matrix(answers, predicted, len(names))
        scores = f"{metrics.accuracy(confusion):.3f} | {metrics.macro_f1(confusion):.3f}"
        gain = _gain(codes["graft"] == answers, predicted == answers) if "graft" in codes and side != "graft" else ""
        spent = f"{sides[side]['seconds']:.0f} | {sides[side]['worked']:.0f}"
        beside = sides[side].get("chosen") or sides[side].get("kept") or ""
        print(f"| {side} | {scores} | {spent} | {gain} | {beside} |", flush=True)
    if sides.get("graft") and sides.get("trainer"):
        _tell_until(sides["graft"], sides["trainer"], float((codes["trainer"] == answers).mean()))


def _tell_until(graft: dict[str, Any], trainer: dict[str, Any], reached: float) -> None:
    """Prints how long the default job takes until a candidate has on validation what the trainer has in the end."""
    spent = graft["steps"]["ingest"] + graft["steps"]["transform"]
    for candidate in graft["candidates"]:
        spent += candidate["seconds"]
        if candidate["validation"]["accuracy"] >= reached:
            times = trainer["seconds"] / spent
            print(
                f"\nUntil the trainer's {reached:.3f}: {spent:.1f} s to the candidate {candidate['name']!r}, "
                f"{times:.0f} times less than the trainer's {trainer['seconds']:.0f} s (imports left out)."
            )
            return


def _gain(ours: np.ndarray, theirs: np.ndarray) -> str:
    difference = ours.astype(float) - theirs
    draw = np.random.default_rng(0)
    means = difference[draw.integers(len(difference), size=(_RESAMPLES, len(difference)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{difference.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(NAMES))
    parser.add_argument("--rivals", default=",".join(RIVALS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--encoder", type=Path)
    given = parser.parse_args()
    main(given.sets.split(","), given.rivals.split(","), given.json, given.folder, given.encoder)
