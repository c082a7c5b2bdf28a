"""How the learning rate goes over the steps of a training."""

import torch


def linear_schedule(
    optimizer: torch.optim.Optimizer, warmup: float, total: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Returns linear warm-up over the first fraction of the steps, then linear decay to 0."""
    warm = max(1, round(warmup * total)) if warmup else 0

    def factor(step: int) -> float:
        return (step + 1) / (warm + 1) if step < warm else max(0.0, (total - step) / max(1, total - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
