"""torch's and aihwkit's classes of the layers in `analogjax.nn.table`, found by the names of the rows."""

from typing import Any

from analogjax.nn.table import LAYERS, Layer
from compat.aihwkit import nn
from compat.torch_package import torch


def _classes(row: Layer) -> dict[str, Any]:
    """By name: aihwkit's class of an analog layer and its Mapped twin, torch's of any other."""
    names = (row.name, f"{row.name}Mapped") if row.analog else (row.name,)
    return {name: getattr(nn if row.analog else torch.nn, name) for name in names}


CLASSES: dict[str, type] = {name: kind for row in LAYERS for name, kind in _classes(row).items()}
ROWS: dict[type, Layer] = {kind: row for row in LAYERS for kind in _classes(row).values()}
# torch's layers that have an analog one
ANALOG: dict[type, Any] = {
    getattr(torch.nn, row.name.removeprefix("Analog")): CLASSES[row.name] for row in LAYERS if row.analog
}


def lost(row: Layer, module: Any) -> str | None:
    """The name of an argument of a module that has no native form, and changes what is computed; or `None`."""
    return next((name for name, only in row.fixed.items() if getattr(module, name) != only), None)
