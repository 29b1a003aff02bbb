"""aihwkit's compounds in terms of this library; strict, as `catalog` is."""

import dataclasses
from collections.abc import Callable

from analogjax import physics, tile
from analogjax.errors import ConfigError
from analogjax.physics import compounds
from tests.golden import catalog
from tests.golden.catalog import Unsupported, _build, _device_class, periphery, tile_config

_TRANSFERS = {
    "TransferCompound": compounds.tiki_taka,
    "BufferedTransferCompound": compounds.ttv2,
    "ChoppedTransferCompound": compounds.c_ttv2,
    "DynamicTransferCompound": compounds.agad,
}
_RENAMED = {"granularity": "granularity_override"}


def unsupported(case: dict) -> str | None:
    """Why a case cannot be replayed, or `None` if it can."""
    return "inputs of other cases" if case.get("kind") == "data" else catalog.unsupported(case, any_config)


def supported(group: str) -> list[str]:
    """The names of the cases of a group that can be replayed."""
    return catalog.supported(group, unsupported)


def any_config(config: dict) -> tile.TileConfig:
    """The tile of any configuration; raises `Unsupported`."""
    base = config.get("preset_of", config["class"])  # a preset lists all that differs from its base class
    if base not in ("UnitCellRPUConfig", "DigitalRankUpdateRPUConfig"):
        return tile_config(config)
    rest = {name: value for name, value in config.items() if name not in ("class", "device", "preset_of")}
    plain = tile_config({"class": "SingleRPUConfig", **rest})
    return dataclasses.replace(plain, device=cell(config["device"]))


def cell(device: dict) -> object:
    """Our compound, or plain device."""
    name = device.get("preset_of", device["class"])
    values = {key: value for key, value in device.items() if key not in ("class", "preset_of")}
    inside = tuple(cell(one) for one in values.pop("unit_cell_devices", ()))
    if name in ("VectorUnitCell", "ReferenceUnitCell"):
        return _vector(name, inside, values)
    given = {_RENAMED.get(key, key): _value(key, value) for key, value in values.items() if key != "device"}
    if name in _TRANSFERS:
        return _made(_TRANSFERS[name], {"devices": inside} | given)
    if name == "OneSidedUnitCell":
        return _made(compounds.OneSided, {"device": inside[0]} | given)
    if name == "MixedPrecisionCompound":
        return _made(compounds.MixedPrecision, {"device": cell(values["device"])} | given)
    return _build(_device_class(device), device)


def _vector(name: str, inside: tuple, values: dict) -> object:
    if name == "ReferenceUnitCell":
        inside = (inside * 2)[:2]
        values = {"update_policy": "SingleFixed", "gamma_vec": [1.0, -1.0]} | values
    return _made(compounds.Vector, {"devices": inside} | {key: _value(key, value) for key, value in values.items()})


def _value(key: str, value: object) -> object:
    if isinstance(value, dict):
        if value.get("preset_of", value["class"]) == "UpdateParameters":
            return _build(physics.Pulses, value)
        return periphery(value)
    return tuple(value) if isinstance(value, list) else value


def _made(ours: Callable, given: dict) -> object:
    try:
        return ours(**given)
    except ConfigError as error:
        raise Unsupported(str(error)) from error
