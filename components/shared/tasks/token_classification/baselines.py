"""Baselines of entities: a gazetteer of the training entities, and a linear model of each token's look and neighbours.

Tokens are words and single signs; what a model says of them is read by seqeval's rule: a tag that goes on with another
type than the one before it begins an entity.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.statistics.f1 import f1_of
from components.shared.tasks.token_classification.scoring import Span, objects_of

ALPHAS = (1e-6, 1e-5, 1e-4)  # penalties of the linear model
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LONGEST = 8  # tokens of an entity in the gazetteer
_MOST = 200_000  # tokens that the linear model learns from
_COLUMNS = 2**18
_HELD = 5  # one part in so many is chosen on where there is no validation
_OUTSIDE = "O"

Tokens = list[tuple[int, int, str]]


def text_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[str]], terms: Terms
) -> Iterator[Baseline]:
    """Yields the gazetteer and the linear model, whose penalty is chosen on validation, or on a part of the training.

    Args:
        train: What they learn from; its labels are lists of spans, object [examples].
        validation: What is chosen on; there may be none.
        test: Raw texts of the examples that are predicted.
        terms: Whose seed the linear model is fitted by.
    """
    began = time.perf_counter()
    texts, unseen = ([_tokens(text) for text in column] for column in (train.inputs[0], test[0]))
    names = _gazetteer(texts, list(train.labels))
    size = sum(len(" ".join(name)) + 4 for name in names)
    found = objects_of(_look_up(tokens, names) for tokens in unseen)
    what = f"{len(names):,} names"
    yield Baseline("Gazetteer", what, found, size, time.perf_counter() - began, len(texts))
    began = time.perf_counter()
    count = int(np.searchsorted(np.cumsum([len(tokens) for tokens in texts]), _MOST)) + 1
    texts, spans = texts[:count], list(train.labels[:count])
    held = [_tokens(text) for text in validation.inputs[0]], list(validation.labels)
    own = (texts, spans)
    if not held[0]:
        cut = len(texts) - max(len(texts) // _HELD, 1)
        own, held = (texts[:cut], spans[:cut]), (texts[cut:], spans[cut:])
    alpha = max(ALPHAS, key=lambda value: _score(_fit(*own, value, terms.seed), *held))
    model = _fit(texts, spans, alpha, terms.seed)
    found = objects_of(_predict(model, unseen))
    size = int(model[1].coef_.nbytes) if model is not None else 0
    what = f"words, shapes, affixes and neighbours; penalty {alpha:g}"
    yield Baseline("Linear model of tokens", what, found, size, time.perf_counter() - began, len(texts))


def _tokens(text: str) -> Tokens:
    return [(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(text)]


def _gazetteer(texts: Sequence[Tokens], spans: Sequence[list[Span]]) -> dict[tuple[str, ...], str]:
    """Returns the type of each name that is an entity more often than not."""
    marked: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for tokens, own in zip(texts, spans, strict=True):
        for start, end, label in own:
            name = tuple(word for first, last, word in tokens if first >= start and last <= end)
            if 0 < len(name) <= _LONGEST:
                marked[name][label] += 1
    seen: Counter[tuple[str, ...]] = Counter()
    lengths = sorted({len(name) for name in marked})
    for tokens in texts:
        words = [word for _, _, word in tokens]
        for length in lengths:
            parts = (tuple(words[place : place + length]) for place in range(len(words) - length + 1))
            seen.update(part for part in parts if part in marked)
    best = {name: counts.most_common(1)[0] for name, counts in marked.items()}
    return {name: label for name, (label, count) in best.items() if 2 * count > seen[name]}


def _look_up(tokens: Tokens, names: dict[tuple[str, ...], str]) -> list[Span]:
    """Returns the longest names from left to right."""
    found, place, words = list[Span](), 0, [word for _, _, word in tokens]
    most = max(map(len, names), default=0)
    while place < len(words):
        for length in range(min(most, len(words) - place), 0, -1):
            if label := names.get(tuple(words[place : place + length])):
                found.append((tokens[place][0], tokens[place + length - 1][1], label))
                place += length
                break
        else:
            place += 1
    return found


def _fit(texts: Sequence[Tokens], spans: Sequence[list[Span]], alpha: float, seed: int) -> tuple[Any, Any] | None:
    """Returns what makes features and a fitted model; None where no token is in an entity."""
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    tags = [tag for tokens, own in zip(texts, spans, strict=True) for tag in _tags(tokens, own)]
    if len(set(tags)) < 2:
        return None
    hasher = FeatureHasher(_COLUMNS, input_type="string")
    rows = hasher.transform(features for tokens in texts for features in _features(tokens))
    model = SGDClassifier(loss="log_loss", alpha=alpha, average=True, random_state=seed, max_iter=20, tol=1e-3)
    return hasher, model.fit(rows, tags)


def _predict(model: tuple[Any, Any] | None, texts: Sequence[Tokens]) -> Iterator[list[Span]]:
    for tokens in texts:
        if model is None or not tokens:
            yield []
            continue
        hasher, fitted = model
        yield _spans(tokens, fitted.predict(hasher.transform(_features(tokens))).tolist())


def _score(model: tuple[Any, Any] | None, texts: Sequence[Tokens], spans: Sequence[list[Span]]) -> float:
    """Returns the F1 of entities."""
    sides = [(set(found), set(there)) for found, there in zip(_predict(model, texts), spans, strict=True)]
    counts = [sum(len(part) for part in parts) for parts in zip(*((f & t, f, t) for f, t in sides), strict=True)]
    return float(f1_of(*(np.array(count) for count in counts))) if sides else 0.0


def _features(tokens: Tokens) -> Iterator[list[str]]:
    words = [word for _, _, word in tokens]
    around = ["<s>", "<s>", *words, "</s>", "</s>"]
    for place, word in enumerate(words, 2):
        lower = word.lower()
        found = [f"w={lower}", f"W={word}", f"shape={_shape(word)}"]
        found += [f"p{n}={lower[:n]}" for n in (1, 2, 3)] + [f"s{n}={lower[-n:]}" for n in (1, 2, 3, 4)]
        for step in (-2, -1, 1, 2):
            other = around[place + step]
            found += [f"{step}w={other.lower()}", f"{step}shape={_shape(other)}"]
        yield [*found, f"-1w0w={around[place - 1].lower()} {lower}", f"0w1w={lower} {around[place + 1].lower()}"]


def _shape(word: str) -> str:
    """Returns a word's look: "Xx", "XX", "dd", "x_x"; what repeats once."""
    letters = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return re.sub(r"(.)\1+", r"\1\1", "".join(letters))


def _tags(tokens: Tokens, spans: list[Span]) -> list[str]:
    """Returns a tag for each token, as IOB2 has them; a token that is partly in an entity is in it."""
    tags = [_OUTSIDE] * len(tokens)
    for start, end, label in spans:
        inside = [place for place, (first, last, _) in enumerate(tokens) if first < end and start < last]
        for number, place in enumerate(inside):
            tags[place] = f"{'I' if number else 'B'}-{label}"
    return tags


def _spans(tokens: Tokens, tags: Sequence[str]) -> list[Span]:
    found: list[Span] = []
    before = _OUTSIDE
    for (first, last, _), tag in zip(tokens, tags, strict=True):
        label = tag[2:]
        if tag != _OUTSIDE:
            if tag.startswith("I") and before[2:] == label and before != _OUTSIDE:
                found[-1] = (found[-1][0], last, label)
            else:
                found.append((first, last, label))
        before = tag
    return found
