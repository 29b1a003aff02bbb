"""How a logical matrix lies on chips."""

import dataclasses
from typing import Any

from analogjax.tile import Mapping
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.parameters import NATIVE, View, parameters

_FREE = ("weight_scaling_omega", "weight_scaling_columnwise", "weight_scaling_lr_compensation")


@parameters(native=Mapping)
class MappingParameter(View):
    """Bias, output scales and splitting; see `analogjax.tile.Mapping`."""

    _tolerant = True
    _off_below = frozenset({"weight_scaling_omega", "max_input_size", "max_output_size"})

    digital_bias: bool = NATIVE
    weight_scaling_omega: float = NATIVE
    weight_scaling_columnwise: bool = NATIVE
    weight_scaling_lr_compensation: bool = NATIVE
    learn_out_scaling: bool = NATIVE
    out_scaling_columnwise: bool = NATIVE
    max_input_size: int = NATIVE
    max_output_size: int = NATIVE

    def compatible_with(self, mapping: Any) -> bool:
        """Whether a tile may have that mapping instead: only the scales of weights may be others."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in _FREE]
        return all(getattr(self, name) == getattr(mapping, name) for name in names)


@parameters()
class MappableRPU(RPUConfigBase):
    """A configuration whose logical matrix is mapped to chips."""

    tile_array_class: type | None = None
    mapping: MappingParameter = dataclasses.field(default_factory=MappingParameter)

    def get_default_tile_module_class(self, out_size: int = 0, in_size: int = 0) -> type:
        """The class of the tile module of a matrix of that size: that of arrays where a limit is below its size.

        As in aihwkit a limit of 0 (there is none) is below each size, unless both are 0.
        """
        limits = self.mapping.max_input_size, self.mapping.max_output_size
        if self.tile_array_class is None or limits == (0, 0):
            return self.tile_class
        return self.tile_array_class if limits[0] < in_size or limits[1] < out_size else self.tile_class
