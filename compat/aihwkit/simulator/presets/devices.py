"""Devices with measured values; see `analogjax.physics.presets` for the values and the papers."""

from analogjax.physics import presets as native
from compat.aihwkit.simulator.configs.devices import (
    ConstantStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    SoftBoundsReferenceDevice,
)
from compat.aihwkit.simulator.presets.utils import like


@like(native.RERAM_ES)
class ReRamESPresetDevice(ExpStepDevice):
    """Filamentary ReRAM, with exponential steps."""


@like(native.RERAM_SB)
class ReRamSBPresetDevice(SoftBoundsReferenceDevice):
    """Filamentary ReRAM, with soft bounds."""


@like(native.RERAM_ARRAY_OM)
class ReRamArrayOMPresetDevice(SoftBoundsReferenceDevice):
    """ReRAM of optimised material, as measured on an array."""


@like(native.RERAM_ARRAY_HFO2)
class ReRamArrayHfO2PresetDevice(SoftBoundsReferenceDevice):
    """ReRAM of HfO2, as measured on an array."""


@like(native.CAPACITOR)
class CapacitorPresetDevice(LinearStepDevice):
    """CMOS capacitor that leaks."""


@like(native.EC_RAM)
class EcRamPresetDevice(LinearStepDevice):
    """Lithium electro-chemical RAM."""


@like(native.EC_RAM_MO)
class EcRamMOPresetDevice(LinearStepDevice):
    """Metal-oxide electro-chemical RAM."""


@like(native.IDEALIZED)
class IdealizedPresetDevice(ConstantStepDevice):
    """Many small, nearly symmetric steps."""


@like(native.GOKMEN_VLASOV)
class GokmenVlasovPresetDevice(ConstantStepDevice):
    """The device that Gokmen and Vlasov asked for."""


@like(native.PCM)
class PCMPresetDevice(ExpStepDevice):
    """One phase-change memory cell, of positive conductance."""
