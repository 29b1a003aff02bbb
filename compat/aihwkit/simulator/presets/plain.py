"""Configurations of measured devices, one or several at each crosspoint; see `analogjax.tile.presets`."""

import dataclasses

from compat.aihwkit.simulator.presets.bases import PresetSingleRPUConfig, PresetUnitCellRPUConfig, cell
from compat.aihwkit.simulator.presets.compounds import PCMPresetUnitCell
from compat.aihwkit.simulator.presets.devices import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)
from compat.parameters import View, parameters


@parameters()
class ReRamESPreset(PresetSingleRPUConfig):
    """One device: ReRAM with exponential steps."""

    device: View = dataclasses.field(default_factory=ReRamESPresetDevice)


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
class PCMPreset(PresetUnitCellRPUConfig):
    """A pair of phase-change memory cells, one for each sign."""

    device: View = dataclasses.field(default_factory=PCMPresetUnitCell)


@parameters()
class ReRamES2Preset(PresetUnitCellRPUConfig):
    """Two devices: ReRAM with exponential steps."""

    device: View = cell("ReRamES2Preset", ReRamESPresetDevice)


@parameters()
class ReRamSB2Preset(PresetUnitCellRPUConfig):
    """Two devices: soft-bounds ReRAM."""

    device: View = cell("ReRamSB2Preset", ReRamSBPresetDevice)


@parameters()
class Capacitor2Preset(PresetUnitCellRPUConfig):
    """Two devices: capacitors."""

    device: View = cell("Capacitor2Preset", CapacitorPresetDevice)


@parameters()
class EcRam2Preset(PresetUnitCellRPUConfig):
    """Two devices: lithium ECRAM."""

    device: View = cell("EcRam2Preset", EcRamPresetDevice)


@parameters()
class EcRamMO2Preset(PresetUnitCellRPUConfig):
    """Two devices: metal-oxide ECRAM."""

    device: View = cell("EcRamMO2Preset", EcRamMOPresetDevice)


@parameters()
class Idealized2Preset(PresetUnitCellRPUConfig):
    """Two devices: idealised devices."""

    device: View = cell("Idealized2Preset", IdealizedPresetDevice)


@parameters()
class ReRamES4Preset(PresetUnitCellRPUConfig):
    """Four devices: ReRAM with exponential steps."""

    device: View = cell("ReRamES4Preset", ReRamESPresetDevice)


@parameters()
class ReRamSB4Preset(PresetUnitCellRPUConfig):
    """Four devices: soft-bounds ReRAM."""

    device: View = cell("ReRamSB4Preset", ReRamSBPresetDevice)


@parameters()
class Capacitor4Preset(PresetUnitCellRPUConfig):
    """Four devices: capacitors."""

    device: View = cell("Capacitor4Preset", CapacitorPresetDevice)


@parameters()
class EcRam4Preset(PresetUnitCellRPUConfig):
    """Four devices: lithium ECRAM."""

    device: View = cell("EcRam4Preset", EcRamPresetDevice)


@parameters()
class EcRamMO4Preset(PresetUnitCellRPUConfig):
    """Four devices: metal-oxide ECRAM."""

    device: View = cell("EcRamMO4Preset", EcRamMOPresetDevice)


@parameters()
class Idealized4Preset(PresetUnitCellRPUConfig):
    """Four devices: idealised devices."""

    device: View = cell("Idealized4Preset", IdealizedPresetDevice)
