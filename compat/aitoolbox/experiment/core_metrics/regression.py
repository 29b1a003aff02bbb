"""Metrics of regressions, as Python floats."""

from typing import Any

import numpy as np

from compat.aitoolbox.experiment.core_metrics.abstract_metric import AbstractBaseMetric


class _MeanError(AbstractBaseMetric):
    """A mean over samples, then over outputs. Raises `ValueError` if the shapes do not fit."""

    def differences(self) -> np.ndarray:
        truth, guess = (y[:, None] if y.ndim == 1 else y for y in (self.y_true, self.y_predicted))
        if truth.shape != guess.shape:
            raise ValueError(f"Targets of shape {truth.shape} and predictions of shape {guess.shape} do not fit.")
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
