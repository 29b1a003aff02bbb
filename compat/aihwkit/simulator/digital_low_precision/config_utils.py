"""Parameters of range estimators."""

from dataclasses import dataclass
from typing import Any

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
