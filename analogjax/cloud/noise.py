"""Noise models of inference as plain values, and back; nothing but the classes named here is ever made.

{"class": "PCMLike", "prog_coeff": [0.2, 1.0], "g_converter": {"class": "NPairs", "f_lst": [1.0, 3.0]}}
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from analogjax.cloud.configuration import is_number
from analogjax.cloud.errors import DescriptionError
from analogjax.errors import ConfigError
from analogjax.physics import inference


def _named(*kinds: type) -> dict[str, Any]:
    return {kind.__name__: kind for kind in kinds}


# without those that are known at certain times only: an inference reads at times of its own
NOISE_MODELS = _named(inference.PCMLike, inference.StateIndependent, inference.Hermes, inference.ReRAMCMO)
_CONVERTERS = _named(
    inference.SinglePair, inference.NPairs, inference.CustomPairs, inference.SingleDevice, inference.Fusion
)
_PARTS = {"g_converter": _CONVERTERS, "exponents": _named(inference.DriftTable)}  # fields that hold objects
_TABLES = ("g", "nu_mean", "nu_std", "g_lst")  # fields that hold tables, which are looked up
_MOST, _MOST_IN_TABLES = 16, 1024  # numbers in a list, or in each list of a list; each is a step of the program


def noise_model_of(value: Any) -> Any:
    """Make the noise model described by plain values. Raises `DescriptionError` listing what is supported."""
    return _decoded(value, NOISE_MODELS, "noise_model")


def noise_model_to_json(model: Any) -> dict[str, Any]:
    """Plain values of a noise model. Raises `DescriptionError` for custom classes and arrays."""
    return _encoded(model, NOISE_MODELS, "noise_model")


def compensation_to_json(compensation: Any) -> bool:
    """Whether drift is compensated. Raises `DescriptionError` for anything but one factor for each chip, or none."""
    if compensation is not None and compensation != inference.GlobalCompensation():
        raise DescriptionError(
            f"drift_compensation {compensation!r}: can't be sent; known are GlobalCompensation() and None."
        )
    return compensation is not None


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
        given[name] = _field(name, item, (types[name], *typing.get_args(types[name])), f"{where}.{name}")
    try:
        return kind(**given)
    except (ConfigError, TypeError, ValueError) as error:
        raise DescriptionError(f"{where}: {error}") from None


def _field(name: str, item: Any, types: tuple[Any, ...], where: str) -> Any:
    """One value, of one of the types that its field may have."""
    if isinstance(item, Mapping) and str(item.get("class")) in _PARTS.get(name, {}):
        return _decoded(item, _PARTS[name], where)
    several = isinstance(item, list) and any(typing.get_origin(one) is tuple for one in types)
    if several and _is_list(item, _MOST_IN_TABLES if name in _TABLES else _MOST):
        return tuple(tuple(map(float, one)) if isinstance(one, list) else float(one) for one in item)
    if (item is None and type(None) in types) or (float in types and is_number(item)):
        return item
    if type(item) in (bool, int) and type(item) in types and is_number(int(item)):
        return item
    raise DescriptionError(f"{where}: {str(item)[:60]!r} does not fit there.")


def _is_list(items: list, most: int) -> bool:
    """Whether it is a list of numbers, or of lists of numbers, none empty and none of more than `most` items."""
    lists = [items, *(item for item in items if isinstance(item, list))]
    flat = [one for some in lists[1:] for one in some] + [item for item in items if not isinstance(item, list)]
    return all(0 < len(some) <= most for some in lists) and all(map(is_number, flat))


def _encoded(value: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    name = type(value).__name__
    if known.get(name) is not type(value):
        raise DescriptionError(f"{where} {name}: is code and can't be sent; known are {', '.join(known)}.")
    found: dict[str, Any] = {"class": name}
    for one in fields(value):
        item = getattr(value, one.name)
        if _is_default(item, one.default):
            continue
        found[one.name] = _plain(one.name, item, f"{where}.{one.name}")
    return found


def _is_default(item: Any, default: Any) -> bool:
    plain = item is None or isinstance(item, (int, float, tuple))
    return (plain or type(item) is inference.SingleDevice) and default is not MISSING and item == default


def _plain(name: str, item: Any, where: str) -> Any:
    if name in _PARTS and item is not None:
        return _encoded(item, _PARTS[name], where)
    if isinstance(item, tuple):
        return [_plain("", one, where) for one in item]
    if isinstance(item, (int, float)) and not hasattr(item, "dtype"):
        return item
    raise DescriptionError(f"{where}: a {type(item).__name__} can't be sent; give plain numbers.")
