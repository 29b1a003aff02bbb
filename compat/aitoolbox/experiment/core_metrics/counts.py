"""The arithmetic of the metrics in NumPy, with the conventions and the numbers of scikit-learn."""

import warnings

import numpy as np

from compat.aitoolbox.experiment.core_metrics import targets


def accuracy(y_true: np.ndarray, y_predicted: np.ndarray) -> float:
    """The share of equal labels; of rows of labels, the share of rows that are equal as a whole.

    Raises `ValueError` for what is not labels, and if the lengths differ.
    """
    truth, guess = targets.labels(y_true, y_predicted)
    equal = truth == guess
    return float(np.mean(equal if equal.ndim == 1 else equal.reshape(len(equal), -1).all(axis=1)))


def hits_of_class_one(y_true: np.ndarray, y_predicted: np.ndarray) -> tuple[int, int, int]:
    """How many labels are 1 in both, in the predictions, and in the truth. Raises `ValueError` for other labels."""
    truth, guess = targets.positives(y_true, y_predicted)
    return int(np.sum(truth & guess)), int(np.sum(guess)), int(np.sum(truth))


def ratio(what: str, part: int, whole: int) -> float:
    """`part / whole`, and 0 of nothing, with a warning."""
    if whole == 0:
        warnings.warn(f"{what} is not defined without any positive: it is 0.", stacklevel=4)
        return 0.0
    return float(part / whole)


def roc_auc(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The area under the ROC curve, the mean of it over columns; NaN, with a warning, if only one class is there.

    Of two classes the larger label is the positive one. Raises `ValueError` for other labels and scores.
    """
    truth, score = targets.ranked(y_true, y_score)
    if truth.ndim == 2:
        return float(np.mean([roc_auc(truth[:, place], score[:, place]) for place in range(truth.shape[1])]))
    classes = np.unique(truth)
    if len(classes) < 2:
        warnings.warn("ROC AUC is not defined: y_true has only one class.", stacklevel=2)
        return float("nan")
    hits, alarms = _curve(truth == classes[1], score)
    # the corners only, as points on a straight line add rounding errors
    keep = np.r_[True, (np.diff(hits, 2) != 0) | (np.diff(alarms, 2) != 0), True] if len(hits) > 2 else slice(None)
    x, y = np.r_[0, alarms[keep]], np.r_[0, hits[keep]]
    return float(np.trapezoid(y / y[-1], x / x[-1]))


def precision_recall_auc(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The area under the curve of precision over recall, by trapezoids. Raises `ValueError` unless labels are 0 and 1,
    or -1 and 1, and scores are numbers.
    """
    truth, score = targets.ranked(y_true, y_score)
    classes = set(np.unique(truth).tolist())
    if truth.ndim != 1 or not (classes <= {0, 1} or classes <= {-1, 1}):
        raise ValueError(f"Labels 0 and 1 are needed, found {sorted(classes)[:5]} in shape {truth.shape}.")
    hits, alarms = _curve(truth == 1, score)
    called = hits + alarms
    precision = np.divide(hits, called, out=np.zeros(len(hits)), where=called != 0)
    if hits[-1] == 0:
        warnings.warn("Recall is not defined, as y_true has no positive label: it is taken as 1.", stacklevel=2)
        recall = np.ones(len(hits))
    else:
        recall = hits / hits[-1]
    return -float(np.trapezoid(np.r_[precision[::-1], 1.0], np.r_[recall[::-1], 0.0]))


def _curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives if everything from each score on is called positive, highest score first."""
    order = np.argsort(score, kind="stable")[::-1]
    score, truth = score[order], truth[order]
    last = np.r_[np.where(np.diff(score))[0], len(score) - 1]
    hits = np.cumsum(truth, dtype=np.float64)[last]
    return hits, 1 + last - hits
