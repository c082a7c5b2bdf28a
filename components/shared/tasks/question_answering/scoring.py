"""What evaluate asks of question answering.

Predictions are texts, object [examples], "" for no answer. Targets are lists of the texts that are right, object
[examples], empty where there is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.baselines import Baseline
from components.shared.statistics import Statistics
from components.shared.tasks.question_answering.metrics import scores_of
from components.shared.tasks.scoring import Breakdown, CommonScoring, Mistake, Scored, Section, Spec

NOTHING = "No answer to anything"
KINDS = ("with an answer", "without an answer")


class AnswerScoring(CommonScoring):
    """F1 of answers first; a mistake is an answer that is none of the references, the one with the lowest F1 first."""

    mistakes = (
        "Wrong answers",
        "{wrong:,} of {all:,} {what} are answered by none of their references; these {shown} share least with them: "
        "what is right is coloured, what was answered is underlined. "
        "Wrong labels in the data show up here first.",
        "None: every {one} is answered exactly. Look whether the answer is told by the question before you believe it.",
    )

    def targets(self, values: Sequence[Any], spec: Spec) -> np.ndarray:
        """Returns the texts of a snapshot's answers, object [examples]."""
        return objects_of([answer["text"] for answer in answers] for answers in values)

    def read(self, columns: Mapping[str, Sequence[Any]], spec: Spec) -> np.ndarray:
        """Returns `answer`."""
        return objects_of(answer or "" for answer in columns["answer"])

    def fault(self, predictions: np.ndarray, size: int, spec: Spec) -> str | None:
        """One text for each example."""
        if len(predictions) != size or any(not isinstance(answer, str) for answer in predictions):
            return f"gave no answers to {size:,} questions"
        return None

    def score(
        self, predictions: np.ndarray, targets: np.ndarray, spec: Spec, learned: Spec | None = None
    ) -> Statistics:
        """Returns exact match and F1 of each answer, also for questions with and without an answer alone."""
        found = [scores_of(answer, wanted) for answer, wanted in zip(predictions, targets, strict=True)]
        right = np.array([exact for exact, _ in found], bool)
        f1 = np.array([overlap for _, overlap in found], np.float64)
        answered = np.array([len(wanted) > 0 for wanted in targets], bool)
        arrays = {
            "right": right,
            "f1": f1,
            "answered": answered,
            "unanswered": ~answered,
            "f1_answered": np.where(answered, f1, 0.0),
            "right_unanswered": right & ~answered,
            "predicted": predictions,
            "references": targets,
        }
        return Statistics(arrays)

    def kept(self, columns: Mapping[str, np.ndarray], whole: Statistics, spec: Spec) -> Statistics:
        """Returns those of `answer`."""
        return self.score(self.read({"answer": list(columns["answer"])}, spec), whole["references"], spec)

    def columns(self, predictions: np.ndarray, statistics: Statistics, spec: Spec) -> Mapping[str, pa.Array]:
        """Returns `answer` (string)."""
        return {"answer": pa.array(predictions.tolist(), pa.string())}

    def constant(self, targets: np.ndarray, counts: Mapping[str, int], spec: Spec, size: int) -> Baseline:
        """Returns no answer to any question."""
        return Baseline(NOTHING, "", objects_of("" for _ in range(size)), 0, 0.0, len(targets))

    def breakdown(self, statistics: Statistics, spec: Spec) -> Breakdown:
        """Returns the F1 of questions with and without an answer."""
        sides = [statistics["f1"][statistics[name]] for name in ("answered", "unanswered")]
        values = [float(side.mean()) if len(side) else float("nan") for side in sides]
        return Breakdown(KINDS, np.array([len(side) for side in sides]), np.array(values))

    def details(self, scored: Scored) -> dict[str, Any]:
        """Returns how often there is an answer, and how often one is given."""
        statistics = scored.statistics
        given = np.array([bool(answer) for answer in statistics["predicted"]], bool)
        answered = statistics["answered"]
        return {
            "answers": [
                {"kind": kind, "examples": int(side.sum()), "given": int((given & side).sum()),
                 "right": int((statistics["right"] & side).sum())}
                for kind, side in zip(KINDS, (answered, ~answered), strict=True)
            ]
        }  # fmt: skip

    def worst(self, statistics: Statistics) -> np.ndarray:
        """Returns what lacks to a whole F1."""
        return np.where(statistics["right"], np.nan, 1 - statistics["f1"])

    def view(self, statistics: Statistics, place: int, spec: Spec) -> Mistake:
        """Returns the answer that is given, and those that are right."""
        answer = statistics["predicted"][place] or "nothing"
        wanted = " or ".join(dict.fromkeys(statistics["references"][place])) or "that there is none"
        said = [("answered", answer), ("where right is", wanted)]
        marks = [(1, text, "right") for text in statistics["references"][place]]
        marks.append((1, statistics["predicted"][place], "found"))
        return Mistake(f"{float(statistics['f1'][place]):.2f}", f"right is {wanted}, answered {answer}", said, marks)

    def sections(self, content: Mapping[str, Any], folds: bool) -> Sequence[Section]:
        """Returns how often an answer is given where there is one, and where there is none."""
        return [Section("answers.html.j2", {"rows": [row for row in content["answers"] if row["examples"]]})]


def objects_of(values: Iterable[Any]) -> np.ndarray:
    """Returns texts, or lists of them, as an array of objects, [examples]."""
    rows = list(values)
    found = np.empty(len(rows), object)
    for place, row in enumerate(rows):  # at once NumPy would look into lists of equal length
        found[place] = row
    return found
