"""Resistive devices; see the class of the same family in `analogjax.physics` for the physics."""

import dataclasses
from typing import Any

from analogjax import physics

# programs of before aihwkit 0.9 import the compounds from here
from compat.aihwkit.simulator.configs.compounds import BufferedTransferCompound as BufferedTransferCompound
from compat.aihwkit.simulator.configs.compounds import ChoppedTransferCompound as ChoppedTransferCompound
from compat.aihwkit.simulator.configs.compounds import DifferenceUnitCell as DifferenceUnitCell
from compat.aihwkit.simulator.configs.compounds import DynamicTransferCompound as DynamicTransferCompound
from compat.aihwkit.simulator.configs.compounds import MixedPrecisionCompound as MixedPrecisionCompound
from compat.aihwkit.simulator.configs.compounds import OneSidedUnitCell as OneSidedUnitCell
from compat.aihwkit.simulator.configs.compounds import ReferenceUnitCell as ReferenceUnitCell
from compat.aihwkit.simulator.configs.compounds import TransferCompound as TransferCompound
from compat.aihwkit.simulator.configs.compounds import VectorUnitCell as VectorUnitCell
from compat.aihwkit.simulator.parameters.inference import DriftParameter, SimpleDriftParameter
from compat.parameters import NATIVE, View, build, check_fields, parameters, refuse_own


def _derived() -> Any:
    return dataclasses.field(default=None, metadata={"hide_if": None})


class Device(View):
    """What devices share: the seed of the population is no parameter of the physics, and no drift is `None`."""

    def to_native(self) -> Any:
        """The native device. Raises `ConfigError`."""
        refuse_own(self, "requires_diffusion", "requires_decay")
        check_fields(self)
        native = type(self)._native
        assert native is not None
        drift = getattr(self, "drift", None)
        given = {} if drift is None else {"drift": None if drift == type(drift)() else drift.to_native()}
        return build(self, native, given)

    def requires_diffusion(self) -> bool:
        """Whether the weights diffuse."""
        return getattr(self, "diffusion", 0.0) > 0.0

    def requires_decay(self) -> bool:
        """Whether the weights decay."""
        return getattr(self, "lifetime", 0.0) > 0.0


@parameters(native=physics.FloatingPoint)
class FloatingPointDevice(Device):
    """Plain floating-point weights."""

    diffusion: float = NATIVE
    lifetime: float = NATIVE
    drift: SimpleDriftParameter = dataclasses.field(default_factory=SimpleDriftParameter)


@parameters(native=physics.Ideal, harmless=["construction_seed"])
class IdealDevice(Device):
    """Exact weights on an analog tile."""

    construction_seed: int = 0
    diffusion: float = NATIVE
    lifetime: float = NATIVE
    reset_std: float = NATIVE


@parameters(native=physics.ConstantStep, harmless=["construction_seed"])
class PulsedDevice(Device):
    """The fields of all pulsed devices."""

    construction_seed: int = 0
    corrupt_devices_prob: float = NATIVE
    corrupt_devices_range: float = NATIVE
    diffusion: float = NATIVE
    diffusion_dtod: float = NATIVE
    drift: SimpleDriftParameter = dataclasses.field(
        default_factory=DriftParameter, metadata={"hide_if": DriftParameter()}
    )
    dw_min: float = NATIVE
    dw_min_dtod: float = NATIVE
    dw_min_dtod_log_normal: bool = NATIVE
    dw_min_std: float = NATIVE
    enforce_consistency: bool = NATIVE
    lifetime: float = NATIVE
    lifetime_dtod: float = NATIVE
    perfect_bias: bool = NATIVE
    reset: float = NATIVE
    reset_dtod: float = NATIVE
    reset_std: float = NATIVE
    up_down: float = NATIVE
    up_down_dtod: float = NATIVE
    w_max: float = NATIVE
    w_max_dtod: float = NATIVE
    w_min: float = NATIVE
    w_min_dtod: float = NATIVE
    count_pulses: bool = False


@parameters(native=physics.ConstantStep, harmless=["construction_seed"])
class ConstantStepDevice(PulsedDevice):
    """Step independent of the weight."""


@parameters(native=physics.LinearStep, harmless=["construction_seed"])
class LinearStepDevice(PulsedDevice):
    """Step linear in the weight."""

    gamma_up: float = NATIVE
    gamma_down: float = NATIVE
    gamma_up_dtod: float = NATIVE
    gamma_down_dtod: float = NATIVE
    allow_increasing: bool = NATIVE
    mean_bound_reference: bool = NATIVE
    mult_noise: bool = NATIVE
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE
    reverse_up: bool = NATIVE
    reverse_down: bool = NATIVE
    reverse_offset: float = NATIVE


@parameters(native=physics.SoftBounds, harmless=["construction_seed"])
class SoftBoundsDevice(PulsedDevice):
    """Step that vanishes at the bounds."""

    mult_noise: bool = NATIVE
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE
    reverse_up: bool = NATIVE
    reverse_down: bool = NATIVE
    reverse_offset: float = NATIVE


@parameters(native=physics.SoftBoundsReference, harmless=["construction_seed"])
class SoftBoundsReferenceDevice(PulsedDevice):
    """Soft bounds read against a reference device."""

    mult_noise: bool = NATIVE
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE
    slope_up_dtod: float = NATIVE
    slope_down_dtod: float = NATIVE
    reference_mean: float = NATIVE
    reference_std: float = NATIVE
    subtract_symmetry_point: bool = NATIVE


@parameters(native=physics.SoftBoundsPmax, harmless=["construction_seed"])
class SoftBoundsPmaxDevice(SoftBoundsDevice):
    """Soft bounds by the number of pulses that span a range; the bounds and steps follow from that: leave them None."""

    p_max: int = NATIVE
    alpha: float = NATIVE
    range_min: float = NATIVE
    range_max: float = NATIVE
    w_min: float | None = _derived()  # type: ignore[assignment]
    w_max: float | None = _derived()  # type: ignore[assignment]
    dw_min: float | None = _derived()  # type: ignore[assignment]
    up_down: float | None = _derived()  # type: ignore[assignment]


@parameters(native=physics.ExpStep, harmless=["construction_seed"])
class ExpStepDevice(PulsedDevice):
    """Step exponential in the weight."""

    A_up: float = NATIVE
    A_down: float = NATIVE
    gamma_up: float = NATIVE
    gamma_down: float = NATIVE
    a: float = NATIVE
    b: float = NATIVE
    dw_min_std_add: float = NATIVE
    dw_min_std_slope: float = NATIVE
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE


@parameters(native=physics.PowStep, harmless=["construction_seed"])
class PowStepDevice(PulsedDevice):
    """Step that is a power of the distance to the bound."""

    pow_gamma: float = NATIVE
    pow_gamma_dtod: float = NATIVE
    pow_up_down: float = NATIVE
    pow_up_down_dtod: float = NATIVE
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE


@parameters(native=physics.PowStepReference, harmless=["construction_seed"])
class PowStepReferenceDevice(PulsedDevice):
    """Power-law steps read against a reference device."""

    pow_gamma: float = NATIVE
    pow_gamma_dtod: float = NATIVE
    pow_up_down: float = NATIVE
    pow_up_down_dtod: float = NATIVE
    subtract_symmetry_point: bool = NATIVE
    n_estimation_steps: int = NATIVE
    reference_mean: float = NATIVE
    reference_std: float = NATIVE


@parameters(native=physics.PiecewiseStep, harmless=["construction_seed"])
class PiecewiseStepDevice(PulsedDevice):
    """Step from a table over the weight."""

    piecewise_up: list[float] = dataclasses.field(default_factory=lambda: [1])
    piecewise_down: list[float] = dataclasses.field(default_factory=lambda: [1])
    write_noise_std: float = NATIVE
    apply_write_noise_on_set: bool = NATIVE
