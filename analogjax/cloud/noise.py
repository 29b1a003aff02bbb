"""Noise models of inference as plain values, and back; nothing but what `analogjax.physics.inference` exports is made.

{"class": "PCMLike", "prog_coeff": [0.2, 1.0], "g_converter": {"class": "SinglePair", "g_max": 40.0}}
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from analogjax.cloud.configuration import is_number
from analogjax.cloud.errors import DescriptionError
from analogjax.errors import ConfigError
from analogjax.physics import inference
from analogjax.physics.inference import conductance


def _parameters(module: Any, method: str) -> dict[str, Any]:
    """The classes of parameters in a module that have a method."""
    found = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and is_dataclass(kind)}
    return {name: kind for name, kind in found.items() if hasattr(kind, method)}


NOISE_MODELS = _parameters(inference, "program")
_CONVERTERS = _parameters(conductance, "conductances")
_MOST = 16  # coefficients of a polynomial


def noise_model_of(value: Any) -> Any:
    """Make the noise model described by plain values. Raises `DescriptionError` listing what is supported."""
    return _decoded(value, NOISE_MODELS, "noise_model")


def noise_model_to_json(model: Any) -> dict[str, Any]:
    """Plain values of a noise model. Raises `DescriptionError` for custom classes and arrays."""
    return _encoded(model, NOISE_MODELS, "noise_model")


def _decoded(value: Any, known: Mapping[str, Any], where: str) -> Any:
    kind = known.get(str(value.get("class"))) if isinstance(value, Mapping) else None
    if kind is None:
        raise DescriptionError(f'{where}: give {{"class": NAME, ...}}; known are {", ".join(known)}.')
    types = typing.get_type_hints(kind)
    names = [one.name for one in fields(kind)]
    given = {name: item for name, item in value.items() if name != "class"}
    for name, item in given.items():
        if name not in names:
            raise DescriptionError(f"{where}: {kind.__name__} has no field {str(name)[:60]!r}; it has {names}.")
        given[name] = _field(item, (types[name], *typing.get_args(types[name])), f"{where}.{name}")
    try:
        return kind(**given)
    except (ConfigError, TypeError, ValueError) as error:
        raise DescriptionError(f"{where}: {error}") from None


def _field(item: Any, types: tuple[Any, ...], where: str) -> Any:
    """One value, of one of the types that its field may have."""
    if isinstance(item, Mapping) and inference.Converter in types and str(item.get("class")) in _CONVERTERS:
        return _decoded(item, _CONVERTERS, where)
    several = any(typing.get_origin(one) is tuple for one in types)
    if several and isinstance(item, list) and 0 < len(item) <= _MOST and all(map(is_number, item)):
        return tuple(float(one) for one in item)
    if (item is None and type(None) in types) or (float in types and is_number(item)):
        return item
    raise DescriptionError(f"{where}: {str(item)[:60]!r} does not fit there.")


def _encoded(value: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    name = type(value).__name__
    if known.get(name) is not type(value):
        raise DescriptionError(f"{where} {name}: is code and can't be sent; known are {', '.join(known)}.")
    found: dict[str, Any] = {"class": name}
    for one in fields(value):
        item = getattr(value, one.name)
        if item is None or (isinstance(item, (int, float, tuple)) and item == one.default):
            continue
        found[one.name] = _plain(item, f"{where}.{one.name}")
    return found


def _plain(item: Any, where: str) -> Any:
    if type(item) in _CONVERTERS.values():
        return _encoded(item, _CONVERTERS, where)
    if isinstance(item, tuple) and all(map(is_number, item)):
        return list(item)
    if isinstance(item, (int, float)):
        return item
    raise DescriptionError(f"{where}: a {type(item).__name__} can't be sent; give plain numbers.")
