"""A tile's configuration in a state dict: names of our classes, plain values; reading one runs no code but theirs."""

import importlib
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from compat.aihwkit.exceptions import TileModuleError
from compat.parameters import View

_OURS = "compat.aihwkit."


class _NotPlain(Exception):
    """Something that is none of ours."""


def as_data(config: Any) -> dict[str, Any] | None:
    """A configuration as plain values; `None` where a part of it is of a class that is none of ours."""
    try:
        return _written(config)
    except _NotPlain:
        return None


def _written(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    if isinstance(value, Enum):
        return {"enum": _name(type(value)), "value": value.name}
    if isinstance(value, View) or (is_dataclass(value) and not isinstance(value, type)):
        return {"class": _name(type(value)), "fields": {name: _written(item) for name, item in vars(value).items()}}
    if isinstance(value, dict):
        return {"table": [[_written(key), _written(item)] for key, item in value.items()]}
    if isinstance(value, type):
        return {"type": _name(value)}
    raise _NotPlain(value)


def _name(kind: type) -> str:
    if not kind.__module__.startswith(_OURS) or "." in kind.__qualname__:
        if kind is object:
            return "object"
        raise _NotPlain(kind)
    return f"{kind.__module__}:{kind.__qualname__}"


def of_data(data: Any) -> Any:
    """The configuration that `as_data` gave. Raises `TileModuleError` for what it never gives."""
    if isinstance(data, list):
        return [of_data(item) for item in data]
    if not isinstance(data, dict):
        return data
    if "enum" in data:
        return _kind(data["enum"], lambda kind: issubclass(kind, Enum))[data["value"]]
    if "type" in data:
        return object if data["type"] == "object" else _kind(data["type"], lambda kind: True)
    if "table" in data:
        return {of_data(key): of_data(value) for key, value in data["table"]}
    kind = _kind(data.get("class", ""), _is_part)
    made = kind.__new__(kind)
    for name, value in data["fields"].items():
        vars(made)[name] = of_data(value)
    return made


def _kind(name: str, fits: Callable[[Any], bool]) -> Any:
    module, _, qualname = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), qualname, None) if module.startswith(_OURS) else None
    except ModuleNotFoundError:
        found = None
    if not (isinstance(found, type) and fits(found)):
        raise TileModuleError(f"the configuration in the checkpoint names {name!r}, which is no part of one.")
    return found


def _is_part(kind: Any) -> bool:
    return issubclass(kind, View) or is_dataclass(kind)
