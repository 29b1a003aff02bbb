"""How digital numbers are rounded to a few bits."""

import dataclasses
import math
from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.digital_low_precision.config_utils import PARAMETERS
from compat.aihwkit.simulator.digital_low_precision.range_estimators import OptMethod, RangeEstimators
from compat.parameters import View, check_fields, parameters

_RANGES = (("momentum", 0, 1), ("percentile", 0, 100), ("num_candidates", 1, math.inf), ("range_margin", 0, math.inf))


@parameters()
class BaseQuantConfig(View):
    """Bits (0: no rounding), kind of grid, and how its range is estimated."""

    _range_estimator: RangeEstimators
    n_bits: int = 0
    symmetric: bool = True
    _range_estimator_params: Any = dataclasses.field(init=False)
    _range_estimator_to_params: dict[RangeEstimators, Any] = dataclasses.field(
        default_factory=lambda: dict(PARAMETERS), init=False
    )

    def __post_init__(self) -> None:
        self.range_estimator = self._range_estimator

    @property
    def range_estimator(self) -> RangeEstimators:
        """The kind of estimator; another one comes with parameters of its own."""
        return self._range_estimator

    @range_estimator.setter
    def range_estimator(self, kind: RangeEstimators) -> None:
        if not isinstance(kind, RangeEstimators):
            raise TypeError(f"range_estimator is one of {', '.join(map(str, RangeEstimators))}, not {kind!r}.")
        wanted = self._range_estimator_to_params[kind]
        self._range_estimator, self._range_estimator_params = kind, None if wanted is None else wanted()

    @property
    def range_estimator_params(self) -> Any:
        """The parameters of the estimator."""
        return self._range_estimator_params

    @range_estimator_params.setter
    def range_estimator_params(self, params: Any) -> None:
        wanted = self._range_estimator_to_params[self._range_estimator]
        if not isinstance(params, type(None) if wanted is None else wanted):
            raise TypeError(
                f"the range estimator {self._range_estimator.name!r} has parameters of type "
                f"{'None' if wanted is None else wanted.__name__}, not {type(params).__name__}."
            )
        self._range_estimator_params = params

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed."""
        check_fields(self)
        params = self._range_estimator_params
        for name, low, high in _RANGES:
            value = getattr(params, name, None)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and low <= value <= high):
                raise ConfigError(
                    f"{type(self).__name__}: {type(params).__name__}({name}={value!r}) needs a number from {low} to "
                    f"{high}."
                )
        if not isinstance(getattr(params, "range_opt_method", OptMethod.grid), OptMethod):
            raise ConfigError(
                f"{type(self).__name__}: {type(params).__name__}(range_opt_method={params.range_opt_method!r}) needs "
                "OptMethod.grid or OptMethod.golden_section."
            )


@parameters()
class ActivationQuantConfig(BaseQuantConfig):
    """Of outputs."""

    def __init__(
        self, n_bits: int = 0, symmetric: bool = True,
        range_estimator: RangeEstimators = RangeEstimators.running_minmax, range_estimator_params: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(_range_estimator=range_estimator, n_bits=n_bits, symmetric=symmetric)
        if range_estimator_params is not None:
            self.range_estimator_params = range_estimator_params


@parameters()
class WeightQuantConfig(BaseQuantConfig):
    """Of weights of digital layers: one step for all, or (`per_channel`) one for each output."""

    _more = ("per_channel",)

    def __init__(
        self, n_bits: int = 0, symmetric: bool = True, per_channel: bool = False,
        range_estimator: RangeEstimators = RangeEstimators.current_minmax, range_estimator_params: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(_range_estimator=range_estimator, n_bits=n_bits, symmetric=symmetric)
        if range_estimator_params is not None:
            self.range_estimator_params = range_estimator_params
        self.per_channel = per_channel


@parameters()
class QuantizationConfig(View):
    """Of a digital layer."""

    activation_quant: ActivationQuantConfig = dataclasses.field(default_factory=ActivationQuantConfig)
    weight_quant: WeightQuantConfig = dataclasses.field(default_factory=WeightQuantConfig)


@parameters()
class QuantizedModuleConfig(View):
    """A class of digital layers, and how such a layer is to be rounded."""

    quantized_module: Any
    module_qconfig: QuantizationConfig


@parameters()
class QuantizationMap(View):
    """Which digital layers of a model are to be rounded, and how; see `convert_to_quantized`."""

    default_qconfig: QuantizationConfig = dataclasses.field(default_factory=QuantizationConfig)
    module_qconfig_map: dict[Any, QuantizedModuleConfig] = dataclasses.field(default_factory=dict)
    instance_qconfig_map: dict[str, QuantizedModuleConfig] = dataclasses.field(default_factory=dict)
    input_activation_qconfig_map: dict[str, ActivationQuantConfig] = dataclasses.field(default_factory=dict)
    excluded_modules: list[str] = dataclasses.field(default_factory=list)
