"""Metrics of regressions, as Python floats."""

from typing import Any

import numpy as np

from compat.aitoolbox.experiment.core_metrics import targets
from compat.aitoolbox.experiment.core_metrics.abstract_metric import AbstractBaseMetric


class _MeanError(AbstractBaseMetric):
    """A mean over samples, then over outputs. Raises `ValueError` unless both are finite numbers, of one shape."""

    def differences(self) -> np.ndarray:
        truth, guess = targets.pair_of_numbers(self.y_true, self.y_predicted)
        return truth - guess


class MeanSquaredErrorMetric(_MeanError):
    """The mean of the squared errors."""

    def __init__(self, y_true: Any, y_predicted: Any) -> None:
        super().__init__(y_true, y_predicted, metric_name="Mean_squared_error")

    def calculate_metric(self) -> float:
        return float(np.mean(np.mean(self.differences() ** 2, axis=0)))


class MeanAbsoluteErrorMetric(_MeanError):
    """The mean of the absolute errors."""

    def __init__(self, y_true: Any, y_predicted: Any) -> None:
        super().__init__(y_true, y_predicted, metric_name="Mean_absolute_error")

    def calculate_metric(self) -> float:
        return float(np.mean(np.mean(np.abs(self.differences()), axis=0)))
