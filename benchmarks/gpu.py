"""How fast Graft trains on a GPU: its finetune step beside transformers' Trainer and timm's recipe, and the limits.

One command, from the repository's root. It needs torch, transformers, timm and pyarrow; no Graft, no hub, no tokenizer.

    python benchmarks/gpu.py                                  all rows; what 560 seconds leave no room for is told
    python benchmarks/gpu.py --rows sst2,imdb --profile DIR   some, with a profile of ten of Graft's steps of each
    python benchmarks/gpu.py --rows vit --sides graft         one side alone
    python benchmarks/gpu.py --sides graft --set cuda_graphs=false --set unpadding=false      without these
    python benchmarks/gpu.py --size tiny                      tiny networks on few examples: does all of it run?

Each side works in a process of its own, which ends after `--seconds`, all after `--in-all`; every line is printed, and
`--json` written, when it is known. Seconds leave imports out. The rate is that of all epochs but the first; the limit
is what the device's own matrix products in bfloat16, measured first, would allow (0.512 GFLOP a token of BERT-base, 105
a picture of ViT-B/16).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_checks
import plot
from gpu_data import SIZES, write_backbone, write_files, write_pictures, write_texts
from gpu_sides import Job

TEXT_SIDES, IMAGE_SIDES = "graft,trainer-tuned,trainer", "graft,timm-memory,timm"


@dataclass(frozen=True)
class Row:
    """A row of figures.

    Attributes:
        kind: "text" or "image".
        sides: That are asked if nobody says which.
        mean: Tokens of a text, on average; 0: they are pictures.
        longest: Tokens, at most.
        examples: Of training, as large networks learn from them.
        epochs: Passes over them.
        batch_size: Of all but Trainer at its defaults.
    """

    kind: str
    sides: str
    mean: float
    longest: int
    examples: int
    epochs: int
    batch_size: int


ROWS = {
    "sst2": Row("text", TEXT_SIDES, 13, 128, 4000, 3, 32),
    "imdb": Row("text", "graft,trainer-tuned", 285, 512, 4000, 3, 32),
    "vit": Row("image", IMAGE_SIDES, 0, 0, 4096, 4, 64),
    "agnews": Row("text", "graft,trainer-tuned", 52, 128, 8000, 3, 32),
}
_TINY = 192  # examples
_CHECKS = "checks"
_LEAST = 15.0  # seconds that a side is begun with


def main(given: argparse.Namespace) -> None:
    """Prints all rows that are asked for."""
    began = time.perf_counter()
    told: dict[str, Any] = {"limits": limits(given.size)}
    print(f"{told['limits']['device']}: {told['limits']['words']}\n", flush=True)

    def left() -> float:
        return min(given.seconds, given.in_all - (time.perf_counter() - began))

    with tempfile.TemporaryDirectory() as scratch:
        backbone = write_backbone(Path(scratch) / "bert", SIZES[given.size])
        names = [name for name in given.rows.split(",") if name != _CHECKS]
        if names:
            print("| row | side | seconds | times Graft's | train | units/s | of the limit | GiB | test accuracy |")
            print("| --- " * 9 + "|", flush=True)
        for name in names:
            folder = Path(scratch) / name
            folder.mkdir()
            job = _job(name, folder, given, backbone)
            told[name] = {}
            for side in (given.sides or ROWS[name].sides).split(","):
                told[name][side] = run(side, job, folder, left())
                print(line(name, side, told), flush=True)
                _keep(told, given)
            if given.profile:
                file = given.profile / f"{name}.txt"
                run("graft", dataclasses.replace(job, profile=str(file)), folder, left())
        if _CHECKS in given.rows.split(","):
            told[_CHECKS] = checks(given.size, Path(scratch) / "checks", left())
            _keep(told, given)
    for name in names:
        print(f"\n{name}, Graft says:", *told[name].get("graft", {}).get("said", ()), sep="\n    ")
    print(f"\n{time.perf_counter() - began:.0f} s in all", flush=True)
    faults = [f"{row}/{side}" for row in names for side, found in told[row].items() if "error" in found]
    if faults := faults + [check["check"] for check in told.get(_CHECKS, []) if not check["holds"]]:
        sys.exit(f"without figures, or wrong: {', '.join(faults)}")


def limits(size: str) -> dict[str, Any]:
    """Measures what the device can do at the most, in a process that gives its memory back."""
    program = "import gpu_limits; gpu_limits.main()"
    command = [sys.executable, "-c", program, *(["tiny"] if size == "tiny" else [])]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, timeout=300)
    if ended.returncode:
        sys.exit(f"the limits could not be measured:\n{ended.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    per_second = {
        "text": found["tflops"] * 1e12 / SIZES[size].token_flops,
        "image": found["tflops"] * 1e12 / SIZES[size].image_flops,
    }
    words = (
        f"matrix products {found['tflops']:,.1f} TFLOP/s, copies {found['copy_gbs']:,.0f} GB/s; so at most "
        f"{per_second['text']:,.0f} tokens/s and {per_second['image']:,.0f} pictures/s"
    )
    return {**found, **per_second, "words": words}


def _job(name: str, folder: Path, given: argparse.Namespace, backbone: str) -> Job:
    """Writes a row's data."""
    row, size = ROWS[name], SIZES[given.size]
    examples = given.examples or (_TINY if given.size == "tiny" else row.examples)
    counts = {"train": examples, "validation": max(16, examples // 24), "test": max(64, examples // 6)}
    batch_size = 16 if given.size == "tiny" else given.batch_size or row.batch_size
    features, files = folder / "features", folder / "files"
    if row.kind == "text":
        write_texts(features, counts, row.mean, row.longest)
    else:
        write_pictures(features, counts, size.side)
        if "timm" in (given.sides or row.sides).split(","):
            write_files(features, files, size.side, len(os.sched_getaffinity(0)))
        backbone = "random:timm/vit_base_patch16_224"
    return Job(
        row.kind, given.size, str(features), str(files), backbone, given.epochs or row.epochs, batch_size, row.longest,
        given.learning_rate, dict(pair.split("=", 1) for pair in given.set),
    )  # fmt: skip


def run(side: str, job: Job, folder: Path, seconds: float) -> dict[str, Any]:
    """Lets a side work in a process of its own; returns what it tells, or why it tells nothing."""
    if seconds < _LEAST:
        return {"error": "no time is left"}
    description, result = folder / "job.json", folder / f"{side}.json"
    description.write_text(json.dumps(dataclasses.asdict(job)))
    command = [sys.executable, str(Path(__file__).with_name("gpu_sides.py")), side, str(description), str(result)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"over {seconds:.0f} s"}
    if ended.returncode:
        print(f"{ended.stdout[-1000:]}{ended.stderr[-3000:]}", file=sys.stderr, flush=True)
        last = [line for line in ended.stderr.splitlines() if line.strip()][-1:]
        return {"error": (last or [f"status {ended.returncode}"])[0][:200]}
    said = [part for part in ended.stdout.splitlines() if "%" not in part or "padding" in part]  # no progress
    return {**json.loads(result.read_text("utf-8")), "said": said[-20:]}


def line(name: str, side: str, told: dict[str, Any]) -> str:
    """Returns a side's line of the table."""
    found, own = told[name][side], told[name].get("graft", {})
    if "error" in found:
        return f"| {name} | {side} | {found['error'].replace('|', '/')} |" + " |" * 6
    limit = told["limits"][ROWS[name].kind]
    unit = "tokens/s" if ROWS[name].kind == "text" else "pictures/s"
    times = f"{found['total'] / own['total']:.2f}" if own.get("total") else ""
    cells = [
        f"{found['total']:.1f}", times, f"{found['parts']['train']:.1f}", f"{found['rate']:,.0f} {unit}",
        f"{found['rate'] / limit:.1%}", f"{found['memory_gib']:.1f}", f"{found['accuracy']:.3f}",
    ]  # fmt: skip
    return f"| {name} | {side} | {' | '.join(cells)} |"


def checks(size: str, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Compares the GPU with the CPU, which work at the same time, and prints a table."""
    folder.mkdir()
    gpu_checks.prepare(folder, size)
    program, works = str(Path(__file__).with_name("gpu_checks.py")), {}
    for name, environment in (("gpu", {}), ("cpu", {"CUDA_VISIBLE_DEVICES": ""})):
        command = [sys.executable, program, size, str(folder), str(folder / f"{name}.npz")]
        log, environment = (folder / f"{name}.txt").open("w"), {**os.environ, **environment}
        works[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    deadline = time.perf_counter() + max(_LEAST, seconds)
    for name, work in works.items():
        try:
            status: object = work.wait(max(1.0, deadline - time.perf_counter()))
        except subprocess.TimeoutExpired:
            work.kill()
            status = "no time is left"
        if status:
            print(
                f"\nchecks failed on the {name} ({status}):\n{(folder / f'{name}.txt').read_text()[-3000:]}", flush=True
            )
            return [{"check": name, "holds": False}]
    verdicts = gpu_checks.verdicts(*(gpu_checks.load(folder / f"{name}.npz") for name in works))
    print("\n| check | apart | at most | holds |\n| --- | --- | --- | --- |")
    for row in verdicts:
        print(f"| {row['check']} | {row['apart']:.2e} | {row['at most']:.0e} | {row['holds']} |", flush=True)
    return verdicts


def _keep(told: dict[str, Any], given: argparse.Namespace) -> None:
    """Writes what is known by now, and draws it."""
    if given.json:
        given.json.write_text(json.dumps(told, indent=1), "utf-8")
    if given.plot:
        plot.write(given.plot, told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join([*ROWS, _CHECKS]), help=", ".join([*ROWS, _CHECKS]))
    parser.add_argument("--sides", default="", help=f"of {TEXT_SIDES}; of {IMAGE_SIDES}; default: by row")
    parser.add_argument("--size", default="full", choices=list(SIZES))
    parser.add_argument("--examples", type=int, default=0, help="of training; 0: by row")
    parser.add_argument("--epochs", type=int, default=0, help="0: by row")
    parser.add_argument("--batch-size", type=int, default=0, help="of all but Trainer at its defaults; 0: by row")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--set", action="append", default=[], help="a setting of Graft's, NAME=VALUE")
    parser.add_argument("--seconds", type=float, default=150, help="that a side may take")
    parser.add_argument("--in-all", type=float, default=560, help="seconds that all may take")
    parser.add_argument("--json", type=Path, help="a file")
    parser.add_argument("--plot", type=Path, help="an SVG of seconds by part")
    parser.add_argument("--profile", type=Path, help="a folder, for ten of Graft's steps of each row")
    given = parser.parse_args()
    if given.profile:
        given.profile.mkdir(parents=True, exist_ok=True)
    main(given)
