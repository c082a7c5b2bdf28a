"""The metrics of a classification. A prediction of -1 is none of the classes: wrong, and no class of its own."""

from dataclasses import dataclass

import numpy as np

from components.shared.statistics import OfSums, Statistics, smaller
from components.shared.statistics.metric import Described

BINS = 15  # of confidence


@dataclass(frozen=True)
class MacroF1(Described):
    """The mean F1 over the classes that occur, in the labels or in the predictions."""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample."""
        there, found, hits = _counts(statistics, weights)
        total = found + there
        f1 = np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0)
        with np.errstate(invalid="ignore"):
            return np.asarray(f1.sum(-1) / (total > 0).sum(-1))


@dataclass(frozen=True)
class Kappa(Described):
    """Cohen's kappa: 0 for whatever does not look at the input, a constant class and guessing alike.

    So it tells chance where classes are uneven, too. Cohen, A Coefficient of Agreement for Nominal Scales (1960).
    """

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample."""
        there, found, hits = _counts(statistics, weights)
        total = there.sum(1)
        agreed = hits.sum(1) / total
        expected = (there * found).sum(1) / total.astype(np.float64) ** 2
        out = np.zeros(len(agreed))
        return np.asarray(np.divide(agreed - expected, 1 - expected, out=out, where=expected < 1))


@dataclass(frozen=True)
class CalibrationError(Described):
    """The distance of confidence and accuracy, a mean over bins of confidence (Guo et al., 1706.04599)."""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample."""
        from scipy.sparse import csr_array

        size, bins = len(statistics), bins_of(statistics["confidence"])
        each = np.ones((1, size)) if weights is None else weights.astype(np.float64)
        sums = [
            each @ csr_array((column, (np.arange(size), bins)), shape=(size, BINS))
            for column in (np.ones(size), statistics["right"].astype(float), statistics["confidence"].astype(float))
        ]
        counts, right, confidence = sums
        shares = [np.divide(part, counts, out=np.zeros(counts.shape), where=counts > 0) for part in (right, confidence)]
        gaps = np.cumsum(counts * abs(shares[0] - shares[1]), axis=1)[:, -1]  # bin after bin, whatever NumPy's sum does
        with np.errstate(invalid="ignore"):
            return np.asarray(gaps / counts.sum(1))


@dataclass(frozen=True)
class RocAuc(Described):
    """The area under the ROC curve of the second of two classes: the share of pairs that are in the right order."""

    def applies(self, statistics: Statistics) -> bool:
        """Whether there are two classes."""
        return statistics.sizes["classes"] == 2

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where only one class occurs."""
        each = np.ones((1, len(statistics))) if weights is None else weights.astype(np.float64)
        positive = statistics["labels"] == 1
        found = (each * positive * smaller(statistics["score"], each * ~positive)).sum(1)
        with np.errstate(invalid="ignore"):
            return np.asarray(found / ((each * positive).sum(1) * (each * ~positive).sum(1)))


def bins_of(confidence: np.ndarray) -> np.ndarray:
    """Returns which of 15 bins of equal width, (low, high], each confidence falls into."""
    return np.asarray(np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1))


def _counts(statistics: Statistics, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns how many of each class that occurs are there, predicted and right, [resamples, classes]."""
    labels, predicted = statistics["labels"], statistics["predicted"]
    codes, place = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
    lacking = int(codes[0] < 0) if len(codes) else 0
    truth, found = place[: len(labels)] - lacking, place[len(labels) :] - lacking
    columns = [truth, found, np.where(truth == found, truth, -1)]
    size = len(codes) - lacking
    if weights is None:
        counted = [np.bincount(column[column >= 0], minlength=size)[None] for column in columns]
    else:
        counted = [np.asarray(weights @ _indicator(column, size)) for column in columns]
    return counted[0], counted[1], counted[2]


def _indicator(numbers: np.ndarray, classes: int):  # type: ignore[no-untyped-def]  # SciPy is imported in here
    """Returns which case counts for which class, [cases, classes]; a number of -1 counts for none."""
    from scipy.sparse import csr_array

    cases = np.flatnonzero(numbers >= 0)
    ones = np.ones(len(cases), np.int64)
    return csr_array((ones, (cases, numbers[cases])), shape=(len(numbers), classes))


ACCURACY = OfSums("accuracy", "accuracy", "Accuracy", ("right",), hits="right", proportion=True)
MACRO_F1 = MacroF1("macro_f1", "macro-F1", "Macro-F1", ("labels", "predicted"), hits="right")
LOG_LOSS = OfSums("log_loss", "log loss", "Log loss", ("loss",), -1, (0.0, float("inf")), "nats", decides=False)
ECE = CalibrationError("ece", "calibration error", "ECE", ("right", "confidence"), -1, decides=False)
ROC_AUC = RocAuc("roc_auc", "area under the ROC curve", "", ("labels", "score"), decides=False, resamples=1_000)
METRICS = (ACCURACY, MACRO_F1, LOG_LOSS, ECE, ROC_AUC)
KAPPA = Kappa("kappa", "Cohen's kappa", "", ("labels", "predicted"), bounds=(-1.0, 1.0))
