"""A tile's configuration as plain JSON values, and back; nothing but the classes named here is ever made.

{"class": "TileConfig", "device": {"class": "SoftBounds", "dw_min": 0.002}}      fields that differ from defaults
{"class": "Transfer", "devices": [{"class": "ConstantStep"}, {"class": "ConstantStep"}], "writer": {...}}
{"preset": "CapacitorPreset"}                                                    a preset, by aihwkit's name
{"class": "HardwareAware", "clip": {"class": "GaussianClip", "sigma": 2.5}}      of layers that gradients train
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import jax

from analogjax import physics, tile
from analogjax._pytree import is_static
from analogjax.cloud.errors import DescriptionError
from analogjax.errors import ConfigError
from analogjax.physics import compounds, devices
from analogjax.physics.inference.converters import SinglePair
from analogjax.tile import HardwareAware, TileConfig
from analogjax.tile.presets import PRESETS, preset

_MAX_DEPTH = 7
_MOST = 2**31 - 1  # of a whole number
_LARGEST = 3.4028234e38  # that float32 holds
_INFINITE = "inf"  # how JSON, which has no such number, is told of it
_MOST_DEVICES = 1024  # of a compound, each of which is compiled
# whole numbers that determine memory use or time
_BOUNDED = {
    "phys_input_size": (65_536, "a chip has at most 65536 rows"),  # it may have more than its layer has inputs
    "desired_bl": (4096, "a train has at most 4096 slots"),
    "n_estimation_steps": (1_000_000, "a symmetry point is found by at most 1000000 steps"),
}


def _parameter_classes(*modules: Any) -> dict[str, Any]:
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }


_KINDS = (
    tile.TileConfig, tile.Mapping, physics.Periphery, physics.DAC, physics.ADC, physics.NoiseManagement,
    physics.BoundManagement, physics.Pulses, physics.Drift,
)  # fmt: skip
_CIRCUITS = {kind.__name__: kind for kind in (physics.Crossbar, physics.TimedCrossbar)}
_CONVERTERS: dict[str, Any] = {SinglePair.__name__: SinglePair}
CLASSES: dict[str, Any] = (
    {kind.__name__: kind for kind in _KINDS} | _CIRCUITS | _CONVERTERS | _parameter_classes(devices, compounds)
)
# what is no part of an experiment that is sent, but of a saved hardware-aware layer
_AWARE: dict[str, Any] = {HardwareAware.__name__: HardwareAware} | _parameter_classes(physics.hardware_aware)
_ALL = CLASSES | _AWARE
_PROTOCOLS = (physics.WeightModifier, physics.WeightClip, physics.WeightRemap)  # of which a field takes any class
_DEVICES = "devices"  # the field of a compound with the devices that it is made of
_ANY_DEVICE = physics.ConstantStep()  # what belongs where a class has no default


def config_to_json(config: TileConfig) -> dict[str, Any]:
    """Plain values of a configuration. Raises `DescriptionError` for arrays and custom classes."""
    if isinstance(config, HardwareAware):
        raise _unknown(config, "config")
    return any_config_to_json(config)


def any_config_to_json(config: TileConfig | HardwareAware) -> dict[str, Any]:
    """As `config_to_json`, also for hardware-aware layers, which no experiment that is sent has."""
    encoded = _encoded(config, "config")
    return next(({"preset": name} for name in PRESETS if encoded == _expanded(name)), encoded)


def expanded(name: str) -> dict[str, Any]:
    """A preset in plain values."""
    return copy.deepcopy(_expanded(name))


@cache
def _expanded(name: str) -> dict[str, Any]:
    return _encoded(preset(name), "config")


def config_from_json(value: Any, where: str = "config") -> TileConfig:
    """Make the configuration described by `value`. Raises `DescriptionError` naming the place and what is supported."""
    config = any_config_from_json(value, where)
    if not isinstance(config, TileConfig):
        raise DescriptionError(f"{where}: is a {type(config).__name__}; give a TileConfig or a preset.")
    return config


def any_config_from_json(value: Any, where: str = "config") -> TileConfig | HardwareAware:
    """As `config_from_json`, which may also be one of hardware-aware layers."""
    if isinstance(value, Mapping) and set(value) == {"preset"}:
        if value["preset"] not in PRESETS:
            raise DescriptionError(f"{where}: preset {value['preset']!r} is unknown; known are {', '.join(PRESETS)}.")
        return preset(value["preset"])
    config = _decoded(value, where, 0)
    if not isinstance(config, (TileConfig, HardwareAware)):
        raise DescriptionError(
            f"{where}: is a {type(config).__name__}; give a TileConfig, a HardwareAware, or a preset."
        )
    return config


def _encoded(value: Any, where: str) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value == math.inf:
        return _INFINITE
    if value is None or (isinstance(value, (bool, int, float, str)) and not hasattr(value, "dtype")):
        return value
    if isinstance(value, tuple):
        return [_encoded(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if _ALL.get(type(value).__name__) is type(value):
        changed = {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if not _equal(getattr(value, field.name), field.default)
        }
        return {"class": type(value).__name__} | {
            name: _encoded(item, f"{where}.{name}") for name, item in changed.items()
        }
    raise _unknown(value, where)


def _unknown(value: Any, where: str) -> DescriptionError:
    return DescriptionError(
        f"{where} is a {type(value).__name__}: an experiment is sent as plain numbers and the classes "
        f"{', '.join(sorted(CLASSES))}. Run it with LocalRunner, or use one of these."
    )


def _equal(value: Any, default: Any) -> bool:
    if jax.tree.leaves(value) and not is_static(value):
        return False  # it contains arrays: `_encoded` raises the error
    return type(value) is type(default) and value == default


def _decoded(value: Any, where: str, depth: int) -> Any:
    if not isinstance(value, Mapping) or not isinstance(value.get("class"), str):
        raise DescriptionError(f'{where}: give {{"class": NAME, ...}} or {{"preset": NAME}}, not {_short(value)}.')
    kind = _ALL.get(value["class"])
    if kind is None or depth > _MAX_DEPTH:
        known = ", ".join(sorted(CLASSES))
        raise DescriptionError(f"{where}: class {_short(value['class'])} is unknown; known are {known}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given: dict[str, Any] = {}
    for name, item in value.items():
        if name == "class":
            continue
        if name not in fields:
            raise DescriptionError(f"{where}: {kind.__name__} has no field {_short(name)}; it has {', '.join(fields)}.")
        if item is None and _may_be_none(fields[name]):
            given[name] = None
            continue
        given[name] = _field(item, _shown(fields[name]), _named(kind, name), f"{where}.{name}", depth)
    _check_bounded(given, where)
    try:
        return kind(**given)
    except (ConfigError, TypeError, ValueError) as error:
        raise DescriptionError(f"{where}: {error}") from None


def _check_bounded(given: dict[str, Any], where: str) -> None:
    """Bound the numbers of a configuration that determine memory use or time."""
    for name, (most, told) in _BOUNDED.items():
        if given.get(name, 0) > most:
            raise DescriptionError(f"{where}.{name}: {told}, not {_short(given[name])}.")
    if len(given.get(_DEVICES, ())) > _MOST_DEVICES:
        raise DescriptionError(f"{where}.{_DEVICES}: are {len(given[_DEVICES])}; at most {_MOST_DEVICES} are run.")


def _shown(field: dataclasses.Field) -> Any:
    """A value of the kind that belongs in a field. Only the devices of a compound have no default."""
    if field.name == _DEVICES:
        return (_ANY_DEVICE,)
    if field.default in (None, dataclasses.MISSING) and float in typing.get_args(field.type):
        return 0.0  # a number that may be left out, or one that must be given
    return _ANY_DEVICE if field.default is dataclasses.MISSING else field.default


def _may_be_none(field: dataclasses.Field) -> bool:
    """Whether the annotation allows None, for parts that are left out."""
    return type(None) in typing.get_args(field.type)


@cache
def _named(kind: type, name: str) -> dict[str, type]:
    """The classes of `_ALL` that the type of a field names, and the protocols of such, by their names."""
    hint = typing.get_type_hints(kind)[name]
    found = [one for one in (hint, *typing.get_args(hint)) if one in (*_ALL.values(), *_PROTOCOLS)]
    return {one.__name__: one for one in found}


def _field(value: Any, default: Any, named: dict[str, type], where: str, depth: int) -> Any:
    """One value, of the kind that the default shows, or of one of the classes `named` by its type."""
    if isinstance(value, Mapping):
        return _fitting(_decoded(value, where, depth + 1), default, named, where)
    if isinstance(value, list):
        if not isinstance(default, tuple):
            raise DescriptionError(f"{where}: a list does not fit there.")
        item = default[0] if default else 0.0
        return tuple(_item(one, item, f"{where}[{n}]", depth) for n, one in enumerate(value))
    if isinstance(default, Enum):
        return _choice(type(default), value, where)
    if isinstance(default, bool) and not isinstance(value, bool):
        raise DescriptionError(f"{where}: needs true or false, not {_short(value)}.")
    number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if isinstance(default, float) and value == _INFINITE:
        return math.inf
    if number and (not is_number(value) or (isinstance(default, int) and not isinstance(value, int))):
        kind = "a whole number" if isinstance(default, int) else "a finite number"
        raise DescriptionError(f"{where}: needs {kind}, not {_short(value)}.")
    if number and isinstance(default, int) and abs(value) > _MOST:
        raise DescriptionError(f"{where}: a whole number is at most {_MOST} here, not {_short(value)}.")
    if number:
        _check_held(value, where)
    elif not isinstance(default, bool):
        raise DescriptionError(f"{where}: {_short(value)} does not fit there.")
    return value


def _fitting(made: Any, default: Any, named: dict[str, type], where: str) -> Any:
    """`made`, if it belongs there: a device for a device, any converter for a converter.

    Any kind of crossbar for a crossbar, else an object of one of the classes `named`.
    """
    known: dict[str, Any] = named or {type(default).__name__: type(default)}
    if isinstance(default, physics.Device) and not set(known.values()) & set(_PROTOCOLS):
        known = {"Device": physics.Device}
    elif family := next((them for them in (_CIRCUITS, _CONVERTERS) if type(default) in them.values()), None):
        known = family
    if not isinstance(made, tuple(known.values())):
        one = "list" if isinstance(default, tuple) else " or ".join(sorted(known))
        raise DescriptionError(f"{where}: a {type(made).__name__} does not fit there; give a {one}.")
    return made


def _item(value: Any, default: Any, where: str, depth: int) -> Any:
    """One item of a tuple: a device of a compound, or a number."""
    if isinstance(default, physics.Device):
        return _fitting(_decoded(value, where, depth + 1), default, {}, where)
    if not is_number(value):
        raise DescriptionError(f"{where}: needs a finite number, not {_short(value)}.")
    _check_held(value, where)
    return value


def _check_held(value: float, where: str) -> None:
    if abs(value) > _LARGEST:
        raise DescriptionError(f"{where}: a number is at most {_LARGEST:g} (float32) here, not {_short(value)}.")


def _choice(kind: type[Enum], value: Any, where: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(choice.value) for choice in kind)
        raise DescriptionError(f"{where}: {_short(value)} is unknown; choose one of {known}.") from None


def is_number(value: Any) -> bool:
    """Whether it is a finite number and not a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
