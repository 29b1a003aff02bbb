"""Parameters of range estimators."""

from dataclasses import dataclass
from typing import Any

from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import OptMethod, RangeEstimators


@dataclass
class CurrentMinMaxEstimatorParams:
    """Of `RangeEstimators.current_minmax`."""

    percentile: float | None = None


@dataclass
class RunningMinMaxEstimatorParams:
    """Of `RangeEstimators.running_minmax`."""

    momentum: float = 0.9


@dataclass
class MSEEstimatorParams:
    """Of `RangeEstimators.MSE`."""

    range_opt_method: OptMethod = OptMethod.golden_section
    num_candidates: int = 100
    range_margin: float = 0.5


@dataclass
class CrossEntropyEstimatorParams(MSEEstimatorParams):
    """Of `RangeEstimators.cross_entropy`."""


PARAMETERS: dict[RangeEstimators, Any] = {
    RangeEstimators.allminmax: None,
    RangeEstimators.current_minmax: CurrentMinMaxEstimatorParams,
    RangeEstimators.running_minmax: RunningMinMaxEstimatorParams,
    RangeEstimators.MSE: MSEEstimatorParams,
    RangeEstimators.cross_entropy: CrossEntropyEstimatorParams,
}
_RENAMED = {"range_opt_method": "opt_method"}  # as the estimators call them


def arguments_of(params: Any) -> dict[str, Any]:
    """The arguments of an estimator with these parameters."""
    return {} if params is None else {_RENAMED.get(name, name): value for name, value in vars(params).items()}


def convert_weight_config_to_kwargs_dict(weight_quant_config: Any) -> dict[str, Any]:
    """The arguments of a `QuantizedModule` for a `WeightQuantConfig`."""
    params, kind = weight_quant_config.range_estimator_params, weight_quant_config.range_estimator
    current = kind is RangeEstimators.current_minmax
    return {
        "method": QMethods.of(weight_quant_config.symmetric),
        "n_bits": weight_quant_config.n_bits,
        "per_channel_weights": weight_quant_config.per_channel,
        "percentile": params.percentile if current else None,
        "weight_range_method": kind,
        "weight_range_options": {} if current else arguments_of(params),
    }


def convert_act_config_to_kwargs_dict(act_quant_config: Any) -> dict[str, Any]:
    """The arguments of a `QuantizedModule` for an `ActivationQuantConfig`."""
    return {
        "act_method": QMethods.of(act_quant_config.symmetric),
        "n_bits_act": act_quant_config.n_bits,
        "act_range_method": act_quant_config.range_estimator,
        "act_range_options": arguments_of(act_quant_config.range_estimator_params),
    }


def convert_configs_to_kwargs_dict(quant_config: Any) -> dict[str, Any]:
    """The arguments of a `QuantizedModule` for a `QuantizationConfig`."""
    weights = convert_weight_config_to_kwargs_dict(quant_config.weight_quant)
    return weights | convert_act_config_to_kwargs_dict(quant_config.activation_quant)
