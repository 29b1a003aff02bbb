"""The golden cases, and their aihwkit configurations in terms of this library.

The translation is strict: whatever a case sets and the library does not have raises `Unsupported`, so a case is never
replayed with a feature silently left out. Fields at their aihwkit default are not listed in a case and need nothing,
because the defaults of both libraries agree.
"""

import dataclasses
import gzip
import json
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax

from analogjax import physics, tile
from analogjax import random as ajr
from analogjax.errors import ConfigError
from compat.flat_periphery import names, nested

DATA = Path(__file__).parent / "data"
_SEED = 20240607

_DEVICES = {
    "ConstantStepDevice": physics.ConstantStep,
    "LinearStepDevice": physics.LinearStep,
    "SoftBoundsDevice": physics.SoftBounds,
    "SoftBoundsPmaxDevice": physics.SoftBoundsPmax,
    "SoftBoundsReferenceDevice": physics.SoftBoundsReference,
    "ExpStepDevice": physics.ExpStep,
    "PowStepDevice": physics.PowStep,
    "PowStepReferenceDevice": physics.PowStepReference,
    "PiecewiseStepDevice": physics.PiecewiseStep,
    "IdealDevice": physics.Ideal,
    "FloatingPointDevice": physics.FloatingPoint,
}
_DEFAULT_DEVICE = {"SingleRPUConfig": "ConstantStepDevice", "FloatingPointRPUConfig": "FloatingPointDevice"}
_PARTS = {
    "update": physics.Pulses,
    "mapping": tile.Mapping,
}
_CLASSES = {"update": "UpdateParameters", "mapping": "MappingParameter"}
_IO_CLASSES = {"IOParameters": physics.Crossbar, "IOParametersIRDropT": physics.TimedCrossbar}


class Unsupported(Exception):
    """The library has no counterpart of a class, field or value; the message names it."""


@cache
def cases(group: str) -> dict[str, dict]:
    """The cases of a group by name."""
    with gzip.open(DATA / f"{group}.json.gz", "rt", encoding="utf-8") as file:
        return {case["case"]: case for case in json.load(file)["cases"]}


def key_for(case: dict) -> jax.Array:
    """The fixed key of a case; each case has its own, so that one unlucky draw stays one."""
    return jax.random.fold_in(ajr.key(_SEED), zlib.crc32(case["case"].encode()))


def tile_config(config: dict) -> tile.TileConfig:
    """The tile that an aihwkit configuration describes; raises `Unsupported` naming what is missing."""
    name = config.get("preset_of", config["class"])  # a preset lists all that differs from its base class
    if name not in _DEFAULT_DEVICE:
        raise Unsupported(f"class {name}")
    device = config.get("device", {"class": _DEFAULT_DEVICE[name]})
    parts = {"device": _build(_device_class(device), device)}
    for part, value in config.items():
        if part in ("class", "preset_of", "device"):
            continue
        if part in ("forward", "backward"):
            parts[part] = periphery(value)
            continue
        if part not in _PARTS:
            raise Unsupported(f"field {name}.{part}")
        if value.get("preset_of", value["class"]) != _CLASSES[part]:
            raise Unsupported(f"class {value['class']}")
        parts[part] = _build(_PARTS[part], value)
    return tile.TileConfig(**parts)


def periphery(values: dict) -> physics.Periphery:
    """Our periphery of aihwkit's IO parameters; raises `Unsupported`."""
    base = values.get("preset_of", values["class"])
    if base not in _IO_CLASSES:
        raise Unsupported(f"class {values['class']}")
    circuit = _IO_CLASSES[base]
    fields = {name: value for name, value in values.items() if name not in ("class", "preset_of")}
    missing = fields.keys() - names(circuit)
    if missing:
        raise Unsupported(f"fields {sorted(missing)} of {values['class']}")
    try:
        return nested(fields, circuit)
    except ConfigError as error:
        if "unknown; choose one of" in str(error):
            raise Unsupported(f"{values['class']}{error}") from error
        raise


def unsupported(case: dict, translate: Callable[[dict], object] = tile_config) -> str | None:
    """Why a case cannot be replayed, or `None` if it can."""
    try:
        translate(case["config"])
    except Unsupported as reason:
        return str(reason)
    return None


def supported(group: str, why_not: Callable[[dict], str | None] = unsupported) -> list[str]:
    """The names of the cases of a group that can be replayed."""
    return [name for name, case in cases(group).items() if why_not(case) is None]


def _device_class(device: dict) -> type:
    base = device.get("preset_of", device["class"])
    if base not in _DEVICES:
        raise Unsupported(f"class {base}")
    return _DEVICES[base]


def _build(ours: type, values: dict) -> object:
    """Our `ours` with the fields that an aihwkit object changes."""
    known = {field.name for field in dataclasses.fields(ours)}
    fields = {}
    for name, value in values.items():
        where = f"{values['class']}.{name}"
        if name in ("class", "preset_of"):  # a preset lists all that differs from its base class
            continue
        if name not in known:
            raise Unsupported(f"field {where}" + (f"={value}" if isinstance(value, str) else ""))
        else:
            fields[name] = _drift(value, where) if isinstance(value, dict) else value
    try:
        return ours(**fields)
    except ConfigError as error:
        strings = {name: value for name, value in fields.items() if isinstance(value, str)}
        if strings and "unknown; choose one of" in str(error):
            name = str(error).split("(", 1)[1].split("=", 1)[0]
            raise Unsupported(f"value {values['class']}.{name}={strings[name]}") from error
        raise


def _drift(values: dict, where: str) -> physics.Drift:
    if values["class"] not in ("DriftParameter", "SimpleDriftParameter"):
        raise Unsupported(f"class {values['class']} of field {where}")
    return _build(physics.Drift, values)
