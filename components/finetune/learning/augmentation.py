"""Images changed at random, a batch at once, where the network runs: crops, mirroring, colours, blends.

What the network learns from is never twice the same picture; what it is judged by is never changed.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.learning.examples import Augment, Batch
from components.finetune.settings import FinetuneSettings

_RATIO = (3 / 4, 4 / 3)  # of a crop's sides, as in Inception's and timm's training


def augmentation(settings: FinetuneSettings, size: int, classes: int, blended: str = "label") -> Augment | None:
    """Returns what changes batches of images as the settings say; None where they ask for no change.

    Args:
        settings: `crop_scale`, `flip`, `color_jitter`, `mixup`.
        size: What the network eats: crops come out as size x size.
        classes: How many there are.
        blended: The target that is blended with the pictures, see `Head`.
    """
    if settings.crop_scale == 1 and not (settings.flip or settings.color_jitter or settings.mixup):
        return None

    def augment(batch: Batch, targets: Batch, draw: np.random.Generator) -> tuple[Batch, Batch]:
        pixels = crop(batch["pixels"].permute(0, 3, 1, 2).float(), size, settings.crop_scale, settings.flip, draw)
        if settings.color_jitter:
            pixels = jitter(pixels, settings.color_jitter, draw)
        if settings.mixup:
            pixels, soft = mix(pixels, targets[blended], classes, settings.mixup, draw)
            targets = {**targets, blended: soft}
        return {"pixels": pixels.permute(0, 2, 3, 1)}, targets

    return augment


def crop(images: Tensor, size: int, scale: float, flip: float, draw: np.random.Generator) -> Tensor:
    """Cuts a random part out of each image, and mirrors some.

    Args:
        images: float [batch, 3, side, side].
        size: Of what comes out.
        scale: The least part of the area that is shown; for 1 it is the middle square, as in evaluation.
        flip: How often an image is mirrored.
        draw: Source of chance.

    Returns:
        float [batch, 3, size, size].
    """
    count, side = len(images), images.shape[-1]
    widths = heights = np.full(count, size / side)
    if scale < 1:
        area = draw.uniform(scale, 1.0, count)
        ratio = np.exp(draw.uniform(math.log(_RATIO[0]), math.log(_RATIO[1]), count))
        widths, heights = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    # In the grid's coordinates an image reaches from -1 to 1.
    x, y = ((draw.uniform(-1, 1, count) if scale < 1 else 0) * (1 - sides) for sides in (widths, heights))
    mirrored = np.where(draw.random(count) < flip, -1.0, 1.0)
    zeros = np.zeros(count)
    theta = np.stack([widths * mirrored, zeros, x, zeros, heights, y], 1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(
        torch.from_numpy(theta.astype(np.float32)).to(images.device, non_blocking=True),
        [count, 3, size, size],
        align_corners=False,
    )
    cut: Tensor = nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return cut


def jitter(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """Changes brightness, contrast and saturation of each image by factors in [1 - strength, 1 + strength]."""
    factors = draw.uniform(1 - strength, 1 + strength, (3, len(images), 1, 1, 1)).astype(np.float32)
    brightness, contrast, saturation = torch.from_numpy(factors).to(images.device, non_blocking=True).unbind()
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    grey = images.mean(1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 255)


def mix(
    images: Tensor, targets: Tensor, classes: int, alpha: float, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blends each image and its target with another's (mixup, Zhang et al. 2017, 1710.09412).

    Args:
        images: float [batch, 3, size, size].
        targets: Classes, int [batch]; or which ones there are, float [batch, classes].
        classes: How many there are.
        alpha: Of the Beta distribution that the share is drawn from.
        draw: Source of chance.

    Returns:
        Images, and targets as float [batch, classes].
    """
    share = float(draw.beta(alpha, alpha))
    order = torch.from_numpy(draw.permutation(len(images))).to(images.device, non_blocking=True)
    soft = targets if targets.is_floating_point() else nn.functional.one_hot(targets, classes).float()
    return share * images + (1 - share) * images[order], share * soft + (1 - share) * soft[order]
