"""Results of a Hugging Face Evaluate metric."""

from typing import Any

from compat.aitoolbox.experiment.result_package.abstract_result_packages import AbstractResultPackage


class HFEvaluateResultPackage(AbstractResultPackage):
    """What `hf_evaluate_metric.compute` returns, with `_HFEvaluate` after each name.

    `kwargs` are passed on to it, and with `use_models_additional_results` the model's additional results, if any.
    """

    def __init__(self, hf_evaluate_metric: Any, use_models_additional_results: bool = True, **kwargs: Any) -> None:
        super().__init__("HuggingFace Evaluate metrics", **kwargs)
        self.metric = hf_evaluate_metric
        self.use_models_additional_results = use_models_additional_results

    def prepare_results_dict(self) -> Any:
        inputs = dict(self.package_metadata)
        if self.use_models_additional_results:
            inputs |= (self.additional_results or {}).get("additional_results", {})
        result = self.metric.compute(references=self.y_true, predictions=self.y_predicted, **inputs)
        return {f"{name}_HFEvaluate": value for name, value in result.items()} if isinstance(result, dict) else result
