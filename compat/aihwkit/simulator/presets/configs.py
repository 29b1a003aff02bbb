"""Whole configurations with measured devices; see `analogjax.tile.presets`.

Those at the end are named by programs and can be made, and raise `ConfigError` when a tile is made from them.
"""

import dataclasses
from typing import Any

from compat.aihwkit.simulator.configs.absent import AbsentUnitCellRPUConfig, DigitalRankUpdateRPUConfig
from compat.aihwkit.simulator.configs.compounds import VectorUnitCell
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.configs.devices import PulsedDevice
from compat.aihwkit.simulator.parameters.enums import VectorUnitCellUpdatePolicy
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.presets.devices import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    ReRamSBPresetDevice,
)
from compat.aihwkit.simulator.presets.utils import PresetIOParameters, PresetUpdateParameters
from compat.parameters import View, parameters


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


def _cell(device: type[PulsedDevice], number: int) -> Any:
    """A cell of equal devices, of which one, drawn at random, takes each mini-batch."""
    return dataclasses.field(
        default_factory=lambda: VectorUnitCell(
            unit_cell_devices=[device() for _ in range(number)],
            update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
        )
    )


@parameters()
class ReRamSBPreset(PresetSingleRPUConfig):
    """One device: soft-bounds ReRAM."""

    device: View = dataclasses.field(default_factory=ReRamSBPresetDevice)


@parameters()
class CapacitorPreset(PresetSingleRPUConfig):
    """One device: a capacitor."""

    device: View = dataclasses.field(default_factory=CapacitorPresetDevice)


@parameters()
class EcRamPreset(PresetSingleRPUConfig):
    """One device: lithium ECRAM."""

    device: View = dataclasses.field(default_factory=EcRamPresetDevice)


@parameters()
class EcRamMOPreset(PresetSingleRPUConfig):
    """One device: metal-oxide ECRAM."""

    device: View = dataclasses.field(default_factory=EcRamMOPresetDevice)


@parameters()
class IdealizedPreset(PresetSingleRPUConfig):
    """One device: an idealised device."""

    device: View = dataclasses.field(default_factory=IdealizedPresetDevice)


@parameters()
class GokmenVlasovPreset(PresetSingleRPUConfig):
    """One device: the device of Gokmen and Vlasov."""

    device: View = dataclasses.field(default_factory=GokmenVlasovPresetDevice)


@parameters()
class ReRamSB2Preset(PresetUnitCellRPUConfig):
    """Two devices: soft-bounds ReRAM."""

    device: View = _cell(ReRamSBPresetDevice, 2)


@parameters()
class ReRamSB4Preset(PresetUnitCellRPUConfig):
    """Four devices: soft-bounds ReRAM."""

    device: View = _cell(ReRamSBPresetDevice, 4)


@parameters()
class Capacitor2Preset(PresetUnitCellRPUConfig):
    """Two devices: capacitors."""

    device: View = _cell(CapacitorPresetDevice, 2)


@parameters()
class Capacitor4Preset(PresetUnitCellRPUConfig):
    """Four devices: capacitors."""

    device: View = _cell(CapacitorPresetDevice, 4)


@parameters()
class EcRam2Preset(PresetUnitCellRPUConfig):
    """Two devices: lithium ECRAM."""

    device: View = _cell(EcRamPresetDevice, 2)


@parameters()
class EcRam4Preset(PresetUnitCellRPUConfig):
    """Four devices: lithium ECRAM."""

    device: View = _cell(EcRamPresetDevice, 4)


@parameters()
class EcRamMO2Preset(PresetUnitCellRPUConfig):
    """Two devices: metal-oxide ECRAM."""

    device: View = _cell(EcRamMOPresetDevice, 2)


@parameters()
class EcRamMO4Preset(PresetUnitCellRPUConfig):
    """Four devices: metal-oxide ECRAM."""

    device: View = _cell(EcRamMOPresetDevice, 4)


@parameters()
class Idealized2Preset(PresetUnitCellRPUConfig):
    """Two devices: idealised devices."""

    device: View = _cell(IdealizedPresetDevice, 2)


@parameters()
class Idealized4Preset(PresetUnitCellRPUConfig):
    """Four devices: idealised devices."""

    device: View = _cell(IdealizedPresetDevice, 4)


_DEVICES = ("ReRamES", "ReRamSB", "Capacitor", "EcRam", "EcRamMO", "Idealized")
_ABSENT = {
    **{f"{family}{device}Preset": AbsentUnitCellRPUConfig
       for family in ("TikiTaka", "TTv2", "ChoppedTTv2", "AGAD") for device in _DEVICES},
    **{f"MixedPrecision{device}Preset": DigitalRankUpdateRPUConfig for device in (*_DEVICES, "GokmenVlasov", "PCM")},
    **dict.fromkeys(("ReRamESPreset", "ReRamES2Preset", "ReRamES4Preset", "PCMPreset"), AbsentUnitCellRPUConfig),
}  # fmt: skip
NOT_SIMULATED: dict[str, type] = {
    name: type(name, (base,), {"__module__": __name__, "__doc__": "Not simulated by this version of analogjax."})
    for name, base in _ABSENT.items()
}
globals().update(NOT_SIMULATED)  # importable by name, as the others
