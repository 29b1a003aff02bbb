"""Devices made of devices."""

import dataclasses
from typing import Any

from analogjax.physics import Vector
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import VectorUnitCellUpdatePolicy
from compat.parameters import NATIVE, View, build, check_fields, parameters, unsupported


@parameters()
class UnitCell(View):
    """Several devices at each crosspoint."""

    unit_cell_devices: list = dataclasses.field(default_factory=list)
    construction_seed: int = 0

    def to_native(self) -> Any:
        """The native compound. Raises `ConfigError`."""
        check_fields(self)
        if type(self)._native is None:
            raise ConfigError(f"{type(self).__name__} is not supported by this version of analogjax.")
        return build(self, Vector, {"devices": tuple(self._device(device) for device in self._members())})

    def _members(self) -> list:
        return self.unit_cell_devices

    def _device(self, device: Any) -> Any:
        if not isinstance(device, View):
            raise ConfigError(f"{type(self).__name__}.unit_cell_devices holds {device!r}, which is no device.")
        if getattr(device, "construction_seed", 0) != 0:
            raise unsupported(device, "construction_seed", "inside a unit cell, set the cell's own construction_seed")
        return device.to_native()

    def requires_diffusion(self) -> bool:
        """Whether any device diffuses."""
        return any(device.requires_diffusion() for device in self.unit_cell_devices)

    def requires_decay(self) -> bool:
        """Whether any device decays."""
        return any(device.requires_decay() for device in self.unit_cell_devices)


_OWN = ["construction_seed", "unit_cell_devices"]  # handled here, not by the physics


@parameters(native=Vector, harmless=_OWN)
class VectorUnitCell(UnitCell):
    """A weighted sum of devices; see `analogjax.physics.Vector`."""

    update_policy: VectorUnitCellUpdatePolicy = NATIVE
    first_update_idx: int = NATIVE
    gamma_vec: list[float] = dataclasses.field(default_factory=list, metadata={"hide_if": []})


@parameters(native=Vector, harmless=_OWN)
class ReferenceUnitCell(UnitCell):
    """A device minus a reference that is never pulsed; a single given device serves as both."""

    update_policy: VectorUnitCellUpdatePolicy = VectorUnitCellUpdatePolicy.SINGLE_FIXED
    first_update_idx: int = 0
    gamma_vec: list[float] = dataclasses.field(default_factory=lambda: [1.0, -1.0], metadata={"hide_if": [1.0, -1.0]})

    def _members(self) -> list:
        return (self.unit_cell_devices * 2)[:2] if len(self.unit_cell_devices) == 1 else self.unit_cell_devices[:2]
