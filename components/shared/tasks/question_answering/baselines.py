"""Baselines of answers: a window of the context, or a whole sentence, that shares most with the question.

Words count by how rare they are in the training contexts (the sliding window of Richardson et al., MCTest, EMNLP 2013).
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.tasks.question_answering.metrics import scores_of
from components.shared.tasks.question_answering.scoring import objects_of

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_AROUND = 12  # words before and after a window that may be those of the question
_CHOSEN_ON = 500  # examples

Words = list[tuple[int, int, str]]


def text_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[str]], terms: Terms
) -> Iterator[Baseline]:
    """Yields the best sentence and the best window; from what share on there is an answer is chosen on validation.

    Args:
        train: Questions and contexts with their answers, lists of texts.
        validation: What is chosen on; where there is none, the first training examples are.
        test: Questions and contexts of the examples that are predicted.
        terms: Nothing of them is needed.
    """
    began = time.perf_counter()
    rarity, unseen = _rarity(train.inputs[1])
    weights = _Weights(rarity, unseen)
    held = validation if len(validation) else train
    chosen = Labelled([column[:_CHOSEN_ON] for column in held.inputs], held.labels[:_CHOSEN_ON])
    size = sum(len(word.encode("utf-8", "replace")) + 5 for word in rarity)
    lengths = [len(_WORD.findall(answers[0])) for answers in train.labels if answers]
    length = int(np.median(lengths)) if lengths else 1
    for name, length_of in (("Best sentence", 0), (f"Best window of {max(length, 1)} words", max(length, 1))):
        own = [_best(question, context, weights, length_of) for question, context in zip(*chosen.inputs, strict=True)]
        level = _level(own, chosen.labels)
        found = [_best(question, context, weights, length_of) for question, context in zip(*test, strict=True)]
        answers = objects_of(answer if share >= level else "" for answer, share in found)
        kept = f"no answer below {level:.2f} of the question" if level < np.inf else "no answer to anything"
        what = "words by their rarity" + (f"; {kept}" if level else "")
        yield Baseline(name, what, answers, size, time.perf_counter() - began, len(train))
        began = time.perf_counter()


class _Weights:
    """How much each word tells: the rarer, the more."""

    def __init__(self, rarity: dict[str, float], unseen: float) -> None:
        self.rarity, self.unseen = rarity, unseen

    def of(self, words: set[str]) -> float:
        return sum(self.rarity.get(word, self.unseen) for word in words)


def _rarity(contexts: Sequence[str]) -> tuple[dict[str, float], float]:
    """Returns the inverse document frequency of each word, and that of a word that occurs nowhere."""
    documents = Counter(word for context in set(contexts) for word in {w.lower() for w in _WORD.findall(context)})
    total = max(len(set(contexts)), 1)
    return {word: float(np.log(1 + total / count)) for word, count in documents.items()}, float(np.log(1 + total))


def _best(question: str, context: str, weights: _Weights, length: int) -> tuple[str, float]:
    """Returns the best part of a context, and the share of the question's weight that it has.

    Args:
        question: Its words are looked for.
        context: Of which a part is the answer.
        weights: Of words.
        length: Of the window, in words, which itself repeats no word of the question; 0: a sentence.
    """
    asked = {word.lower() for word in _WORD.findall(question)}
    whole = weights.of(asked) or 1.0
    if not length:
        sentences = [match.group().strip() for match in _SENTENCE.finditer(context)] or [context]
        scores = [weights.of(asked & {word.lower() for word in _WORD.findall(one)}) / whole for one in sentences]
        best = int(np.argmax(scores))
        return sentences[best], scores[best]
    words: Words = [(match.start(), match.end(), match.group().lower()) for match in _WORD.finditer(context)]
    found, best_score = "", -1.0
    for place in range(max(len(words) - length + 1, 1) if words else 0):
        window, around = words[place : place + length], words[max(place - _AROUND, 0) : place + length + _AROUND]
        inside = {word for _, _, word in window}
        score = (weights.of(asked & {word for _, _, word in around}) - weights.of(asked & inside)) / whole
        if score > best_score:
            found, best_score = context[window[0][0] : window[-1][1]], score
    return found, max(best_score, 0.0)


def _level(found: Sequence[tuple[str, float]], truth: np.ndarray) -> float:
    """Returns the share from which on answers gain most F1 over none; 0 where all do, infinite where none does."""
    gains = np.array(
        [
            scores_of(answer, wanted)[1] - scores_of("", wanted)[1]
            for (answer, _), wanted in zip(found, truth, strict=True)
        ]
    )
    shares = np.array([share for _, share in found])
    order = np.argsort(-shares, kind="stable")
    sums, values = np.concatenate([[0.0], np.cumsum(gains[order])]), shares[order]
    ends = np.concatenate([[True], values[1:] < values[:-1], [True]]) if len(values) else np.array([True])
    best = int(np.argmax(np.where(ends, sums, -np.inf)))  # so many answers are given; equal shares go together
    if best == len(values):
        return 0.0
    return float((values[best - 1] + values[best]) / 2) if best else float("inf")
