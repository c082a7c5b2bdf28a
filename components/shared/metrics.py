"""Metrics of a classification, from a confusion matrix or from probabilities. NumPy only."""

import numpy as np


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Returns int64 counts [classes, classes]: rows are true labels, columns predictions."""
    flat = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def accuracy(confusion: np.ndarray) -> float:
    """Returns the fraction that is right; NaN without examples."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns precision, recall and F1 by class, float64 [classes]; 0 where there is nothing to divide by."""
    right = np.diag(confusion).astype(np.float64)
    predicted, there = confusion.sum(0), confusion.sum(1)
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
    f1 = np.divide(2 * right, predicted + there, out=np.zeros_like(right), where=predicted + there > 0)
    return precision, recall, f1


def macro_f1(confusion: np.ndarray) -> float:
    """Returns the mean F1 over the classes that occur, in the labels or in the predictions."""
    occurs = (confusion.sum(0) + confusion.sum(1)) > 0
    return float(precision_recall_f1(confusion)[2][occurs].mean()) if occurs.any() else float("nan")


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean negative log-likelihood of the true labels, in nats; NaN without examples."""
    if not len(labels):
        return float("nan")
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-12, 1.0)).mean()) + 0.0  # never -0
