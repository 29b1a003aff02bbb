"""Configurations that train measured devices by way of another array, or digitally; see `analogjax.tile.presets`."""

from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.presets.bases import (
    PresetDigitalRankUpdateRPUConfig,
    PresetUnitCellRPUConfig,
    cell,
    mixed_precision,
    pulses,
)
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
class TikiTakaReRamESPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: ReRAM with exponential steps."""

    device: View = cell("TikiTakaReRamESPreset", ReRamESPresetDevice)


@parameters()
class TikiTakaReRamSBPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: soft-bounds ReRAM."""

    device: View = cell("TikiTakaReRamSBPreset", ReRamSBPresetDevice)


@parameters()
class TikiTakaCapacitorPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: capacitors."""

    device: View = cell("TikiTakaCapacitorPreset", CapacitorPresetDevice)


@parameters()
class TikiTakaEcRamPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: lithium ECRAM."""

    device: View = cell("TikiTakaEcRamPreset", EcRamPresetDevice)


@parameters()
class TikiTakaEcRamMOPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: metal-oxide ECRAM."""

    device: View = cell("TikiTakaEcRamMOPreset", EcRamMOPresetDevice)


@parameters()
class TikiTakaIdealizedPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka: idealised devices."""

    device: View = cell("TikiTakaIdealizedPreset", IdealizedPresetDevice)


@parameters()
class TTv2ReRamESPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: ReRAM with exponential steps."""

    device: View = cell("TTv2ReRamESPreset", ReRamESPresetDevice)


@parameters()
class TTv2ReRamSBPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: soft-bounds ReRAM."""

    device: View = cell("TTv2ReRamSBPreset", ReRamSBPresetDevice)


@parameters()
class TTv2CapacitorPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: capacitors."""

    device: View = cell("TTv2CapacitorPreset", CapacitorPresetDevice)


@parameters()
class TTv2EcRamPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: lithium ECRAM."""

    device: View = cell("TTv2EcRamPreset", EcRamPresetDevice)
    update: UpdateParameters = pulses("TTv2EcRamPreset")


@parameters()
class TTv2EcRamMOPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: metal-oxide ECRAM."""

    device: View = cell("TTv2EcRamMOPreset", EcRamMOPresetDevice)
    update: UpdateParameters = pulses("TTv2EcRamMOPreset")


@parameters()
class TTv2IdealizedPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka, version 2: idealised devices."""

    device: View = cell("TTv2IdealizedPreset", IdealizedPresetDevice)
    update: UpdateParameters = pulses("TTv2IdealizedPreset")


@parameters()
class ChoppedTTv2ReRamESPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: ReRAM with exponential steps."""

    device: View = cell("ChoppedTTv2ReRamESPreset", ReRamESPresetDevice)


@parameters()
class ChoppedTTv2ReRamSBPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: soft-bounds ReRAM."""

    device: View = cell("ChoppedTTv2ReRamSBPreset", ReRamSBPresetDevice)


@parameters()
class ChoppedTTv2CapacitorPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: capacitors."""

    device: View = cell("ChoppedTTv2CapacitorPreset", CapacitorPresetDevice)


@parameters()
class ChoppedTTv2EcRamPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: lithium ECRAM."""

    device: View = cell("ChoppedTTv2EcRamPreset", EcRamPresetDevice)
    update: UpdateParameters = pulses("ChoppedTTv2EcRamPreset")


@parameters()
class ChoppedTTv2EcRamMOPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: metal-oxide ECRAM."""

    device: View = cell("ChoppedTTv2EcRamMOPreset", EcRamMOPresetDevice)
    update: UpdateParameters = pulses("ChoppedTTv2EcRamMOPreset")


@parameters()
class ChoppedTTv2IdealizedPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers: idealised devices."""

    device: View = cell("ChoppedTTv2IdealizedPreset", IdealizedPresetDevice)
    update: UpdateParameters = pulses("ChoppedTTv2IdealizedPreset")


@parameters()
class AGADReRamESPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: ReRAM with exponential steps."""

    device: View = cell("AGADReRamESPreset", ReRamESPresetDevice)


@parameters()
class AGADReRamSBPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: soft-bounds ReRAM."""

    device: View = cell("AGADReRamSBPreset", ReRamSBPresetDevice)


@parameters()
class AGADCapacitorPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: capacitors."""

    device: View = cell("AGADCapacitorPreset", CapacitorPresetDevice)


@parameters()
class AGADEcRamPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: lithium ECRAM."""

    device: View = cell("AGADEcRamPreset", EcRamPresetDevice)


@parameters()
class AGADEcRamMOPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: metal-oxide ECRAM."""

    device: View = cell("AGADEcRamMOPreset", EcRamMOPresetDevice)
    update: UpdateParameters = pulses("AGADEcRamMOPreset")


@parameters()
class AGADIdealizedPreset(PresetUnitCellRPUConfig):
    """Tiki-Taka with choppers and a measured reference: idealised devices."""

    device: View = cell("AGADIdealizedPreset", IdealizedPresetDevice)
    update: UpdateParameters = pulses("AGADIdealizedPreset")


@parameters()
class MixedPrecisionReRamESPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: ReRAM with exponential steps."""

    device: View = mixed_precision(ReRamESPresetDevice)


@parameters()
class MixedPrecisionReRamSBPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: soft-bounds ReRAM."""

    device: View = mixed_precision(ReRamSBPresetDevice)


@parameters()
class MixedPrecisionCapacitorPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: capacitors."""

    device: View = mixed_precision(CapacitorPresetDevice)


@parameters()
class MixedPrecisionEcRamPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: lithium ECRAM."""

    device: View = mixed_precision(EcRamPresetDevice)


@parameters()
class MixedPrecisionEcRamMOPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: metal-oxide ECRAM."""

    device: View = mixed_precision(EcRamMOPresetDevice)


@parameters()
class MixedPrecisionIdealizedPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: idealised devices."""

    device: View = mixed_precision(IdealizedPresetDevice)


@parameters()
class MixedPrecisionGokmenVlasovPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: the device of Gokmen and Vlasov."""

    device: View = mixed_precision(GokmenVlasovPresetDevice)


@parameters()
class MixedPrecisionPCMPreset(PresetDigitalRankUpdateRPUConfig):
    """Updates computed digitally: pairs of phase-change memory cells."""

    device: View = mixed_precision(PCMPresetUnitCell)
