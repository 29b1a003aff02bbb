"""Running an inference in the cloud."""

from typing import Any

from compat.aihwkit.experiments.runners.cloud import CloudRunner, _name


class InferenceCloudRunner(CloudRunner):
    """As `CloudRunner`, for `BasicInferencing`.

    Unlike in aihwkit, TLS certificates are checked unless `verify=False`: without the check anyone on the way can take
    the token.
    """

    def _client(self) -> Any:
        from compat.aihwkit.cloud.client.v1.i_api_client import InferenceApiClient

        return InferenceApiClient(self.session)

    def run(  # type: ignore[override]
        self,
        experiment: Any,
        analog_info: dict[str, Any],
        noise_model_info: dict[str, Any],
        name: str = "",
        device: str = "gpu",
        **_: Any,
    ) -> Any:
        """Submit a `BasicInferencing`, and return its `CloudExperiment` at once.

        On a service of `analogjax serve` the experiment's `weight_template_id` is the id of a training that you have
        completed there (`CloudExperiment.experiment_id`). Raises `ConversionError`.
        """
        name = name or _name("aihwkit inference cloud experiment", experiment)
        return self.api_client.experiment_create(experiment, analog_info, noise_model_info, name, device)
