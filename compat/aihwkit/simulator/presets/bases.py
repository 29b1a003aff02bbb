"""What the configurations with measured devices are made of."""

import dataclasses
from typing import Any

from analogjax.physics import compounds as physics
from analogjax.tile.presets import preset
from compat.aihwkit.simulator.configs.compounds import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    TransferCompound,
    VectorUnitCell,
)
from compat.aihwkit.simulator.configs.configs import DigitalRankUpdateRPUConfig, SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.presets.utils import PresetIOParameters, PresetUpdateParameters, viewing
from compat.parameters import View, parameters


def _view_of(native: Any) -> type[View]:
    """The class that views a unit cell."""
    if isinstance(native, physics.Vector):
        return VectorUnitCell
    if native.reference is not None:
        return DynamicTransferCompound
    return TransferCompound if native.chopper is None else ChoppedTransferCompound


@parameters()
class PresetSingleRPUConfig(SingleRPUConfig):
    """One device at each crosspoint, with the presets' periphery and pulses."""

    forward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    backward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    update: UpdateParameters = dataclasses.field(default_factory=PresetUpdateParameters)


@parameters()
class PresetUnitCellRPUConfig(UnitCellRPUConfig):
    """Several devices at each crosspoint, with the presets' periphery and pulses."""

    forward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    backward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    update: UpdateParameters = dataclasses.field(default_factory=PresetUpdateParameters)


@parameters()
class PresetDigitalRankUpdateRPUConfig(DigitalRankUpdateRPUConfig):
    """A device at each crosspoint whose updates are computed digitally, with the presets' periphery and pulses."""

    forward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    backward: IOParameters = dataclasses.field(default_factory=PresetIOParameters)
    update: UpdateParameters = dataclasses.field(default_factory=PresetUpdateParameters)


def cell(name: str, device: type[View]) -> Any:
    """The devices of the preset `name`, each viewed as a `device`."""

    def made() -> View:
        native: Any = preset(name).device
        devices = [viewing(device, one, drift=device().drift) for one in native.devices]  # type: ignore[attr-defined]
        return viewing(_view_of(native), native, unit_cell_devices=devices)

    return dataclasses.field(default_factory=made)


def pulses(name: str) -> Any:
    """The pulses of the preset `name`."""
    return dataclasses.field(default_factory=lambda: viewing(PresetUpdateParameters, preset(name).update))


def mixed_precision(device: type[View]) -> Any:
    """A device whose updates are computed digitally."""
    return dataclasses.field(default_factory=lambda: MixedPrecisionCompound(device=device()))
