"""Devices made of devices; see the class of the same family in `analogjax.physics.compounds` for the physics."""

import dataclasses
import warnings
from typing import Any

from analogjax.physics import compounds
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import VectorUnitCellUpdatePolicy
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.parameters import NATIVE, View, build, check_fields, parameters, refuse_own

_OWN = ["construction_seed", "unit_cell_devices"]  # handled here, not by the physics


def _device(cell: View, device: Any, where: str) -> Any:
    """The native device inside a cell."""
    if not isinstance(device, View):
        raise ConfigError(f"{type(cell).__name__}.{where} holds {device!r}, which is no device.")
    return device.to_native()


def _numbers() -> Any:
    """A list of numbers, empty at first."""
    return dataclasses.field(default_factory=list, metadata={"hide_if": []})


def _single_pulses() -> UpdateParameters:
    """One pulse for each step of a buffer."""
    return UpdateParameters(desired_bl=1, update_bl_management=False, update_management=False)


@parameters()
class UnitCell(View):
    """Several devices at each crosspoint."""

    _idle = ("diffusion", "lifetime")

    unit_cell_devices: list = dataclasses.field(default_factory=list)
    construction_seed: int = 0

    def to_native(self) -> Any:
        """The native compound. Raises `ConfigError`."""
        refuse_own(self, "requires_diffusion", "requires_decay")
        check_fields(self)
        native = type(self)._native
        if native is None:
            raise ConfigError(f"{type(self).__name__} is not supported by this version of analogjax.")
        return build(self, native, self._given())

    def _given(self) -> dict[str, Any]:
        return {"devices": tuple(self._inside(device) for device in self._members())}

    def _members(self) -> list:
        return self.unit_cell_devices

    def _inside(self, device: Any) -> Any:
        if seed := getattr(device, "construction_seed", 0):
            warnings.warn(
                f"{type(device).__name__}(construction_seed={seed}): inside a {type(self).__name__} aihwkit never "
                "looks at it, and so it has no effect; the construction_seed of the cell counts.", stacklevel=2,
            )  # fmt: skip
        return _device(self, device, "unit_cell_devices")

    def requires_diffusion(self) -> bool:
        """Whether any device diffuses."""
        return any(device.requires_diffusion() for device in self.unit_cell_devices)

    def requires_decay(self) -> bool:
        """Whether any device decays."""
        return any(device.requires_decay() for device in self.unit_cell_devices)


@parameters(native=compounds.Vector, harmless=_OWN)
class VectorUnitCell(UnitCell):
    """A weighted sum of devices."""

    update_policy: VectorUnitCellUpdatePolicy = NATIVE
    first_update_idx: int = NATIVE
    gamma_vec: list[float] = _numbers()


@parameters(native=compounds.Vector, harmless=_OWN)
class ReferenceUnitCell(UnitCell):
    """A device minus a reference that is never pulsed; a single given device serves as both."""

    update_policy: VectorUnitCellUpdatePolicy = VectorUnitCellUpdatePolicy.SINGLE_FIXED
    first_update_idx: int = 0
    gamma_vec: list[float] = dataclasses.field(default_factory=lambda: [1.0, -1.0], metadata={"hide_if": [1.0, -1.0]})

    def _members(self) -> list:
        return (self.unit_cell_devices * 2)[:2] if len(self.unit_cell_devices) == 1 else self.unit_cell_devices[:2]


@parameters(native=compounds.OneSided, harmless=_OWN)
class OneSidedUnitCell(UnitCell):
    """A pair of devices, one for each sign; as in aihwkit a second given device counts as one like the first."""

    refresh_every: int = NATIVE
    units_in_mbatch: bool = NATIVE
    refresh_upper_thres: float = NATIVE
    refresh_lower_thres: float = NATIVE
    refresh_forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    refresh_update: UpdateParameters = dataclasses.field(default_factory=UpdateParameters)
    copy_inverted: bool = NATIVE

    def _given(self) -> dict[str, Any]:
        made = [self._inside(device) for device in self.unit_cell_devices]
        if not 1 <= len(made) <= 2 or type(made[0]) is not type(made[-1]):
            kinds = [type(device).__name__ for device in self.unit_cell_devices]
            raise ConfigError(
                f"{type(self).__name__}.unit_cell_devices holds {kinds}; give one device, or two of the same class."
            )
        return {"device": made[0]}


@parameters(native=compounds.OneSided, harmless=_OWN)
class DifferenceUnitCell(OneSidedUnitCell):
    """The old name of `OneSidedUnitCell`."""

    def __post_init__(self) -> None:
        warnings.warn("DifferenceUnitCell is deprecated; use OneSidedUnitCell.", DeprecationWarning, stacklevel=3)


@parameters(native=compounds.tiki_taka, harmless=_OWN)
class TransferCompound(UnitCell):
    """Tiki-Taka, version 1; as in aihwkit all devices after the first count as devices like the second."""

    gamma: float = NATIVE
    gamma_vec: list[float] = _numbers()
    transfer_every: float = NATIVE
    no_self_transfer: bool = NATIVE
    transfer_every_vec: list[float] = _numbers()
    units_in_mbatch: bool = NATIVE
    n_reads_per_transfer: int = NATIVE
    transfer_columns: bool = NATIVE
    with_reset_prob: float = NATIVE
    random_selection: bool = NATIVE
    fast_lr: float = NATIVE
    transfer_lr: float = NATIVE
    transfer_lr_vec: list[float] = _numbers()
    scale_transfer_lr: bool = NATIVE
    scale_fast_lr: bool = NATIVE
    transfer_forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    transfer_update: UpdateParameters = dataclasses.field(default_factory=UpdateParameters)

    def _members(self) -> list:
        devices = self.unit_cell_devices
        return devices[:2] + devices[1:2] * (len(devices) - 2)

    def _given(self) -> dict[str, Any]:
        return super()._given() | self._as_it_counts()

    def _as_it_counts(self) -> dict[str, Any]:
        """Native fields for values that aihwkit takes without using them, and that natively are refused."""
        # a period below 0 is never, and a rate below 0 that of the update
        every = tuple(max(one, 0.0) for one in self.transfer_every_vec)
        fast_lr = max(self.fast_lr, 0.0)
        return {"transfer_every": max(self.transfer_every, 0.0), "transfer_every_vec": every, "fast_lr": fast_lr}


@parameters(native=compounds.ttv2, harmless=_OWN)
class BufferedTransferCompound(TransferCompound):
    """Tiki-Taka, version 2."""

    thres_scale: float = NATIVE
    step: float = NATIVE
    momentum: float = NATIVE
    forget_buffer: bool = NATIVE
    transfer_update: UpdateParameters = dataclasses.field(default_factory=_single_pulses)


@parameters(native=compounds.c_ttv2, harmless=_OWN)
class ChoppedTransferCompound(TransferCompound):
    """Tiki-Taka with choppers."""

    in_chop_prob: float = NATIVE
    in_chop_random: bool = NATIVE
    out_chop_prob: float = NATIVE
    buffer_granularity: float = NATIVE
    auto_granularity: float = NATIVE
    step: float = NATIVE
    momentum: float = NATIVE
    forget_buffer: bool = NATIVE
    no_buffer: bool = NATIVE
    units_in_mbatch: bool = NATIVE
    auto_scale: bool = NATIVE
    auto_momentum: float = NATIVE
    correct_gradient_magnitudes: bool = NATIVE
    scale_fast_lr: bool = NATIVE
    transfer_update: UpdateParameters = dataclasses.field(default_factory=_single_pulses)

    def _as_it_counts(self) -> dict[str, Any]:
        given = super()._as_it_counts() | {
            "auto_scale": self.auto_scale and self.fast_lr > 0,
            "auto_granularity": self.auto_granularity if self.auto_granularity > 0 else 0.0,
            "buffer_granularity": self.buffer_granularity if self.buffer_granularity > 0 else 1.0,
        }
        if self.transfer_every < 0:
            return given | self._of_states()
        if self.transfer_every == 0 and self.transfer_every_vec and self.auto_granularity > 0:
            # its granularity is infinite then, so nothing is ever written
            given |= {"auto_granularity": 0.0, "transfer_lr": 0.0, "transfer_lr_vec": ()}
        return given

    def _of_states(self) -> dict[str, Any]:
        """`transfer_every` below 0 counts states, whatever other fields say; a unit cell has none of its own."""
        counted = {"transfer_every": self.transfer_every, "transfer_every_vec": (), "units_in_mbatch": False}
        if self.unit_cell_devices and isinstance(self.unit_cell_devices[0], (UnitCell, DigitalRankUpdateCell)):
            counted |= {"transfer_every": -self.transfer_every, "transfer_every_vec": (1.0, 0.0)}
        return counted


@parameters(native=compounds.agad, harmless=_OWN)
class DynamicTransferCompound(ChoppedTransferCompound):
    """AGAD: choppers, and a reference that is measured."""

    in_chop_random: bool = NATIVE
    experimental_correct_accumulation: bool = NATIVE
    buffer_cap: float = NATIVE
    tail_weightening: float = NATIVE

    def _as_it_counts(self) -> dict[str, Any]:
        cap = 0.0 if self.forget_buffer else max(self.buffer_cap, 0.0)
        return super()._as_it_counts() | {"buffer_cap": cap}


@parameters()
class DigitalRankUpdateCell(View):
    """A device whose updates are computed digitally."""

    _idle = ("diffusion", "lifetime")

    device: View = dataclasses.field(default_factory=VectorUnitCell)
    construction_seed: int = 0

    def requires_diffusion(self) -> bool:
        """Whether the device diffuses."""
        return self.device.requires_diffusion()  # type: ignore[attr-defined]

    def requires_decay(self) -> bool:
        """Whether the device decays."""
        return self.device.requires_decay()  # type: ignore[attr-defined]


@parameters(native=compounds.MixedPrecision, harmless=["construction_seed", "granularity"])
class MixedPrecisionCompound(DigitalRankUpdateCell):
    """Gradients are summed digitally, whole steps are written to the device."""

    transfer_every: int = NATIVE
    n_rows_per_transfer: int = NATIVE
    random_row: bool = NATIVE
    granularity: float = 0.0
    transfer_lr: float = NATIVE
    n_x_bins: int = NATIVE
    n_d_bins: int = NATIVE
    stoc_round_x: bool = NATIVE
    stoc_round_d: bool = NATIVE

    def to_native(self) -> Any:
        """The native compound. Raises `ConfigError`."""
        refuse_own(self, "requires_diffusion", "requires_decay")
        check_fields(self)
        made = {"device": _device(self, self.device, "device"), "granularity_override": self.granularity}
        return build(self, compounds.MixedPrecision, made)
