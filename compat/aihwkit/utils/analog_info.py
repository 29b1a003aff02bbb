"""What a model needs on chips: its layers with their shapes, their tiles, and how often each matrix is used.

    reuse factor = number of vectors that a layer multiplies for the given input of the model
    utilization  = logical size / physical size of a tile, in percent

The utilization is that of layers whose class is named `...Mapped`; as in aihwkit it is 100 for all others.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.nn.table import ROWS
from compat.torch_package import torch

COLUMN_DEFINITIONS = ["Layer Information", "Tile Information"]
COLUMN_NAMES = {
    "name": (0, "Layer Name"), "isanalog": (0, "Is Analog"), "input_size": (0, "In Shape"),
    "output_size": (0, "Out Shape"), "kernel_size": (0, "Kernel Shape"), "num_tiles": (0, "# of Tiles"),
    "reuse_factor": (0, "Reuse Factor"), "log_shape": (1, "Log. tile shape"), "phy_shape": (1, "Phys. tile shape"),
    "utilization": (1, "utilization (%)"),
}  # fmt: skip
FORMATTING_WIDTH = 200
COLUMN_WIDTH = 20
FLOAT_FORMAT = "{0:.2f}"
_RULE = "=" * FORMATTING_WIDTH


class TileInfo:
    """One chip."""

    def __init__(self, tile: Any, is_mapped: bool) -> None:
        mapping = tile.rpu_config.mapping
        self.log_out_size, self.log_in_size = tile.out_size, tile.in_size
        self.phy_in_size, self.phy_out_size = mapping.max_input_size, mapping.max_output_size
        self.is_mapped = is_mapped
        room = self.phy_in_size * self.phy_out_size  # 0: chips are as large as they need to be
        used = self.log_in_size * self.log_out_size
        self.utilization = used * 100 / room if is_mapped and room > 0 else 100

    def tile_summary_dict(self) -> dict[str, Any]:
        """Logical and physical shape `(O, I)` as texts, and the utilization [%]."""
        physical = str((self.phy_out_size, self.phy_in_size)) if self.is_mapped else "N/A"
        logical = str((self.log_out_size, self.log_in_size))
        return {"log_shape": logical, "phys_shape": physical, "utilization": self.utilization}

    def __repr__(self) -> str:
        shown = self.tile_summary_dict() | {"utilization": FLOAT_FORMAT.format(self.utilization)}
        return _row(shown.values())


class LayerInfo:
    """One layer, in one of its calls."""

    def __init__(self, module: Any, rpu_config: Any = None, input_size: Any = None, output_size: Any = None) -> None:
        self.module, self.rpu_config = module, rpu_config
        self.input_size, self.output_size = input_size, output_size
        self.name = type(module).__name__
        self.isanalog = isinstance(module, AnalogLayerBase)
        mapped = self.name.endswith("Mapped")
        self.tiles_info = [TileInfo(tile, mapped) for tile in module.analog_tiles()] if self.isanalog else []
        self.num_tiles = len(self.tiles_info)
        self.kernel_size = getattr(module, "kernel_size", None)
        self.reuse_factor = self._uses()

    def _uses(self) -> int:
        row = ROWS.get(type(self.module))
        if row is None or not row.analog:
            return 0
        # a convolution multiplies a patch for each place of its output, a linear layer each vector of its input
        size, axis = (self.input_size, -1) if self.kernel_size is None else (self.output_size, 1)
        return 0 if size is None else math.prod(size) // size[axis]

    def tiles_summary_dict(self) -> dict[str, Any]:
        """`TileInfo.tile_summary_dict` of the last chip; empty for digital layers."""
        return self.tiles_info[-1].tile_summary_dict() if self.tiles_info else {}

    def layer_summary_dict(self) -> dict[str, Any]:
        """One row of the table; what does not apply is a dash."""
        shown = {name: getattr(self, name) for name in ("input_size", "output_size", "kernel_size", "reuse_factor")}
        texts = {name: "-" if value is None else str(value) for name, value in shown.items()}
        reuse = texts.pop("reuse_factor")
        kind = "analog" if self.isanalog else "digital"
        row = {"name": self.name, "isanalog": kind} | texts | {"num_tiles": self.num_tiles, "reuse_factor": reuse}
        return row | {"log_shape": "-", "phy_shape": "-", "utilization": "-"}

    def __repr__(self) -> str:
        indent = " " * COLUMN_WIDTH * sum(group == 0 for group, _ in COLUMN_NAMES.values())
        return "\n".join([_row(self.layer_summary_dict().values()), *(f"{indent}{tile}" for tile in self.tiles_info)])


class AnalogInfo:
    """The layers of a model in the order of their calls, as a table when it is printed."""

    def __init__(self, model: Any, input_size: Any = None, rpu_config: Any = None) -> None:
        if input_size is None:
            raise ArgumentError("analog_summary(input_size=None): give the shape of an input, such as (1, 1, 28, 28).")
        self.model, self.input_size, self.rpu_config = model, input_size, rpu_config
        self.layer_summary = self.create_layer_summary()
        self.total_tile_number = self.calculate_num_tiles()
        self.total_nb_analog = self.calculate_num_analog()

    @torch.no_grad()
    def create_layer_summary(self) -> list[LayerInfo]:
        """What an input of zeros passes, in evaluation mode, of a copy of the model."""
        found: list[LayerInfo] = []
        tried = copy.deepcopy(self.model)  # statistics, input ranges and noise of the model itself stay what they are
        originals = dict(zip(tried.modules(), self.model.modules(), strict=True))

        def saw(module: Any, given: Any, y: Any) -> None:
            found.append(LayerInfo(originals[module], self.rpu_config, _shape(given[0] if given else None), _shape(y)))

        for layer in dict.fromkeys(_innermost(tried)):
            layer.register_forward_hook(saw)
        tried.eval()(torch.zeros(self.input_size))
        return found

    def calculate_num_tiles(self) -> int:
        """Chips of all calls together."""
        return sum(layer.num_tiles for layer in self.layer_summary)

    def calculate_num_analog(self) -> int:
        """Calls of analog layers."""
        return sum(layer.isanalog for layer in self.layer_summary)

    def __repr__(self) -> str:
        widths = [COLUMN_WIDTH * sum(group == n for group, _ in COLUMN_NAMES.values()) for n in (0, 1)]
        groups = "".join(f"{name:<{width}}" for name, width in zip(COLUMN_DEFINITIONS, widths, strict=True))
        return "\n".join([
            _RULE, f"Model Name: {type(self.model).__name__}", _RULE, "Per-layer Information", _RULE, groups, _RULE,
            _row(title for _, title in COLUMN_NAMES.values()), *map(repr, self.layer_summary),
            _RULE, "General Information", _RULE, f"Total number of tiles: {self.total_tile_number}",
            f"Total number of analog layers: {self.total_nb_analog}", "",
        ])  # fmt: skip


def analog_summary(model: Any, input_size: Any = None, rpu_config: Any = None) -> AnalogInfo:
    """Layers, shapes, tiles and reuse factors of a model that is given an input of the shape `input_size`.

    The model is copied for it, and not changed. Raises `ArgumentError` without `input_size`.
    """
    return AnalogInfo(model, input_size, rpu_config)


def _innermost(module: Any) -> Iterator[Any]:
    """Modules without children, and analog layers without analog layers inside."""
    children = list(module.children())
    analog = isinstance(module, AnalogLayerBase) and not module.IS_CONTAINER
    if not children or (analog and not any(isinstance(child, AnalogLayerBase) for child in children)):
        yield module
        return
    for child in children:
        yield from _innermost(child)


def _shape(value: Any) -> list[int] | None:
    return list(value.shape) if isinstance(value, torch.Tensor) else None


def _row(cells: Any) -> str:
    return "".join(f"{cell!s:<{COLUMN_WIDTH}}" for cell in cells)
