"""Devices with measured values, made from the native ones: `CapacitorPresetDevice` and the other names below.

See `analogjax.physics.presets` for the values and the papers.
"""

from typing import Any

from analogjax.tile.presets import DEVICES as NATIVE
from compat.aihwkit.simulator.configs import devices as views
from compat.aihwkit.simulator.presets.utils import like
from compat.parameters import View

_CALLED = {
    "ReRamES": "Filamentary ReRAM, with exponential steps.",
    "ReRamSB": "Filamentary ReRAM, with soft bounds.",
    "ReRamArrayOM": "ReRAM of optimised material, as measured on an array.",
    "ReRamArrayHfO2": "ReRAM of HfO2, as measured on an array.",
    "Capacitor": "CMOS capacitor that leaks.",
    "EcRam": "Lithium electro-chemical RAM.",
    "EcRamMO": "Metal-oxide electro-chemical RAM.",
    "Idealized": "Many small, nearly symmetric steps.",
    "GokmenVlasov": "The device that Gokmen and Vlasov asked for.",
    "PCM": "One phase-change memory cell, of positive conductance.",
}


def _made(name: str, doc: str) -> Any:
    """The class of the native device `name`, a view of the device's family."""
    native = NATIVE[name]
    family = getattr(views, f"{type(native).__name__}Device")
    return like(native)(type(f"{name}PresetDevice", (family,), {"__doc__": doc, "__module__": __name__}))


DEVICES: dict[str, type[View]] = {name: _made(name, doc) for name, doc in _CALLED.items()}
globals().update({kind.__name__: kind for kind in DEVICES.values()})
__all__ = [kind.__name__ for kind in DEVICES.values()]
