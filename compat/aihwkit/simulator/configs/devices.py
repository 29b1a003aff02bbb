"""Resistive devices; see the class of the same family in `analogjax.physics` for the physics."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

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
from compat.aihwkit.simulator.tiles.simulator import FloatingPointTile as FloatingPointSimulator
from compat.aihwkit.simulator.tiles.simulator import exact, made
from compat.parameters import NATIVE, View, build, check_fields, parameters, refuse_own

_Class = TypeVar("_Class", bound=type)


def _derived() -> Any:
    return dataclasses.field(default=None, metadata={"hide_if": None})


@dataclass_transform()
def _viewing(native: Any) -> Callable[[_Class], _Class]:
    """Make a class a view of a native device: what it lists, and then every other field of the native class."""

    def decorate(cls: _Class) -> _Class:
        listed = {name for kind in cls.__mro__ for name in vars(kind).get("__annotations__", {})}
        more = {field.name: type(field.default) for field in dataclasses.fields(native) if field.name not in listed}
        cls.__annotations__ = vars(cls).get("__annotations__", {}) | more
        for name in more:
            setattr(cls, name, NATIVE)
        return parameters(native=native, harmless=["construction_seed"])(cls)

    return decorate


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

    def simulator(self, x_size: int, d_size: int) -> Any:
        """A simulator tile of such weights."""
        return made(FloatingPointSimulator, exact(self.to_native()), x_size, d_size, self.as_bindings())


@_viewing(physics.Ideal)
class IdealDevice(Device):
    """Exact weights on an analog tile."""

    construction_seed: int = 0


@_viewing(physics.ConstantStep)
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


@_viewing(physics.ConstantStep)
class ConstantStepDevice(PulsedDevice):
    """Step independent of the weight."""


@_viewing(physics.LinearStep)
class LinearStepDevice(PulsedDevice):
    """Step linear in the weight."""

    # which aihwkit lists first
    gamma_up: float = NATIVE
    gamma_down: float = NATIVE
    gamma_up_dtod: float = NATIVE
    gamma_down_dtod: float = NATIVE
    allow_increasing: bool = NATIVE
    mean_bound_reference: bool = NATIVE


@_viewing(physics.SoftBounds)
class SoftBoundsDevice(PulsedDevice):
    """Step that vanishes at the bounds."""


@_viewing(physics.SoftBoundsReference)
class SoftBoundsReferenceDevice(PulsedDevice):
    """Soft bounds read against a reference device."""


@_viewing(physics.SoftBoundsPmax)
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

    def as_bindings(self, data_type: Any = None) -> Any:
        """As soft bounds with the bounds and steps that follow."""
        derived = self.to_native().soft_bounds
        fields = [field.name for field in dataclasses.fields(SoftBoundsDevice)]
        given: dict[str, Any] = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        found: dict[str, Any] = {name: float(getattr(derived, name)) for name in fields if name not in given}
        return SoftBoundsDevice(**given, **found).as_bindings(data_type)


@_viewing(physics.ExpStep)
class ExpStepDevice(PulsedDevice):
    """Step exponential in the weight."""


@_viewing(physics.PowStep)
class PowStepDevice(PulsedDevice):
    """Step that is a power of the distance to the bound."""


@_viewing(physics.PowStepReference)
class PowStepReferenceDevice(PulsedDevice):
    """Power-law steps read against a reference device."""


@_viewing(physics.PiecewiseStep)
class PiecewiseStepDevice(PulsedDevice):
    """Step from a table over the weight."""

    piecewise_up: list[float] = dataclasses.field(default_factory=lambda: [1])
    piecewise_down: list[float] = dataclasses.field(default_factory=lambda: [1])
