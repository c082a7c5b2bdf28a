"""The metrics of answers, as SQuAD has them: exact match and F1 of words, against the best of several references.

Rajpurkar et al., SQuAD (1606.05250) and Know What You Don't Know (1806.03822): an answer that is not in the text is
told by an empty one, and right only where there is none.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from components.shared.statistics import OfSums
from components.shared.statistics.f1 import share_of

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Returns a text as answers are compared: lower case, without signs and articles, one blank between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_SIGNS)).split())


def scores_of(answer: str, references: Sequence[str]) -> tuple[bool, float]:
    """Returns whether an answer is exactly one of its references, and its best F1 of words.

    Args:
        answer: "" for none.
        references: That are right, each as good as another; none: there is no answer.
    """
    if not references:
        return not answer, float(not answer)
    if not answer:
        return False, 0.0
    found = normalised(answer)
    wanted = [normalised(reference) for reference in references]
    return found in wanted, max(_overlap(found.split(), one.split()) for one in wanted)


def _overlap(found: Sequence[str], wanted: Sequence[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def _part(score: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where(there > 0, share_of(score, there), np.nan)


ANSWER_F1 = OfSums("answer_f1", "F1 of answers", "F1", ("f1",))
EXACT = OfSums("exact_match", "exact match", "Exact match", ("right",), hits="right", proportion=True)
ANSWERED_F1 = OfSums(
    "answered_f1", "F1 where there is an answer", "F1, answered", ("f1_answered", "answered"), decides=False, of=_part
)
UNANSWERED = OfSums(
    "unanswered_right", "share that is right where there is no answer", "Right, unanswered",
    ("right_unanswered", "unanswered"), decides=False, of=_part,
)  # fmt: skip
METRICS = (ANSWER_F1, EXACT, ANSWERED_F1, UNANSWERED)
