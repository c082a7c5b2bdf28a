"""How well answers are found in validation contexts."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets
from components.shared.tasks.question_answering.spans import best_span

Place = tuple[int, int]
"""The first character and the one after the last; both are 0 where there is no answer."""

_WITHOUT = 2  # windows of a question that its answer does not stand in, and that are learned from
_FEW = 20  # questions of either kind, below which no level is chosen: it would follow chance


class Objective:
    """F1 of an answer's characters, and how often it is exactly the one that was marked."""

    metrics = ("span_f1", "span_match")
    bounded = ("span_f1",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.longest = int(spec.get("max_answer_tokens", 64))
        self.unanswerable = bool(spec.get("unanswerable"))

    def selection(self, targets: Targets) -> str:
        """Returns "span_f1"."""
        return "span_f1"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (of a window, in nats) and the metrics, of examples."""
        pairs = list(self._pairs(outputs, targets))
        if not pairs:
            return dict.fromkeys(("validation_loss", *self.metrics), float("nan"))
        level = 0.0 if self.unanswerable else None
        found = [(best_span(windows, self.longest, level), wanted) for windows, wanted in pairs]
        overlaps = [_overlap((span.start, span.end), wanted) for span, wanted in found]
        matches = [(span.start, span.end) in wanted for span, wanted in found]
        losses = list(_losses(outputs["logits"], targets))
        return {
            "validation_loss": float(np.mean(losses)),
            "span_f1": float(np.mean(overlaps)),
            "span_match": float(np.mean(matches)),
        }

    def dealt(self, outputs: Outputs, targets: Targets, times: int) -> tuple[int, list[float]]:
        """See `Dealing`: each place is given to another context."""
        level = 0.0 if self.unanswerable else None
        pairs = list(self._pairs(outputs, targets))
        spans = [best_span(windows, self.longest, level) for windows, _ in pairs]
        draw, found = np.random.default_rng(0), []
        for _ in range(times):
            order = draw.permutation(len(pairs)).tolist()
            others = ((spans[other].start, spans[other].end) for other in order)
            found.append(
                float(np.mean([_overlap(span, wanted) for span, (_, wanted) in zip(others, pairs, strict=True)]))
            )
        return len(pairs), found

    def picked(self, targets: Targets, seed: int) -> np.ndarray:
        """See `Picking`: every window with an answer, and of each question two others: most have none."""
        windows, there = np.asarray(targets["window"]), np.asarray(targets["end"]) > 0
        questions, chance = np.cumsum(windows == 0), np.random.default_rng(seed).random(len(windows))
        order = np.lexsort((chance, there, questions))  # of each question those without an answer come first
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(questions[order])) + 1]) if len(order) else order
        places = np.arange(len(order)) - np.repeat(firsts, np.diff([*firsts, len(order)]))
        found = there.copy()
        found[order[places < _WITHOUT]] = True
        return found

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Sets from which margin on an answer is given: the one with the best F1 on validation examples."""
        if not self.unanswerable:
            return {}
        margins, gains = [], []  # of an answer that is given over none
        for windows, wanted in self._pairs(outputs, targets):
            span = best_span(windows, self.longest, -np.inf)
            margins.append(span.margin)
            gains.append(_overlap((span.start, span.end), wanted) - float((0, 0) in wanted))
        found = _best_level(np.array(margins), np.array(gains))
        head.threshold.fill_(found)
        return {"threshold": float(head.threshold)}

    def _pairs(self, outputs: Outputs, targets: Targets) -> Iterator[tuple[list[Any], set[Place]]]:
        """Yields of each example its windows, and where answers stand."""
        windows: list[Any] = []
        wanted = set[Place]()
        for place, (logits, start, end, window, starts, ends) in enumerate(_rows(outputs["logits"], targets)):
            if window == 0 and place:
                yield windows, wanted or {(0, 0)}
                windows, wanted = [], set()
            windows.append((logits, starts, ends))
            if (start, end) != (0, 0):
                wanted.add((int(starts[start]), int(ends[end])))
        if windows:
            yield windows, wanted or {(0, 0)}


def _rows(logits: np.ndarray, targets: Targets) -> Iterator[tuple[Any, ...]]:
    """Yields of each window its logits and its columns."""
    bounds = np.cumsum([0, *(len(row) for row in targets["starts"])])
    columns = (targets[name] for name in ("start", "end", "window", "starts", "ends"))
    for low, high, *rest in zip(bounds[:-1], bounds[1:], *columns, strict=True):
        yield (logits[low:high], *rest)


def _losses(logits: np.ndarray, targets: Targets) -> Iterator[float]:
    for values, start, end, _, starts, _ in _rows(logits, targets):
        asked = np.asarray(starts) >= 0
        asked[0] = True
        logs = np.logaddexp.reduce(values[asked].astype(np.float64), 0) - values[[start, end], [0, 1]]
        yield float(logs.mean())


def _overlap(found: Place, wanted: set[Place]) -> float:
    """Returns the best F1 of characters."""
    if (0, 0) in (found, *wanted):
        return float(found in wanted)
    shared = (max(0, min(found[1], end) - max(found[0], start)) for start, end in wanted)
    sizes = (found[1] - found[0] + end - start for start, end in wanted)
    return max(2 * both / size for both, size in zip(shared, sizes, strict=True))


def _best_level(margins: np.ndarray, gains: np.ndarray) -> float:
    """Returns the margin above which giving an answer gains most: between two that occur; 0 where there are few."""
    if min((gains > 0).sum(), (gains < 0).sum()) < _FEW:
        return 0.0
    order = np.argsort(-margins, kind="stable")
    values, sums = margins[order], np.concatenate([[0.0], np.cumsum(gains[order])])
    ends = np.concatenate([[True], values[1:] < values[:-1], [True]])  # equal ones go together
    best = int(np.argmax(np.where(ends, sums, -np.inf)))
    above, below = (
        (values[best - 1] if best else values[0] + 1),
        (values[best] if best < len(values) else values[-1] - 1),
    )
    return float((above + below) / 2)
