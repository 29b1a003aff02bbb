"""Complete configurations by the names of aihwkit's classes, e.g. `preset("CapacitorPreset")`; parts by `preset_part`.

Each has the preset periphery in both directions, trains of up to 31 pulses (100 where noted below), and the device of
its name. The devices are in `analogjax.physics.presets`, with the papers they were fitted to.

| names                            | device                                     | source                         |
|----------------------------------|--------------------------------------------|--------------------------------|
| `CapacitorPreset`, ...           | one at each crosspoint                     | doi:10.3389/fnins.2016.00333   |
| `Capacitor2Preset`, `...4...`    | 2 or 4; each vector goes to a random one   | doi:10.3389/fnins.2016.00333   |
| `PCMPreset`                      | a pair, one for each sign, refreshed       | doi:10.1063/1.5042408          |
| `TikiTakaCapacitorPreset`, ...   | `tiki_taka`                                | doi:10.3389/fnins.2020.00103   |
| `TTv2CapacitorPreset`, ...       | `c_ttv2` that does not chop                | doi:10.3389/frai.2021.699148   |
| `ChoppedTTv2CapacitorPreset` ... | `c_ttv2`                                   | doi:10.1038/s41467-024-51221-z |
| `AGADCapacitorPreset`, ...       | `agad`                                     | doi:10.1038/s41467-024-51221-z |
| `MixedPrecisionCapacitorPreset`  | `MixedPrecision`                           | doi:10.3389/fnins.2020.00406   |
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from analogjax.errors import ConfigError
from analogjax.physics import (
    Device,
    MixedPrecision,
    Transfer,
    UpdatePolicy,
    Vector,
    agad,
    c_ttv2,
    presets,
    tiki_taka,
)
from analogjax.physics.compounds import SINGLE_PULSES
from analogjax.physics.device import PulsedDevice
from analogjax.physics.presets import PRESET_PERIPHERY, PRESET_PULSES
from analogjax.tile.tile import TileConfig

DEVICES: dict[str, Any] = {
    "ReRamES": presets.RERAM_ES,
    "ReRamSB": presets.RERAM_SB,
    "Capacitor": presets.CAPACITOR,
    "EcRam": presets.EC_RAM,
    "EcRamMO": presets.EC_RAM_MO,
    "Idealized": presets.IDEALIZED,
    "GokmenVlasov": presets.GOKMEN_VLASOV,
    "PCM": presets.PCM,
    "ReRamArrayOM": presets.RERAM_ARRAY_OM,
    "ReRamArrayHfO2": presets.RERAM_ARRAY_HFO2,
}
"""Devices with measured values, by aihwkit's names."""

_PARTS: dict[str, Any] = {f"{name}PresetDevice": device for name, device in DEVICES.items()} | {
    "PCMPresetUnitCell": presets.PCM_CELL,
    "PresetIOParameters": PRESET_PERIPHERY,
    "StandardIOParameters": presets.STANDARD_PERIPHERY,
    "PresetUpdateParameters": PRESET_PULSES,
}
_SINGLE = ("ReRamES", "ReRamSB", "Capacitor", "EcRam", "EcRamMO", "Idealized", "GokmenVlasov")
_SIX = _SINGLE[:6]  # of which aihwkit has everything else
_ONE_LINE = PRESET_PERIPHERY.unmanaged()  # what the reads of a transfer are made with


class _Chopped(NamedTuple):
    """Settings of a preset with a digital buffer."""

    fast_lr: float  # learning rate of the fast array
    auto_granularity: float  # vectors that the buffer collects
    in_chop_prob: float = 0.0
    tail_weightening: float = 5.0  # of the dynamic transfer
    desired_bl: int = 31  # pulses of one train


_TTV2 = {
    "ReRamES": _Chopped(0.5, 1000),
    "ReRamSB": _Chopped(0.5, 1000),
    "Capacitor": _Chopped(0.1, 1000),
    "EcRam": _Chopped(0.1, 500, desired_bl=100),
    "EcRamMO": _Chopped(0.1, 500, desired_bl=100),
    "Idealized": _Chopped(0.1, 500, desired_bl=100),
}
_CHOPPED = {
    "ReRamES": _Chopped(0.5, 1000, 0.01),
    "ReRamSB": _Chopped(0.5, 1000, 0.01),
    "Capacitor": _Chopped(0.1, 1000, 0.01),
    "EcRam": _Chopped(1.0, 500, 0.01, desired_bl=100),  # aihwkit leaves this rate at its default
    "EcRamMO": _Chopped(0.1, 500, 0.001, desired_bl=100),
    "Idealized": _Chopped(0.1, 500, 0.001, desired_bl=100),
}
_AGAD = {
    "ReRamES": _Chopped(0.5, 1000, 0.02),
    "ReRamSB": _Chopped(0.5, 1000, 0.02),
    "Capacitor": _Chopped(0.1, 1000, 0.01, 20.0),
    "EcRam": _Chopped(0.1, 750, 0.005, 50.0),
    "EcRamMO": _Chopped(0.1, 500, 0.005, 50.0, 100),
    "Idealized": _Chopped(0.1, 500, 0.005, 50.0, 100),
}


def _config(device: Device, desired_bl: int = 31) -> TileConfig:
    pulses = replace(PRESET_PULSES, desired_bl=desired_bl)
    return TileConfig(device=device, forward=PRESET_PERIPHERY, backward=PRESET_PERIPHERY, update=pulses)


def _cell(device: PulsedDevice, number: int) -> Vector:
    return Vector(devices=(device,) * number, update_policy=UpdatePolicy.SINGLE_RANDOM)


def _pair(name: str) -> tuple[Any, Any]:
    """The arrays of a transfer; ReRAM with soft bounds is read against its symmetry point."""
    device = DEVICES[name]
    return (replace(device, subtract_symmetry_point=True) if name == "ReRamSB" else device,) * 2


def _tiki_taka(name: str) -> TileConfig:
    return _config(tiki_taka(_pair(name), transfer_forward=_ONE_LINE, transfer_update=PRESET_PULSES))


def _chopped(make: Callable[..., Transfer], name: str, of: _Chopped, **others: Any) -> TileConfig:
    device = make(
        _pair(name), transfer_forward=_ONE_LINE, transfer_update=SINGLE_PULSES, fast_lr=of.fast_lr,
        auto_scale=True, auto_granularity=of.auto_granularity, in_chop_prob=of.in_chop_prob, **others,
    )  # fmt: skip
    return _config(device, of.desired_bl)


_CONFIGS: dict[str, TileConfig] = {
    **{f"{name}Preset": _config(DEVICES[name]) for name in _SINGLE},
    "PCMPreset": _config(presets.PCM_CELL),
    **{f"{name}{number}Preset": _config(_cell(DEVICES[name], number)) for number in (2, 4) for name in _SIX},
    **{f"TikiTaka{name}Preset": _tiki_taka(name) for name in _SIX},
    **{f"TTv2{name}Preset": _chopped(c_ttv2, name, of) for name, of in _TTV2.items()},
    **{f"ChoppedTTv2{name}Preset": _chopped(c_ttv2, name, of) for name, of in _CHOPPED.items()},
    **{
        f"AGAD{name}Preset": _chopped(agad, name, of, tail_weightening=of.tail_weightening)
        for name, of in _AGAD.items()
    },
    **{f"MixedPrecision{name}Preset": _config(MixedPrecision(device=DEVICES[name])) for name in _SINGLE},
    "MixedPrecisionPCMPreset": _config(MixedPrecision(device=_PARTS["PCMPresetUnitCell"])),
}
PRESETS = tuple(_CONFIGS)
"""Names that `preset` knows."""
PARTS = tuple(_PARTS)
"""Names that `preset_part` knows."""


def preset(name: str) -> TileConfig:
    """Return the configuration of a preset by name. Raises `ConfigError` with the known names."""
    if name not in _CONFIGS:
        raise ConfigError(f"preset({name!r}): unknown; known are {', '.join(PRESETS)}.")
    return _CONFIGS[name]


def preset_part(name: str) -> Any:
    """Return a device, unit cell, periphery or pulses by name. Raises `ConfigError` with the known names."""
    if name not in _PARTS:
        raise ConfigError(f"preset_part({name!r}): unknown; known are {', '.join(PARTS)}.")
    return _PARTS[name]
