"""Packages of the usual metrics."""

from typing import Any

from compat.aitoolbox.experiment.core_metrics.abstract_metric import AbstractBaseMetric
from compat.aitoolbox.experiment.core_metrics.classification import (
    AccuracyMetric,
    F1ScoreMetric,
    PrecisionRecallCurveAUCMetric,
    ROCAUCMetric,
)
from compat.aitoolbox.experiment.core_metrics.regression import MeanAbsoluteErrorMetric, MeanSquaredErrorMetric
from compat.aitoolbox.experiment.result_package.abstract_result_packages import AbstractResultPackage


class GeneralResultPackage(AbstractResultPackage):
    """The metrics of `metrics_list`: classes, or functions of labels and predictions that return a metric."""

    def __init__(self, metrics_list: list[Any], strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("GeneralResultPackage", strict_content_check, **kwargs)
        self.metrics_list = metrics_list

    def prepare_results_dict(self) -> dict[str, Any]:
        self.qa_check_hyperparameters_dict()
        self.qa_check_metrics_list()
        results: dict[str, Any] = {}
        for metric in self.metrics_list:
            results = results + metric(self.y_true, self.y_predicted)
        return results

    def qa_check_metrics_list(self) -> None:
        """Complains about an empty list, and about what is neither a metric class nor callable."""
        if len(self.metrics_list) == 0:
            self.warn_about_result_data_problem("The list of metrics is empty")
        for metric in self.metrics_list:
            if not callable(metric) or (isinstance(metric, type) and not issubclass(metric, AbstractBaseMetric)):
                self.warn_about_result_data_problem(f"{metric} is not derived from AbstractBaseMetric")


class BinaryClassificationResultPackage(AbstractResultPackage):
    """Accuracy, ROC AUC, precision-recall AUC and F1 of probabilities."""

    def __init__(self, positive_class_thresh: float = 0.5, strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("BinaryClassificationResult", strict_content_check, **kwargs)
        self.positive_class_thresh = positive_class_thresh

    def prepare_results_dict(self) -> dict[str, Any]:
        labels = (self.y_true, self.y_predicted)
        return (
            AccuracyMetric(*labels, positive_class_thresh=self.positive_class_thresh)
            + ROCAUCMetric(*labels)
            + PrecisionRecallCurveAUCMetric(*labels)
            + F1ScoreMetric(*labels, positive_class_thresh=self.positive_class_thresh)
        )


class ClassificationResultPackage(AbstractResultPackage):
    """Accuracy of class labels."""

    def __init__(self, strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("ClassificationResult", strict_content_check, **kwargs)

    def prepare_results_dict(self) -> dict[str, Any]:
        return AccuracyMetric(self.y_true, self.y_predicted, positive_class_thresh=None).get_metric_dict()


class RegressionResultPackage(AbstractResultPackage):
    """Mean squared and mean absolute error."""

    def __init__(self, strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("RegressionResult", strict_content_check, **kwargs)

    def prepare_results_dict(self) -> dict[str, Any]:
        labels = (self.y_true, self.y_predicted)
        return MeanSquaredErrorMetric(*labels) + MeanAbsoluteErrorMetric(*labels)
