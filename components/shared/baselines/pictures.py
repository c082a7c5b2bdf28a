"""Baselines of pictures: linear SVMs on gradients, colours and pixels, and the nearest class mean."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.shared.baselines import Baseline, Labelled, Terms, size_of
from components.shared.gradients.look import Look
from components.shared.linear import SQUARED_HINGE, Linear, calibrated, fit_linear, fit_once
from components.shared.selection import rank

_CHUNK = 512  # pictures that are decoded at once
# Examples, times values, times classes: what one fit may have to do. Work, not seconds: the same on every machine.
_SEARCH_WORK = 15_000_000
_WORK = 400_000_000
_LEAST = 500  # examples, however much work they are


@dataclass(frozen=True)
class _Model:
    """A fitted baseline: what it is called, of what it learned, and by which values."""

    name: str
    what: str
    linear: Linear
    columns: slice
    seconds: float
    examples: int


@dataclass(frozen=True)
class _Data:
    """Training and validation vectors with their classes."""

    rows: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    truth: np.ndarray

    def bounded(self, work: int, classes: int) -> "_Data":
        """Returns it with as many of the first training examples as a bounded work allows."""
        most = max(work // (self.rows.shape[1] * classes), _LEAST)
        places = Labelled([], self.labels).places(most)
        return (
            self
            if len(places) == len(self.labels)
            else replace(self, rows=self.rows[places], labels=self.labels[places])
        )

    def columns(self, chosen: slice) -> "_Data":
        """Returns it with some of the values."""
        return replace(self, rows=self.rows[:, chosen], held=self.held[:, chosen])


def picture_baselines(
    train: Labelled, validation: Labelled, test: Sequence[Sequence[bytes]], terms: Terms
) -> Iterator[Baseline]:
    """Yields gradients (and colours, where they help) and pixels with a linear SVM, and the nearest class mean."""
    terms = terms.chosen_by(train.labels)
    began = time.perf_counter()
    look = Look.fitting(train.inputs[0])
    rows, held = (np.concatenate([*_described(look, part.inputs[0])]) for part in (train, validation))
    data, spent = _Data(rows, train.labels, held, validation.labels), time.perf_counter() - began
    models = [_gradients(data, look, terms), _pixels(data, look, terms), _means(data, look, terms)]
    began = time.perf_counter()
    parts: list[list[np.ndarray]] = [[] for _ in models]
    for vectors in _described(look, test[0]):
        for model, found in zip(models, parts, strict=True):
            found.append(model.linear.probabilities(vectors[:, model.columns]))
    spent += time.perf_counter() - began  # of each: it could not do without
    for model, found in zip(models, parts, strict=True):
        probabilities, size = np.concatenate(found), size_of(model.linear)
        yield Baseline(model.name, model.what, probabilities, size, model.seconds + spent, model.examples)


def _described(look: Look, files: Sequence[bytes]) -> Iterator[np.ndarray]:
    """Yields vectors, some hundred pictures at a time: decoded, pictures take much more memory than their vectors."""
    yield np.zeros((0, look.width), np.float32)
    for start in range(0, len(files), _CHUNK):
        yield look.vectors(files[start : start + _CHUNK])


def _gradients(data: _Data, look: Look, terms: Terms) -> _Model:
    began, parts = time.perf_counter(), look.parts
    with_colours = slice(0, parts["colours"].stop)
    choices = {"gradients": parts["gradients"], **({} if look.grey else {"gradients and colours": with_colours})}
    few, like = data.bounded(_SEARCH_WORK, terms.classes), Linear.empty(SQUARED_HINGE)
    scores = {what: rank(_fit(few.columns(chosen), like, terms).validation, terms.selection)
              for what, chosen in choices.items()} if len(choices) > 1 else {"gradients": (0.0, 0.0)}  # fmt: skip
    what = max(scores, key=lambda name: scores[name])
    return _svm("SVM on HOG", f"{what} of {look.side} x {look.side} pixels", data, choices[what], terms, began)


def _pixels(data: _Data, look: Look, terms: Terms) -> _Model:
    began, chosen = time.perf_counter(), look.parts["pixels"]
    mean, deviation = data.rows[:, chosen].mean(0), data.rows[:, chosen].std(0) + 1e-3
    scale = deviation * np.sqrt(len(mean))  # vectors of length 1, about
    rows, held = ((part[:, chosen] - mean) / scale for part in (data.rows, data.held))
    side = look.thumbnail
    found = _svm(
        "SVM on pixels", f"{side} x {side} pixels", replace(data, rows=rows, held=held), slice(None), terms, began
    )
    weight = found.linear.weight / scale  # for vectors as they come
    linear = replace(found.linear, weight=weight.astype(np.float32), bias=found.linear.bias - weight @ mean)
    return replace(found, linear=linear, columns=chosen)


def _svm(name: str, what: str, data: _Data, columns: slice, terms: Terms, began: float) -> _Model:
    """Chooses the penalty on the first examples, and fits by it on all that a bounded work allows."""
    data = data.columns(columns)
    few, many = (data.bounded(work, terms.classes) for work in (_SEARCH_WORK, _WORK))
    model = fit_linear(
        few.rows, few.labels, few.held, few.truth, terms.classes, terms.seed, balances=terms.balances(few.labels),
        selection=terms.selection,
    )  # fmt: skip
    if len(many.labels) > len(few.labels):
        model = _fit(many, model, terms)
    seconds = time.perf_counter() - began
    return _Model(name, f"{what}; {model.words}", model, columns, seconds, len(many.labels))


def _means(data: _Data, look: Look, terms: Terms) -> _Model:
    """The mean vector of each class; the nearest one is predicted (Rocchio), as a linear classifier."""
    began, columns = time.perf_counter(), slice(0, look.parts["colours"].stop)
    counts = np.bincount(data.labels, minlength=terms.classes)
    sums = np.zeros((terms.classes, columns.stop), np.float32)
    np.add.at(sums, data.labels, data.rows[:, columns])
    means = sums / np.maximum(counts, 1)[:, None]
    bias = np.where(counts > 0, -(means**2).sum(1) / 2, Linear.NEVER).astype(np.float32)
    raw = replace(Linear.empty(SQUARED_HINGE), weight=means, bias=bias)
    model = calibrated(raw, raw.logits(data.held[:, columns]), data.truth)
    what = "gradients" if look.grey else "gradients and colours"
    return _Model("Nearest class mean", what, model, columns, time.perf_counter() - began, len(data.labels))


def _fit(data: _Data, like: Linear, terms: Terms) -> Linear:
    return fit_once(
        data.rows, data.labels, data.held, data.truth, terms.classes, terms.seed, like.loss, like.penalty, like.balanced
    )
