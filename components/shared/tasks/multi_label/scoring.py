"""What evaluate asks of a multi-label classification.

Predictions are float [examples, 2, labels]: 1 where a label is given, and its probability. Targets are which labels an
example has, bool [examples, labels].
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics
from components.shared.statistics.f1 import f1_of, table_of
from components.shared.tasks.scoring import Breakdown, CommonScoring, Mistake, Scored, Section, Spec

PRIORS = "The same labels for all"
TABLE_LABELS = 40


class MultiLabelScoring(CommonScoring):
    """Micro-F1 first; a mistake is an example with a label too many or too few, the surest first."""

    mistakes = (
        "Most confident mistakes",
        "{wrong:,} of {all:,} {what} have a label too many or too few; these {shown} with most confidence. Wrong "
        "labels in the data show up here first.",
        "None: every {one} has exactly its labels. Look whether they are in the input before you believe it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns which labels lists of them hold, bool [examples, labels]."""
        number = {label: place for place, label in enumerate(spec["labels"])}
        found = np.zeros((len(values), len(number)), bool)
        for row, labels in zip(found, values, strict=True):
            row[[number[label] for label in labels]] = True
        return found

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns what `labels` and `probabilities` say."""
        given = self.targets(columns["labels"], spec)
        probabilities = np.array([np.asarray(row, np.float64) for row in columns["probabilities"]])
        return np.stack([given, probabilities.reshape(given.shape)], axis=1)

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """Two finite numbers for each example and label."""
        shape = (size, 2, len(spec["labels"]))
        if predictions.shape != shape or not np.isfinite(predictions).all():
            return f"gave no labels and probabilities of shape {shape}"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns the statistics of labels that are given.

        A label that the model does not know is never given; one that today's data has no more is wrong when it is.
        """
        given, probabilities = predictions[:, 0] > 0, predictions[:, 1]
        beyond = np.zeros(len(given), np.int32)
        if learned is not None:
            number = {label: place for place, label in enumerate(learned["labels"])}
            places = np.array([number.get(label, len(number)) for label in spec["labels"]])
            gone = [place for label, place in number.items() if label not in set(spec["labels"])]
            beyond = given[:, gone].sum(1, dtype=np.int32)
            given, probabilities = (
                np.column_stack([side, np.zeros(len(side), side.dtype)])[:, places] for side in (given, probabilities)
            )
        hit = given & targets
        arrays = {
            "hits": hit.sum(1, dtype=np.int32),
            "given": given.sum(1, dtype=np.int32) + beyond,
            "there": targets.sum(1, dtype=np.int32),
            "right": (given == targets).all(1) & (beyond == 0),
            "labels_hit": hit,
            "labels_given": given,
            "labels_there": targets,
            "probabilities": probabilities.astype(np.float32),
        }
        return Statistics(arrays, {"classes": len(spec["labels"])})

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of `labels` and `probabilities`."""
        return self.score(
            self.read({name: list(column) for name, column in columns.items()}, spec), whole["labels_there"], spec
        )

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `labels` (list of string), and `probabilities` (list of float, in the labels' order)."""
        names = np.array(spec["labels"], object)
        return {
            "labels": pa.array([names[row > 0].tolist() for row in predictions[:, 0]], pa.list_(pa.string())),
            "probabilities": pa.array(list(predictions[:, 1].astype(np.float32)), pa.list_(pa.float32())),
        }

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns the most frequent labels, as many as have the best micro-F1, with the labels' shares."""
        shares = targets.mean(0)
        order = np.argsort(-shares, kind="stable")
        hits = np.cumsum(shares[order])
        best = int(np.argmax(f1_of(hits, np.arange(1.0, len(order) + 1), np.full(len(order), shares.sum()))))
        given = np.zeros(len(shares))
        given[order[: best + 1]] = 1.0
        predictions = np.tile(np.stack([given, shares]), (size, 1, 1))
        return Baseline(PRIORS, f"{best + 1} of {len(shares)} labels", predictions, 8 * len(shares), 0.0, len(targets))

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns the F1 of each label; support are the examples that have it."""
        hits, given, there = (statistics[name].sum(0) for name in ("labels_hit", "labels_given", "labels_there"))
        return Breakdown(spec["labels"], there, np.where(there > 0, f1_of(hits, given, there), np.nan))

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns precision, recall, F1 and support of each label, and how many labels examples have."""
        statistics, labels = scored.statistics, list(scored.spec["labels"])
        hits, given, there = (
            statistics[name].sum(0, dtype=float) for name in ("labels_hit", "labels_given", "labels_there")
        )
        rows = table_of(labels, hits, given, there)
        numbers = {name: float(statistics[name].mean()) for name in ("given", "there")}
        return {"labels": labels, "classes": rows, "labels_an_example": numbers}

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns how sure a model is of what is wrong: how far the worst label's probability is from the truth."""
        wrong = statistics["labels_given"] != statistics["labels_there"]
        distance = abs(statistics["labels_there"] - statistics["probabilities"].astype(np.float64))
        found = np.where(wrong, distance, 0.0).max(1, initial=0.0)
        return np.where(statistics["right"], np.nan, found)

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns the labels that are given, and those that it has."""
        given, there = (
            ", ".join(np.array(spec["labels"], object)[statistics[name][place]]) or "none"
            for name in ("labels_given", "labels_there")
        )
        said = [("predicted", given), ("but labelled", there)]
        badness = float(self.worst(statistics.take(np.array([place])))[0])
        return Mistake(f"{badness:.3f}", f"labelled {there}, predicted {given}", said)

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns the table of labels: lowest F1 first where not all are shown."""
        rows = content["classes"]
        if len(rows) > TABLE_LABELS:
            rows = sorted((row for row in rows if row["support"]), key=lambda row: row["f1"])[:TABLE_LABELS]
        return [Section("labels.html.j2", {"rows": rows, "all": len(content["classes"]), "folds": folds})]
