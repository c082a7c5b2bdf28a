"""A tiny image model, made by hand: it tells dark pictures from light ones. And pictures for it."""

import importlib.metadata
import io
from pathlib import Path

import numpy as np
from PIL import Image

from components.shared import backbones
from components.shared.artifacts.artifact import write_artifact

LABELS = ["dark", "light"]
SIDE = 32  # pixels
from tests.heads import head_for


def picture(shade: int, kind: str = "PNG") -> bytes:
    """Returns the file of a picture that is about as light as `shade` (0 to 255)."""
    noise = np.random.default_rng(shade).integers(-9, 10, (40, 48, 3))
    file = io.BytesIO()
    Image.fromarray((shade + noise).clip(0, 255).astype(np.uint8)).save(file, kind)
    return file.getvalue()


def write_image_model(folder: Path) -> Path:
    """Writes a model artifact as `finetune` does: timm's test_resnet, random weights, and a head that suits them."""
    import torch

    from components.shared.backbones.preprocessing import preprocessing_of

    backbone = backbones.fetch("random:timm/test_resnet", folder.parent / "backbone", args={"img_size": SIDE})
    torch.manual_seed(0)
    network = backbones.family(backbone.family).from_backbone(backbone, "auto", head_for(LABELS)).eval()
    with torch.no_grad():
        shades = torch.tensor([40, 215], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, SIDE, SIDE, 3)
        dark, light = network.pooled(pixels=shades)
        towards = 4 * (light - dark) / (light - dark).square().sum()
        network.head.weight.copy_(torch.stack([-towards, towards]))
        network.head.bias.copy_(network.head.weight @ -(dark + light) / 2)
    with write_artifact(folder, "model", {}, {"features": "0" * 64}) as draft:
        names = backbones.FAMILIES[backbone.family].requirements
        draft.producer["requirements"] = {name: importlib.metadata.version(name).split("+")[0] for name in names}
        preprocessing = preprocessing_of(backbone.read_json("config.json"), {}, {}, backbone.args)
        draft.write_json("preprocessing.json", preprocessing.to_json())
        network.save(draft.path)
        told = {"task": "image-classification", "family": backbone.family, "inputs": ["image"], "labels": LABELS}
        draft.write_json("model.json", {**told, "columns": ["pixels"], **network.describe()})
    return folder
