"""torch's and aihwkit's classes of the layers in `analogjax.nn.table`, found by the names of the rows."""

from typing import Any

from analogjax.errors import ConfigError
from analogjax.nn.table import LAYERS, Layer
from compat.aihwkit import nn
from compat.torch_package import torch


def _classes(row: Layer) -> dict[str, Any]:
    """By name: aihwkit's class of an analog layer and its Mapped twin, torch's of any other."""
    if not row.analog:
        return {row.name: getattr(torch.nn, row.name)}
    found = {name: getattr(nn, name, None) for name in (row.name, f"{row.name}Mapped")}
    return {name: kind for name, kind in found.items() if kind is not None}  # aihwkit has no transposed ones


CLASSES: dict[str, type] = {name: kind for row in LAYERS for name, kind in _classes(row).items()}
ROWS: dict[type, Layer] = {kind: row for row in LAYERS for kind in _classes(row).values()}
# torch's layers that have an analog one
ANALOG: dict[type, Any] = {
    getattr(torch.nn, row.name.removeprefix("Analog")): CLASSES[row.name]
    for row in LAYERS
    if row.analog and row.name in CLASSES
}


def lost(row: Layer, module: Any) -> str | None:
    """The name of an argument of a module that has no native form, and changes what is computed; or `None`."""
    return next((name for name, only in row.fixed.items() if getattr(module, name) != only), None)


def arguments_of(row: Layer, module: Any) -> dict[str, Any]:
    """The arguments of a module that `row` can stand for, complete. Raises `ConfigError` where it can't."""
    if (name := lost(row, module)) is not None:
        raise ConfigError(f"{type(module).__name__}({name}={getattr(module, name)!r}) has no native form")
    found = {}
    for name, argument in row.arguments.items():
        try:
            found[name] = argument.complete(_has_bias(module) if name == "bias" else getattr(module, name))
        except ConfigError as error:
            raise ConfigError(f"{type(module).__name__}.{name}: {error}") from None
    return found


def _has_bias(module: Any) -> bool:
    return module.bias is not None and module.bias is not False  # an analog layer says it, a digital one has it
