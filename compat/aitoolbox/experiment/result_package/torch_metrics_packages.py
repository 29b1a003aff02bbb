"""Results of a TorchMetrics metric."""

from typing import Any

from compat.aitoolbox.experiment.result_package.abstract_result_packages import AbstractResultPackage


class TorchMetricsPackage(AbstractResultPackage):
    """What `torch_metrics(predicted, true)` returns, with `_PTLMetrics` after each name."""

    def __init__(self, torch_metrics: Any) -> None:
        super().__init__("Torch Metrics", np_array=False)
        self.metric = torch_metrics

    def prepare_results_dict(self) -> dict[str, Any]:
        result = self.metric(self.y_predicted, self.y_true)
        named = result if isinstance(result, dict) else {type(self.metric).__name__: result}
        return {f"{name}_PTLMetrics": value for name, value in named.items()}

    def metric_compute(self) -> Any:
        """The metric over all batches since the last reset."""
        return self.metric.compute()

    def metric_reset(self) -> None:
        """Makes the metric forget its batches."""
        self.metric.reset()
