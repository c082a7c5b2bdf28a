"""Does a model of letters help with digits? Ten labels a class, several draws of them, the same network and budget.

The source is trained once on letters drawn with matplotlib's fonts. For each draw of labelled digits the same network
goes on from it, and learns from scratch (at two learning rates, the better on validation is taken); both predict the
digits that were not drawn. Settings are those of examples/glyphs.yaml and examples/digits.yaml.

    python benchmarks/transfer.py [DRAWS]
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.transform.transform import TransformSettings, transform
from pipelines.jobs.job import Job, load_job

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import make_images  # noqa: E402


def main(draws: int) -> None:
    """Prints accuracies and the gain of each draw, and their means."""
    source, target = (load_job(ROOT / "examples" / name) for name in ("glyphs.yaml", "digits.yaml"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_images.write(folder / "glyphs-data", make_images.make_glyphs())
        learn(source, folder / "glyphs-data", source.backbone, folder / "glyphs", False)
        gains = []
        for number in range(draws):
            make_images.draw = random.Random(number)
            make_images.write(folder / "digits-data", make_images.make_digits())
            content = learn(target, folder / "digits-data", str(folder / "glyphs/model"), folder / f"{number}", True)
            arms = {arm["name"]: arm for arm in content["transfer"]["arms"]}
            scratch_arm = arms["from scratch"]
            difference = scratch_arm["difference"]
            gains.append(difference["value"])
            print(
                f"draw {number}: from letters {content['metrics']['accuracy']:.3f}, from scratch "
                f"{scratch_arm['metrics']['accuracy']:.3f}, gain {difference['value']:+.3f} "
                f"[{difference['low']:+.3f}, {difference['high']:+.3f}], {content['transfer']['verdict']}; "
                f"probe {arms['probe, pretrained']['metrics']['accuracy']:.3f}, of random features "
                f"{arms['probe, random']['metrics']['accuracy']:.3f}; best baseline {content['best_baseline']} "
                f"{content['baselines'][content['best_baseline']]['accuracy']:.3f}",
                flush=True,
            )
        print(f"gain over {draws} draws: mean {np.mean(gains):+.3f}, from {min(gains):+.3f} to {max(gains):+.3f}")


def learn(job: Job, source: Path, backbone: str, folder: Path, check: bool) -> dict[str, object]:
    """Takes labelled images to a model as a job says; returns its evaluation where transfer is checked."""
    shutil.rmtree(folder, ignore_errors=True)
    arguments = job.arguments()
    training = {name: arguments[name] for name in FinetuneSettings.__dataclass_fields__ if name in arguments}
    training |= {"backbone": backbone, "transfer_check": check}
    with contextlib.redirect_stdout(io.StringIO()):
        ingest(folder / "snapshot", IngestSettings(str(source), ["image"], "label", task=job.task))
        transform(folder / "snapshot", folder / "features", TransformSettings(backbone, job.backbone_args))
        finetune(folder / "features", folder / "model", FinetuneSettings(**training))
        if check:
            names = ("snapshot", "features", "model", "evaluation")
            evaluate(*(folder / name for name in names), EvaluateSettings())
    return json.loads((folder / "evaluation/evaluation.json").read_text()) if check else {}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
