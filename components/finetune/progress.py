"""What happens in training, led to people: lines, a bar, curves in MLflow."""

import math

from components.finetune.curves import Curves
from components.finetune.learning.history import measured, title_of
from components.finetune.settings import FinetuneSettings, strategies_of
from components.finetune.study import RUNG
from components.shared.process.step import Progress


class Telling:
    """Leads what happens in training to people: lines, a bar, curves in MLflow."""

    def __init__(self, settings: FinetuneSettings, curves: Curves, examples: int) -> None:
        self.settings, self.curves = settings, curves
        names, starts = strategies_of(settings.strategy), 2 if settings.alternative else 1
        self.prefix = len(names) > 1 or starts > 1
        steps = starts * max(1, settings.epochs) * -(-examples // max(1, settings.batch_size))  # 0: nothing is trained
        self.bar = Progress("finetune", steps * (1 + RUNG * max(0, len(names) - 2)))
        self.done: dict[str, int] = {}

    def begin(self, text: str) -> None:
        """Tells what is about to be trained."""
        self.bar.update(0, text)

    def end(self, text: str) -> None:
        """Tells that all is done."""
        self.bar.update(self.bar.total, text)

    def line(self, text: str) -> None:
        """Tells a line that stays."""
        self.bar.line(text)

    def entry(self, strategy: str, event: str, entry: dict[str, float]) -> None:
        """Tells an entry of a strategy's history; of several starts, the strategy is told with its start."""
        step = int(entry["step"])
        where = f"{strategy}/" if self.prefix else ""
        self.done[strategy] = step
        if event == "step":
            total = sum(self.done.values())
            epoch = f"epoch {min(math.ceil(entry['epoch']), self.settings.epochs)}/{self.settings.epochs}"
            rate = self.bar.rate(total) * self.settings.batch_size
            text = (
                f"{f'{strategy} · ' if self.prefix else ''}{epoch} · loss {entry['loss']:.3f} · {rate:.0f} examples/s"
            )
            self.bar.update(min(total, 0.99 * self.bar.total), text)
            kept = {name: entry[name] for name in ("loss", "learning_rate", "gradient_norm")}
            self.curves.log(kept, step, f"{where}train/")
            return
        scores = measured(entry)
        short = {name.removeprefix("validation_"): value for name, value in scores.items()}
        self.curves.log(short, step, f"{where}validation/")
        told = ", ".join(f"{title_of(name)} {value:.4f}" for name, value in scores.items())
        self.bar.line(
            f"{f'{strategy}, ' if self.prefix else ''}epoch {entry['epoch']:.0f}: training loss "
            f"{entry['train_loss']:.4f}, {told}"
        )
