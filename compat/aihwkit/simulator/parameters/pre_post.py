"""Digital processing before and after a tile; an input range is not supported by this version of analogjax."""

import dataclasses

from compat.aihwkit.exceptions import ConfigError
from compat.parameters import View, check_fields, parameters, unsupported


@parameters()
class InputRangeParameter(View):
    """A fixed or learned range of the inputs."""

    enable: bool = dataclasses.field(default=False, metadata={"always_show": True})
    learn_input_range: bool = True
    init_value: float = 3.0
    init_from_data: int = 100
    init_std_alpha: float = 3.0
    decay: float = 0.001
    input_min_percentage: float = 0.95
    manage_output_clipping: bool = False
    output_min_percentage: float = 0.95
    gradient_scale: float = 1.0
    gradient_relative: bool = True
    calibration_info: str | None = None


@parameters()
class PrePostProcessingParameter(View):
    """What is done digitally around a tile."""

    input_range: InputRangeParameter = dataclasses.field(default_factory=InputRangeParameter)

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed and off: without `enable`, none has an effect."""
        check_fields(self)
        check_fields(self.input_range)
        if self.input_range.enable:
            raise unsupported(self.input_range, "enable")


@parameters()
class PeripheryQuantizationParameter(View):
    """How the digital scales and the bias around a tile are rounded; 0 bits: they are not.

    `learn_quant_params` makes the steps parameters of the layer, after `init_learning_after` training batches.
    """

    n_bits: int = 0
    symmetric: bool = True
    learn_quant_params: bool = False
    init_learning_after: int = 100

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed."""
        check_fields(self)
        if self.n_bits > 0 and self.learn_quant_params and self.init_learning_after < 1:
            raise ConfigError(
                f"PeripheryQuantizationParameter(init_learning_after={self.init_learning_after}): the first batches "
                "say where learning starts; needs 1 or more."
            )


@parameters()
class PrePostProcessingParameterQuant(PrePostProcessingParameter):
    """What is done digitally around a tile whose scales and bias are rounded."""

    periph_quant: PeripheryQuantizationParameter = dataclasses.field(default_factory=PeripheryQuantizationParameter)

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed, and the input range is off."""
        super().check()
        self.periph_quant.check()
