"""The tile configuration of an inference; not simulated for torch layers."""

from typing import Any

from compat.aihwkit.cloud.converter.v1.analog_info import AnalogInfo
from compat.aihwkit.cloud.converter.v1.noise_model_info import NoiseModelInfo
from compat.aihwkit.exceptions import ConfigError


class RPUconfigInfo:
    """What the configuration is made from."""

    def __init__(self, nm_info: NoiseModelInfo, a_info: AnalogInfo, layers: Any = None) -> None:
        self.nm_info, self.a_info, self.layers = nm_info, a_info, layers

    def create_inference_rpu_config(self, func_id: str = "", verbose: bool = False) -> Any:
        """Raises `ConfigError`: this version does not simulate it."""
        raise ConfigError("InferenceRPUConfig is not simulated by this version of analogjax.")
