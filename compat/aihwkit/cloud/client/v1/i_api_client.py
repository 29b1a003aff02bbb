"""The client of inference."""

from typing import Any

from compat.aihwkit.cloud.client.entities import CloudExperiment
from compat.aihwkit.cloud.client.session import ApiSession
from compat.aihwkit.cloud.client.v1.api_client import ApiClient
from compat.aihwkit.cloud.converter.v1.inferencing import BasicInferencingConverter


class InferenceApiClient(ApiClient):
    """As `ApiClient`, for `BasicInferencing`."""

    category = "inference"

    def __init__(self, session: ApiSession) -> None:
        super().__init__(session)
        self.converter = BasicInferencingConverter()

    def experiment_create(  # type: ignore[override]
        self, input_: Any, analog_info: dict, noise_model_info: dict, name: str, device: str = "gpu"
    ) -> CloudExperiment:
        """Submit an experiment. Raises `ConversionError` for what the protocol has no words for."""
        return self._submit(self.converter.to_proto(input_, analog_info, noise_model_info), name, device)
