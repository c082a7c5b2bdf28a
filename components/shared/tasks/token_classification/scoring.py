"""What evaluate asks of a token classification.

Predictions and targets are objects, one an example: a list of spans (first character, the one after the last, type).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics
from components.shared.statistics.f1 import f1_of, table_of
from components.shared.tasks.scoring import Breakdown, CommonScoring, Mistake, Part, Scored, Section, Spec

NOTHING = "No entity anywhere"
TABLE_TYPES = 40
KINDS = ("another type", "other borders", "missed", "made up")
"""Kinds of errors: of entities that are there the first three, of those that are found the last."""
_SHOWN = 12  # entities of a mistake

Span = tuple[int, int, str]


class TokenScoring(CommonScoring):
    """Entity F1 first; a mistake is a text whose entities are not exactly found, the one with most errors first."""

    mistakes = (
        "Texts with most errors",
        "{wrong:,} of {all:,} {what} have an entity too many, too few or another one; these {shown} have most of them. "
        "Wrong labels in the data show up here first.",
        "None: in every {one} exactly the entities are found. Look whether they are marked in the input before you "
        "believe it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns spans of a snapshot's answers, object [examples]."""
        return objects_of([(span["start"], span["end"], span["label"]) for span in spans] for spans in values)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns those of `entities`."""
        return objects_of(
            [(entity["start"], entity["end"], entity["entity_group"]) for entity in entities]
            for entities in columns["entities"]
        )

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """One list of spans for each example."""
        if len(predictions) != size or any(not isinstance(spans, list) for spans in predictions):
            return f"gave no entities of {size:,} texts"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns how many entities are right, found and there, of all types and of each, and the kinds of errors.

        A type that today's data has no more counts among all that are found.
        """
        place = {label: number for number, label in enumerate(spec["labels"])}
        size = (len(targets), len(place))
        types = {name: np.zeros(size, np.int32) for name in ("types_hit", "types_found", "types_there")}
        counts = {name: np.zeros(len(targets), np.int32) for name in ("hits", "found", "there")}
        kinds = np.zeros((len(targets), len(KINDS)), np.int32)
        for number, (found, there) in enumerate(zip(predictions, targets, strict=True)):
            sides = set(found) & set(there), set(found), set(there)
            for spans, name, by_type in zip(sides, counts, types, strict=True):
                counts[name][number] = len(spans)
                for _, _, label in spans:
                    if label in place:
                        types[by_type][number, place[label]] += 1
            if sides[1] != sides[2]:
                kinds[number] = _kinds(sides[1], sides[2])
        right = (counts["hits"] == counts["found"]) & (counts["hits"] == counts["there"])
        own = {"predicted_spans": predictions, "target_spans": targets}
        return Statistics({**counts, **types, "right": right, "kinds": kinds, **own}, {"types": len(place)})

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of `entities`."""
        return self.score(
            self.read({name: list(column) for name, column in columns.items()}, spec), whole["target_spans"], spec
        )

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `entities`: type, first character, and the one after the last."""
        kind = pa.list_(pa.struct({"entity_group": pa.string(), "start": pa.int64(), "end": pa.int64()}))
        rows = [
            [{"entity_group": label, "start": start, "end": end} for start, end, label in spans]
            for spans in predictions
        ]
        return {"entities": pa.array(rows, kind)}

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns no entity for any text."""
        return Baseline(NOTHING, "", objects_of([] for _ in range(size)), 0, 0.0, len(targets))

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns the F1 of each type; support are its entities."""
        hits, found, there = (statistics[name].sum(0) for name in ("types_hit", "types_found", "types_there"))
        return Breakdown(spec["labels"], there, np.where(there > 0, f1_of(hits, found, there), np.nan))

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns precision, recall, F1 and support of each type, and how often errors of each kind were made."""
        statistics, labels = scored.statistics, list(scored.spec["labels"])
        hits, found, there = (statistics[name].sum(0) for name in ("types_hit", "types_found", "types_there"))
        rows = table_of(labels, hits, found, there)
        errors = dict(zip(KINDS, statistics["kinds"].sum(0).tolist(), strict=True))
        return {"labels": labels, "classes": rows, "errors": errors}

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns how many errors a text has."""
        errors = statistics["kinds"].sum(1).astype(np.float64)
        return np.where(statistics["right"], np.nan, errors)

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns the errors of a text: entities that are found and not there, and the other way round."""
        found, there = (set(statistics[name][place]) for name in ("predicted_spans", "target_spans"))
        wrong, lacking = sorted(found - there)[:_SHOWN], sorted(there - found)[:_SHOWN]
        said = [("found", _parts(wrong)), ("but marked", _parts(lacking))]
        marks = [(0, span[:2], kind) for spans, kind in ((lacking, "right"), (wrong, "found")) for span in spans]
        errors = int(statistics["kinds"][place].sum())
        return Mistake(str(errors), f"{errors} errors", said, marks)

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns the table of types, lowest F1 first where not all are shown, and the kinds of errors."""
        rows = content["classes"]
        if len(rows) > TABLE_TYPES:
            rows = sorted((row for row in rows if row["support"]), key=lambda row: row["f1"])[:TABLE_TYPES]
        most = max([1, *content["errors"].values()])
        bars = [(name, count, count / most) for name, count in content["errors"].items()]
        context = {"rows": rows, "all": len(content["classes"]), "folds": folds, "bars": bars}
        return [Section("types.html.j2", context)]


def _kinds(found: set[Span], there: set[Span]) -> list[int]:
    """Returns how many errors of each kind: an entity that is there is told by the nearest that was found."""
    lacking, wrong = there - found, sorted(found - there)
    counts, used = [0, 0, 0, 0], set[Span]()
    for start, end, label in sorted(lacking):
        same = next((s for s in wrong if s not in used and s[:2] == (start, end)), None)
        near = same or next((s for s in wrong if s not in used and s[0] < end and start < s[1] and s[2] == label), None)
        counts[2 if near is None else 0 if same else 1] += 1
        used |= {near} if near else set()
    counts[3] = len(wrong) - len(used)
    return counts


def objects_of(values: Iterable[list[Span]]) -> np.ndarray:
    """Returns lists of spans as an array of objects, [examples]."""
    rows = list(values)
    found = np.empty(len(rows), object)
    for place, row in enumerate(rows):  # at once NumPy would look into lists of equal length
        found[place] = row
    return found


def _parts(spans: Iterable[Span]) -> list[Part]:
    return [Part(label, 0, start, end) for start, end, label in spans]
