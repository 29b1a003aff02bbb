"""The tile configuration of an inference."""

from typing import Any

from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.cloud.converter.v1.analog_info import AnalogInfo
from compat.aihwkit.cloud.converter.v1.noise_model_info import NoiseModelInfo
from compat.aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel, StateIndependentNoiseModel
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.aihwkit.simulator.presets import web

RPU_CLASSES = {
    kind.__name__: kind
    for kind in (InferenceRPUConfig, web.WebComposerInferenceRPUConfig, web.OldWebComposerInferenceRPUConfig)
}


class NoiseModelDeviceIDException(ConversionError):
    """A noise model is of an unknown kind."""


class RPUconfigInfo:
    """What the configuration is made from."""

    def __init__(self, nm_info: NoiseModelInfo, a_info: AnalogInfo, layers: Any = None) -> None:
        self.nm_info, self.a_info, self.layers = nm_info, a_info, layers

    def create_inference_rpu_config(self, func_id: str = "", verbose: bool = False) -> InferenceRPUConfig:
        """The configuration that all analog layers share. Raises `ConversionError` where there is none."""
        config = self._kind()()
        config.forward.out_noise = self.a_info.output_noise_strength
        config.forward.out_res, config.forward.inp_res = (1 / (2**n - 2) for n in (self.a_info.adc, self.a_info.dac))
        config.noise_model = self._noise_model()
        config.drift_compensation = GlobalDriftCompensation() if self.nm_info.drift_compensation else None
        return config

    def _kind(self) -> type[InferenceRPUConfig]:
        names = {
            argument.s.decode()
            for item in self.layers or []
            for argument in item.layer.arguments
            if item.layer.id.startswith("Analog") and argument.name == "rpu_config"
        } or {"WebComposerInferenceRPUConfig"}
        if len(names) > 1 or not names <= set(RPU_CLASSES):
            raise ConversionError(
                f"rpu_config {sorted(names)}: all layers need the same one of {', '.join(RPU_CLASSES)}."
            )
        return RPU_CLASSES[names.pop()]

    def _noise_model(self) -> Any:
        info = self.nm_info
        given: dict[str, Any] = {
            "g_max": 25.0, "prog_noise_scale": info.programming_noise_scale, "read_noise_scale": info.read_noise_scale,
            "drift_scale": info.drift_scale,
            "prog_coeff": [info.poly_constant_coef, info.poly_first_order_coef, info.poly_second_order_coef],
        }  # fmt: skip
        if info.device_id == NoiseModelInfo.PCM:
            return PCMLikeNoiseModel(**given)
        if info.device_id != NoiseModelInfo.GENERIC:
            raise NoiseModelDeviceIDException(f"noise model {info.device_id!r} is none of pcm and generic.")
        return StateIndependentNoiseModel(drift_nu_mean=info.drift_mean, drift_nu_std=info.drift_std, **given)
