"""Whole configurations by aihwkit's class names, e.g. `preset("CapacitorPreset")`.

Each has the preset periphery in both directions, trains of 31 pulses, and the device of its name; those that end in a
number have cells of so many devices, of which one, drawn at random, takes each mini-batch. `PRESETS` has what the
physics of this version can run.
"""

from analogjax.errors import ConfigError
from analogjax.physics import Device, UpdatePolicy, Vector
from analogjax.physics.device import PulsedDevice
from analogjax.physics.presets import (
    CAPACITOR,
    EC_RAM,
    EC_RAM_MO,
    GOKMEN_VLASOV,
    IDEALIZED,
    PRESET_PERIPHERY,
    PRESET_PULSES,
    RERAM_SB,
)
from analogjax.tile.tile import TileConfig

_SINGLE: dict[str, PulsedDevice] = {
    "ReRamSB": RERAM_SB,
    "Capacitor": CAPACITOR,
    "EcRam": EC_RAM,
    "EcRamMO": EC_RAM_MO,
    "Idealized": IDEALIZED,
    "GokmenVlasov": GOKMEN_VLASOV,
}
_CELLS = ("ReRamSB", "Capacitor", "EcRam", "EcRamMO", "Idealized")  # of which aihwkit has cells of two and four


def _config(device: Device) -> TileConfig:
    return TileConfig(device=device, forward=PRESET_PERIPHERY, backward=PRESET_PERIPHERY, update=PRESET_PULSES)


def _cell(device: PulsedDevice, number: int) -> Vector:
    return Vector(devices=(device,) * number, update_policy=UpdatePolicy.SINGLE_RANDOM)


_CONFIGS = {f"{name}Preset": _config(device) for name, device in _SINGLE.items()} | {
    f"{name}{number}Preset": _config(_cell(_SINGLE[name], number)) for name in _CELLS for number in (2, 4)
}
PRESETS = tuple(_CONFIGS)


def preset(name: str) -> TileConfig:
    """The configuration of that name. Raises `ConfigError` with the known names."""
    if name not in _CONFIGS:
        raise ConfigError(f"preset({name!r}): unknown; known are {', '.join(PRESETS)}.")
    return _CONFIGS[name]
