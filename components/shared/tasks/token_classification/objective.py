"""How well entities are found in validation texts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets
from components.shared.tasks.token_classification.tags import likely_tags, spans_of, tags_of

_IGNORED = -100


class Objective:
    """Strict F1 of entities (type, beginning and end are right), all together, and the accuracy of tags."""

    metrics = ("entity_f1", "precision", "recall", "token_accuracy")
    bounded = ("entity_f1",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.tags = tags_of(spec["labels"])

    def selection(self, targets: Targets) -> str:
        """Returns "entity_f1"."""
        return "entity_f1"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (of a word, in nats) and the metrics.

        Rows are read one after the other: where a text has windows, each word counts in the one that answers for it,
        and an entity that reaches over the end of a window counts as two, found and true ones alike.
        """
        rows = [np.asarray(row) for row in targets["tags"]]
        truth = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
        asked = truth != _IGNORED
        if not asked.any():
            return dict.fromkeys(("validation_loss", *self.metrics), float("nan"))
        logits = outputs["logits"][asked].astype(np.float64)
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        sizes = [int((row != _IGNORED).sum()) for row in rows]
        truth, best = truth[asked], likely_tags(logits, sizes)
        bounds = np.cumsum(sizes)[:-1]
        found, there = (self._entities(np.split(tags, bounds)) for tags in (best, truth))
        hits = len(found & there)
        return {
            "validation_loss": float(-logs[np.arange(len(truth)), truth].mean()),
            "entity_f1": 2 * hits / max(1, len(found) + len(there)),
            "precision": hits / len(found) if found else 0.0,
            "recall": hits / len(there) if there else 0.0,
            "token_accuracy": float((best == truth).mean()),
        }

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Does nothing: the most likely tags are the answer."""
        return {}

    def _entities(self, rows: list[np.ndarray]) -> set[tuple[int, int, int, str]]:
        return {
            (number, *span)
            for number, row in enumerate(rows)
            if row.any()  # 0 is outside
            for span in spans_of([self.tags[tag] for tag in row.tolist()])
        }
