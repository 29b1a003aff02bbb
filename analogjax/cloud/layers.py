"""Layers as plain values: `{"type": NAME, ...}` with the arguments of the layer's row in `analogjax.nn.table`.

An analog layer has one more argument, `config`, the configuration of its tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from analogjax.cloud.configuration import config_from_json, config_to_json
from analogjax.cloud.errors import DescriptionError
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn import table
from analogjax.nn.arguments import REQUIRED

Shape = tuple[int, ...]
Arguments = dict[str, Any]
LAYERS: dict[str, table.Layer] = {row.name: row for row in table.LAYERS if row.simulated}
_NOT_SIMULATED = {row.name for row in table.LAYERS if not row.simulated}
_CONFIG = "config"


def check_layer(value: Any, where: str) -> tuple[str, Arguments]:
    """Type and complete arguments of a described layer. Raises `DescriptionError` listing what is supported."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in LAYERS:
        why = "is unknown" if isinstance(kind, str) else "is no layer"
        why = "is part of the protocol but not simulated by this version" if kind in _NOT_SIMULATED else why
        raise DescriptionError(f"{where}: layer {str(kind)[:60]!r} {why}; known are {', '.join(sorted(LAYERS))}.")
    row, given = LAYERS[kind], {name: item for name, item in value.items() if name != "type"}
    known = [*row.arguments, *([_CONFIG] if row.analog else [])]
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none"
            raise DescriptionError(f"{where}: {kind} has no argument {str(name)[:60]!r}; it has: {has}.")
    return kind, {name: _complete(row, name, given, where) for name in known}


def _complete(row: table.Layer, name: str, given: Arguments, where: str) -> Any:
    if name == _CONFIG:
        config = given.get(_CONFIG, {"class": "TileConfig"})
        config_from_json(config, f"{where}: {row.name}.{_CONFIG}")
        return config
    argument = row.arguments[name]
    item = given.get(name, argument.default)
    if item is REQUIRED:
        raise DescriptionError(f"{where}: {row.name} needs {name}.")
    try:
        return argument.complete(item)
    except ConfigError as error:
        raise DescriptionError(f"{where}: {row.name}.{name}: {error}") from None


def shape_after(kind: str, arguments: Arguments, shape: Shape, where: str) -> Shape:
    """The shape of an item after the layer. Raises `DescriptionError` if it does not fit."""
    try:
        after = LAYERS[kind].shape(arguments, shape)
    except ShapeError as error:
        raise DescriptionError(f"{where}: {kind} gets items of shape {shape}, but {error}.") from None
    if any(size <= 0 for size in after):
        raise DescriptionError(f"{where}: {kind} leaves nothing of items of shape {shape}.")
    return after


def build(kind: str, arguments: Arguments, channels_first: bool) -> Callable[..., Any]:
    """The flax module or function described by complete arguments."""
    more = {_CONFIG: config_from_json(arguments[_CONFIG])} if LAYERS[kind].analog else {}
    return LAYERS[kind].build(arguments, channels_first=channels_first, **more)


def described_layer(layer: Any, n: int) -> dict[str, Any]:
    """A layer of a native model in plain values. Raises `DescriptionError` listing what is supported."""
    for row in LAYERS.values():
        found = row.described(layer)
        if found is not None:
            _check_nothing_lost(row, found, layer, n)
            return {"type": row.name} | found | ({_CONFIG: config_to_json(layer.config)} if row.analog else {})
    function = getattr(layer, "func", layer)
    shown = getattr(function, "__name__", type(function).__name__)
    raise DescriptionError(
        f"layer {n} of the model, {shown}, can't be described as data; known are {', '.join(_native_names())}. Run it "
        "with LocalRunner, or use one of these."
    )


def _check_nothing_lost(row: table.Layer, found: Arguments, layer: Any, n: int) -> None:
    """Raise `DescriptionError` if a flax module has a setting that no argument represents, such as a dtype."""
    if row.module is None:
        return
    for name, value in found.items():
        try:
            row.arguments[name].complete(value)
        except ConfigError as error:
            raise DescriptionError(f"layer {n} of the model, {row.name}.{name}: {error}") from None
    more = {_CONFIG: layer.config} if row.analog else {}
    again = row.build(found, **more)
    for name in (field.name for field in fields(layer) if field.name != "parent"):
        given, default = getattr(layer, name), getattr(again, name)
        if given != default:
            raise DescriptionError(
                f"layer {n} of the model, {row.name}({name}={given!r}): a description has no word for {name}. Leave it "
                f"at {default!r}, or run it with LocalRunner."
            )


def _native_names() -> list[str]:
    """Native names of the layers that can be described."""
    forms = [row.function or row.module for row in LAYERS.values() if row.function is not None or row.analog]
    return sorted({getattr(form, "__name__", "?") for form in forms})
