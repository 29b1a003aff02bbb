"""Metrics of classifiers, as Python floats. Each raises `ValueError` for what is no labels or predictions."""

from typing import Any

import numpy as np

from compat.aitoolbox.experiment.core_metrics import counts, targets
from compat.aitoolbox.experiment.core_metrics.abstract_metric import AbstractBaseMetric


class AccuracyMetric(AbstractBaseMetric):
    """The share of right labels.

    Predictions `[N, C]` are turned into the most likely class, probabilities into `p >= positive_class_thresh`;
    with `None` predictions are labels already. Predictions outside [0, 1] must be labels too.
    """

    def __init__(self, y_true: Any, y_predicted: Any, positive_class_thresh: float | None = 0.5) -> None:
        self.positive_class_thresh = positive_class_thresh
        super().__init__(y_true, y_predicted, metric_name="Accuracy")

    def calculate_metric(self) -> float:
        if self.y_predicted.ndim > 1 and self.y_predicted.shape[1] > 1:
            self.y_predicted = targets.classes_of_rows(self.y_predicted, "y_predicted")
        elif self.positive_class_thresh is not None:
            self.y_predicted = self._thresholded(targets.numbers(self.y_predicted, "y_predicted"))
        if self.y_true.ndim > 1 and self.y_true.shape[1] > 1:
            self.y_true = targets.classes_of_rows(self.y_true, "y_true")
        return counts.accuracy(self.y_true, self.y_predicted)

    def _thresholded(self, predictions: np.ndarray) -> np.ndarray:
        if np.min(predictions) >= 0.0 and np.max(predictions) <= 1.0:
            return predictions >= self.positive_class_thresh
        print("Accuracy: the predictions are not between 0 and 1, so the threshold was not applied")
        return predictions


class ROCAUCMetric(AbstractBaseMetric):
    """The area under the ROC curve of scores for two classes, of which the larger label is the positive one."""

    def __init__(self, y_true: Any, y_predicted: Any) -> None:
        super().__init__(y_true, y_predicted, metric_name="ROC_AUC")

    def calculate_metric(self) -> float:
        return counts.roc_auc(self.y_true, self.y_predicted)


class PrecisionRecallCurveAUCMetric(AbstractBaseMetric):
    """The area under the precision-recall curve of scores for labels 0 and 1."""

    def __init__(self, y_true: Any, y_predicted: Any) -> None:
        super().__init__(y_true, y_predicted, metric_name="PrecisionRecall_AUC")

    def calculate_metric(self) -> float:
        return counts.precision_recall_auc(self.y_true, self.y_predicted)


class _Thresholded(AbstractBaseMetric):
    def __init__(self, y_true: Any, y_predicted: Any, metric_name: str, positive_class_thresh: float) -> None:
        self.positive_class_thresh = positive_class_thresh
        super().__init__(y_true, y_predicted, metric_name=metric_name)

    def counts(self) -> tuple[int, int, int]:
        scores = targets.numbers(self.y_predicted, "y_predicted")
        return counts.hits_of_class_one(self.y_true, np.where(scores > self.positive_class_thresh, 1, 0))


class F1ScoreMetric(_Thresholded):
    """The harmonic mean of precision and recall; `p > positive_class_thresh` is positive."""

    def __init__(self, y_true: Any, y_predicted: Any, positive_class_thresh: float = 0.5) -> None:
        super().__init__(y_true, y_predicted, "F1_score", positive_class_thresh)

    def calculate_metric(self) -> float:
        both, guesses, positives = self.counts()
        return counts.ratio("F1", 2 * both, guesses + positives)


class PrecisionMetric(_Thresholded):
    """The share of positives among those called positive; `p > positive_class_thresh` is positive."""

    def __init__(self, y_true: Any, y_predicted: Any, positive_class_thresh: float = 0.5) -> None:
        super().__init__(y_true, y_predicted, "Precision", positive_class_thresh)

    def calculate_metric(self) -> float:
        both, guesses, _ = self.counts()
        return counts.ratio("Precision", both, guesses)


class RecallMetric(_Thresholded):
    """The share of the positives that are called positive; `p > positive_class_thresh` is positive."""

    def __init__(self, y_true: Any, y_predicted: Any, positive_class_thresh: float = 0.5) -> None:
        super().__init__(y_true, y_predicted, "Recall", positive_class_thresh)

    def calculate_metric(self) -> float:
        both, _, positives = self.counts()
        return counts.ratio("Recall", both, positives)
