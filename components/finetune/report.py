"""What `finetune` tells of its work. Apart from the step: what was made before is told without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FinetuneReport:
    """What `finetune` did: the model's digest, its MLflow run, and validation of the epoch that was kept."""

    digest: str
    run_id: str
    strategy: str
    best_epoch: int
    validation: dict[str, float]
    examples_per_second: float
