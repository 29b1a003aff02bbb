"""Whole configurations with measured devices, made from the native ones: `TikiTakaCapacitorPreset` and so on.

A name tells how weights are trained (nothing: by pulses on the weights themselves), with which device, and for some
with how many at each crosspoint. See `analogjax.tile.presets` for all names, and the values.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from analogjax.physics.presets import PRESET_PULSES
from analogjax.tile.presets import PRESETS, preset
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.presets.bases import (
    PresetDigitalRankUpdateRPUConfig,
    PresetSingleRPUConfig,
    PresetUnitCellRPUConfig,
    cell,
    mixed_precision,
    pulses,
)
from compat.aihwkit.simulator.presets.compounds import PCMPresetUnitCell
from compat.aihwkit.simulator.presets.devices import DEVICES
from compat.parameters import View, parameters


class _Family(NamedTuple):
    """Configurations that train in one way."""

    base: Any
    doc: str
    device: Callable[[str, Any], Any]  # (name of the preset, class of the device) -> field


def _itself(name: str, device: Any) -> Any:
    return dataclasses.field(default_factory=device)


def _digitally(name: str, device: Any) -> Any:
    return mixed_precision(device)


_FAMILIES = {
    "": _Family(PresetSingleRPUConfig, "One device", _itself),
    "2": _Family(PresetUnitCellRPUConfig, "Two devices", cell),
    "4": _Family(PresetUnitCellRPUConfig, "Four devices", cell),
    "TikiTaka": _Family(PresetUnitCellRPUConfig, "Tiki-Taka", cell),
    "TTv2": _Family(PresetUnitCellRPUConfig, "Tiki-Taka, version 2", cell),
    "ChoppedTTv2": _Family(PresetUnitCellRPUConfig, "Tiki-Taka with choppers", cell),
    "AGAD": _Family(PresetUnitCellRPUConfig, "Tiki-Taka with choppers and a measured reference", cell),
    "MixedPrecision": _Family(PresetDigitalRankUpdateRPUConfig, "Updates computed digitally", _digitally),
}
# what is called so, one and several
_CALLED = {
    "ReRamES": ("ReRAM with exponential steps",) * 2,
    "ReRamSB": ("soft-bounds ReRAM",) * 2,
    "Capacitor": ("a capacitor", "capacitors"),
    "EcRam": ("lithium ECRAM",) * 2,
    "EcRamMO": ("metal-oxide ECRAM",) * 2,
    "Idealized": ("an idealised device", "idealised devices"),
    "GokmenVlasov": ("the device of Gokmen and Vlasov",) * 2,
    "PCM": ("a pair of phase-change memory cells, one for each sign", "pairs of phase-change memory cells"),
}
_WAYS = "|".join(way for way in _FAMILIES if not way.isdigit())
_NAME = re.compile(f"({_WAYS})({'|'.join(_CALLED)})([24]?)Preset")


def _made(name: str, way: str, device: str, number: str) -> type[View]:
    """The class of the preset `name`."""
    family = _FAMILIES[way + number]
    base, kind = family.base, DEVICES[device]
    if device == "PCM":  # which is a pair, and never a device alone
        kind, base = PCMPresetUnitCell, PresetUnitCellRPUConfig if not way else base
    given: dict[str, Any] = {"device": family.device(name, kind)}
    if preset(name).update != PRESET_PULSES:
        given["update"] = pulses(name)
    types = {"device": View, "update": UpdateParameters}
    doc = f"{family.doc}: {_CALLED[device][bool(way + number)]}."
    space = {"__doc__": doc, "__module__": __name__, "__annotations__": {key: types[key] for key in given}}
    return parameters()(type(name, (base,), space | given))


CONFIGS = {name: _made(name, *found.groups()) for name in PRESETS if (found := _NAME.fullmatch(name))}
globals().update(CONFIGS)
__all__ = [*CONFIGS]
