"""Digital processing before and after a tile."""

import dataclasses
from typing import Any

from analogjax.errors import ConfigError as NativeConfigError
from analogjax.physics import InputRange
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.parameters import View, check_fields, parameters


@parameters()
class InputRangeParameter(View):
    """A fixed or learned range of the inputs; see `analogjax.physics.InputRange`."""

    _tolerant = True

    enable: bool = dataclasses.field(default=False, metadata={"always_show": True})
    learn_input_range: bool = True
    init_value: float = 3.0
    init_from_data: int | bool = 100
    init_std_alpha: float = 3.0
    decay: float = 0.001
    input_min_percentage: float = 0.95
    manage_output_clipping: bool = False
    output_min_percentage: float = 0.95
    gradient_scale: float = 1.0
    gradient_relative: bool = True
    calibration_info: str | None = None

    def to_native(self) -> InputRange:
        """The range, enabled or not. Raises `ConfigError` for a wrong name, type or value."""
        check_fields(self)
        mine = ("enable", "learn_input_range", "calibration_info")
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in mine}
        # a range has no sign; a bool may stand for a number of batches, and fewer than none are none
        given |= {"init_value": abs(self.init_value), "init_from_data": max(int(self.init_from_data), 0)}
        given |= {"decay": max(self.decay, 0.0)}
        try:
            return InputRange(learn=self.learn_input_range, **given)
        except NativeConfigError as error:
            raise ConfigError(f"{type(self).__name__}: {error}") from error

    def supports_manage_output_clipping(self, rpu_config: Any) -> bool:
        """Whether a tile of that configuration can tell which of its outputs the ADC clipped."""
        io = getattr(rpu_config, "forward", None)
        if not isinstance(io, IOParameters) or io.is_perfect:
            return False
        managed = io.noise_management is not NoiseManagementType.NONE
        return not managed and io.bound_management is BoundManagementType.NONE


@parameters()
class PrePostProcessingParameter(View):
    """What is done digitally around a tile."""

    _tolerant = True

    input_range: InputRangeParameter = dataclasses.field(default_factory=InputRangeParameter)

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed."""
        check_fields(self)
        check_fields(self.input_range)
        if self.input_range.enable:  # otherwise nothing of it has an effect
            self.input_range.to_native()


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
        """Raise `ConfigError` unless the settings are well formed."""
        super().check()
        self.periph_quant.check()


@parameters()
class PrePostProcessingRPU(RPUConfigBase):
    """A configuration with digital processing before and after a tile."""

    pre_post: PrePostProcessingParameter = dataclasses.field(default_factory=PrePostProcessingParameter)
